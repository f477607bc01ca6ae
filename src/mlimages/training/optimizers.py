"""Optimizers: which weights decay, how fast each layer learns, and their state by name.

SGD with (not Nesterov) momentum is the paper's. AdamW (Loshchilov and Hutter, ICLR 2019) and LAMB
(You et al., ICLR 2020, for large batches; timm's) are for modern recipes. With layer decay each
layer learns at that factor of the rate of the one after it (Clark et al., "ELECTRA", ICLR 2020).
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any, cast

import torch
from torch import nn

from mlimages.errors import CheckpointError, RecipeError, require
from mlimages.models.backbone import Backbone
from mlimages.models.resnet import ResNet
from mlimages.training.checkpoint import Tensors
from mlimages.training.settings import OptimizerSettings

NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)
SCALE = "rate_scale"  # of a group: its share of the learning rate
PREFIX = "optimizer."


def build_optimizer(settings: OptimizerSettings, network: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of a recipe.

    Weight decay is on everything but normalisation, as in the paper: TensorFlow's 0.5 * |w|^2 in
    the loss and PyTorch's weight decay are the same for SGD. AdamW and LAMB leave biases out too.

    Raises:
        MissingExtraError: timm, which has LAMB, is not installed.
    """
    groups = _groups(settings, network)
    rate, betas = settings.learning_rate, (settings.beta1, settings.beta2)
    if settings.name == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=settings.momentum)
    if settings.name == "adamw":
        return torch.optim.AdamW(groups, lr=rate, betas=betas, eps=settings.epsilon)
    lamb = require("timm.optim", extra="train").Lamb
    return lamb(groups, lr=rate, betas=betas, eps=settings.epsilon, max_grad_norm=None)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the last layer, and of each other one its share."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group[SCALE]


def optimizer_tensors(optimizer: torch.optim.Optimizer, network: nn.Module) -> Tensors:
    """Everything the optimizer remembers, by what it is and the parameter's name."""
    tensors = {}
    for name, parameter in network.named_parameters():
        for what, value in optimizer.state[parameter].items():
            if value is not None:
                tensors[f"{PREFIX}{what}.{name}"] = torch.as_tensor(value)
    for number, group in enumerate(optimizer.param_groups):
        if "step" in group:  # LAMB counts a group's steps
            tensors[f"{PREFIX}steps.{number}"] = torch.as_tensor(group["step"])
    return tensors


def restore_optimizer(
    optimizer: torch.optim.Optimizer, network: nn.Module, tensors: Tensors, place: Any
) -> None:
    """Take back what `optimizer_tensors` gave.

    Raises:
        CheckpointError: a tensor does not fit its parameter.
    """
    parameters = dict(network.named_parameters())
    for key, tensor in tensors.items():
        if not key.startswith(PREFIX):
            continue
        what, _, name = key.removeprefix(PREFIX).partition(".")
        if what == "steps":
            optimizer.param_groups[int(name)]["step"] = tensor.clone()
            continue
        parameter = parameters.get(name)
        if parameter is None or tensor.shape not in (parameter.shape, torch.Size()):
            raise CheckpointError(
                place, f"{key} does not fit the network", "use the recipe it was made with"
            )
        if tensor.shape == parameter.shape:
            # In the parameter's memory format, so that updates are as fast and as exact as before.
            tensor = torch.empty_like(parameter, requires_grad=False).copy_(tensor)
        optimizer.state[parameter][what] = tensor


def _groups(settings: OptimizerSettings, network: nn.Module) -> list[dict[str, Any]]:
    layers, last = layers_of(network) if settings.layer_decay != 1 else ({}, 0)
    members: dict[tuple[bool, int], list[nn.Parameter]] = defaultdict(list)
    for module_name, module in network.named_modules():
        for name, parameter in module.named_parameters(module_name, recurse=False):
            bias = settings.name != "sgd" and parameter.ndim <= 1
            decays = not (bias or isinstance(module, NORMS))
            members[decays, layers.get(name, last)].append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": settings.weight_decay if decays else 0.0,
            SCALE: settings.layer_decay ** (last - layer),
        }
        for (decays, layer), parameters in sorted(members.items(), key=lambda item: item[0])
    ]


def layers_of(network: nn.Module) -> tuple[dict[str, int], int]:
    """The layer of each parameter by name, from the image up, and the number of the last.

    A residual block of the paper's network, or what timm groups together, is one layer; what comes
    after the last block belongs to the head's.

    Raises:
        RecipeError: the network has no backbone in one piece.
    """
    place, backbone = _backbone_of(network)
    if isinstance(backbone, ResNet):
        sizes = [len(stage) for stage in backbone.stages]  # type: ignore[arg-type]
        last = 1 + sum(sizes)
        number = {"stem": 0}
        for stage, size in enumerate(sizes):
            for block in range(size):
                number[f"stages.{stage}.{block}"] = 1 + sum(sizes[:stage]) + block
        prefix = f"{place}."
    else:
        models, model = require("timm.models", extra="train"), cast(Any, backbone).model
        found = models.group_parameters(model, model.group_matcher(coarse=False))
        last = 1 + max(found)
        named = {name: layer for layer, names in found.items() for name in names}
        number, prefix = named, f"{place}.model."
    layers = {}
    for name, _ in network.named_parameters():
        inner = name.removeprefix(prefix) if name.startswith(prefix) else ""
        block_name = re.match(r"stem|stages\.\d+\.\d+", inner)
        key = block_name[0] if isinstance(backbone, ResNet) and block_name else inner
        layers[name] = number.get(key, last)
    return layers, last


def _backbone_of(network: nn.Module) -> tuple[str, Backbone]:
    for name, module in network.named_modules():
        if isinstance(module, Backbone):
            return name, module
    cause = "this network's backbone is taken apart"
    raise RecipeError("optimizer.layer_decay", cause, "use 1, or another detector")
