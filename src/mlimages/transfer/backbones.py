"""Backbones by name: from a run or a checkpoint, timm's, EfficientNet-lite0, or untrained ones.

backbone = load_backbone("runs/paper", output_stride=16)

| name | network | weights |
|---|---|---|
| a run or checkpoint folder | the one saved there | the saved ones |
| efficientnet-lite0 | timm's | ImageNet's, from the Python package |
| timm:NAME | timm's | timm's, from its cache or downloaded |
| untrained:resnet101, untrained:resnet26x0.25 | the paper's, of a depth and width | random |
| untrained: before any of the others | the same | random |
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mlimages.errors import CheckpointError, InputError, nearest, require
from mlimages.models.backbone import Backbone
from mlimages.models.network import NetworkConfig, TimmConfig, build_backbone
from mlimages.models.resnet import ResNet, ResNetConfig
from mlimages.models.timm_backbone import TimmBackbone
from mlimages.training.checkpoint import (
    Tensors,
    is_checkpoint,
    load_into,
    newest_checkpoint,
    read_checkpoint,
)

UNTRAINED, TIMM, LITE = "untrained:", "timm:", "efficientnet-lite0"
LITE_NAME = "tf_efficientnet_lite0"
_RESNET = re.compile(r"resnet(\d+)(?:x([\d.]+))?")


@dataclass(frozen=True)
class LoadedBackbone:
    """A backbone and what is needed to build it again.

    Attributes:
        name: what was asked for.
        config: of its network.
        module: the network, on the CPU.
    """

    name: str
    config: ResNetConfig | TimmConfig
    module: Backbone


def load_backbone(
    name: str, image_size: int = 224, output_stride: int = 32, seed: int = 0
) -> LoadedBackbone:
    """Build a backbone and fill it with its weights.

    Args:
        name: see above.
        image_size: side of its input, for networks that are built for one size.
        output_stride: 32, 16 or 8; the last stages look wider instead of shrinking.
        seed: of random weights.

    Raises:
        InputError: there is none of this name, or it has no weights to be had here.
        CheckpointError: the run holds no intact checkpoint.
        MissingExtraError: the package of the weights is not installed.
    """
    trained = not name.startswith(UNTRAINED)
    target = name.removeprefix(UNTRAINED)
    config, weights = _describe(target, trained)
    config = replace(config, output_stride=output_stride)
    if isinstance(config, TimmConfig):
        config = replace(config, image_size=image_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = build_backbone(config)
    if weights is not None:
        inner = module.model if isinstance(module, TimmBackbone) else module
        kept = {key: value for key, value in weights.items() if not _is_head(inner, key)}
        load_into(inner, kept, Path(target))
    return LoadedBackbone(name, config, module)


def freeze(backbone: Backbone, stages: int) -> None:
    """Keep the first layers as they are: their weights, and their statistics by `fix_norms`.

    Args:
        backbone: changed in place.
        stages: of the paper's network, with the stem (the release keeps 2 of 4); of timm's, as
            many of the groups of layers that timm names. 0: none.

    Raises:
        InputError: it has no more stages than that.
    """
    if stages == 0:
        return
    for module in frozen_modules(backbone, stages):
        module.requires_grad_(False)


def frozen_modules(backbone: Backbone, stages: int) -> list[nn.Module]:
    """The modules that `freeze` keeps."""
    if isinstance(backbone, ResNet):
        parts: list[nn.Module] = [backbone.stem, *backbone.stages]
    else:
        models = require("timm.models", extra="train")
        model: Any = backbone.model
        groups = models.group_parameters(model, model.group_matcher(coarse=True))
        owners: dict[int, list[nn.Module]] = {}
        modules = dict(model.named_modules())
        for layer, names in sorted(groups.items()):
            parents = dict.fromkeys(name.rpartition(".")[0] for name in names)
            owners[layer] = [modules[parent] for parent in parents]
        parts = [nn.ModuleList(found) for found in owners.values()]
    if stages >= len(parts):
        cause = f"the network has {len(parts) - 1} stages"
        raise InputError(f"{stages} frozen stages", cause, f"use 0 to {len(parts) - 2}")
    return parts[: stages + 1] if stages else []


def fix_norms(modules: list[nn.Module], affine: bool) -> None:
    """Use the saved statistics of batch normalisation, in training too; call after `train()`.

    Args:
        modules: in which all batch normalisation is fixed.
        affine: its factors and shifts do not learn either.
    """
    for module in modules:
        for norm in module.modules():
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                norm.eval()
                if affine:
                    norm.requires_grad_(False)


def _describe(target: str, trained: bool) -> tuple[ResNetConfig | TimmConfig, Tensors | None]:
    """The network's shape, and its weights by the names they have inside it."""
    resnet = _RESNET.fullmatch(target)
    if target == LITE:
        return _lite(trained)
    if target.startswith(TIMM):
        return _timm(target.removeprefix(TIMM), trained)
    if resnet and not Path(target).is_dir():
        if trained:
            cause = "no trained weights come with it"
            raise InputError(target, cause, f"name a run, or {UNTRAINED}{target}")
        try:
            width = float(resnet[2] or 1)
            return ResNetConfig(int(resnet[1]), width, batch_norm_momentum=0.1), None
        except ValueError as error:
            raise InputError(target, str(error), "use such as resnet101 or resnet26x0.5") from None
    folder = Path(target)
    if not folder.is_dir():
        known = [LITE, f"{TIMM}resnet50", f"{UNTRAINED}resnet101"]
        raise InputError(target, "no such run or network", nearest(target, known))
    checkpoint = read_checkpoint(folder) if is_checkpoint(folder) else newest_checkpoint(folder)
    if checkpoint is None:
        raise InputError(folder, "holds no checkpoint", "name a run of: mlimages train")
    try:
        config = NetworkConfig.from_dict(checkpoint.model["architecture"]).backbone
    except (KeyError, TypeError, ValueError) as error:
        cause = f"describes no network that this program knows ({error})"
        raise CheckpointError(checkpoint.folder, cause, "update mlimages") from None
    prefix = "backbone." if isinstance(config, ResNetConfig) else "backbone.model."
    saved = checkpoint.model_tensors() if trained else {}
    weights = {n.removeprefix(prefix): t for n, t in saved.items() if n.startswith(prefix)}
    return config, weights if trained else None


def _lite(trained: bool) -> tuple[TimmConfig, Tensors | None]:
    from mlimages.models import efficientnet_lite, lite_package

    scale = ((lite_package.MEAN / 255,) * 3, (lite_package.SCALE / 255,) * 3)
    config = TimmConfig(LITE_NAME, lite_package.IMAGE_SIZE, 32, *scale)
    if not trained:
        return config, None
    return config, dict(efficientnet_lite.build().network.state_dict())


def _timm(name: str, trained: bool) -> tuple[TimmConfig, Tensors | None]:
    timm = require("timm", extra="train")
    if not timm.is_model(name):
        raise InputError(
            f"{TIMM}{name}", "timm has no such network", nearest(name, timm.list_models())
        )
    if not trained:
        return TimmConfig(name), None
    try:
        model = timm.create_model(name, pretrained=True)
    except Exception as error:  # noqa: BLE001 - its downloader raises what its clients raise
        cause = f"its weights cannot be had ({type(error).__name__})"
        action = f"download them where there is a network, or use {UNTRAINED}{TIMM}{name}"
        raise InputError(f"{TIMM}{name}", cause, action) from None
    scale = model.pretrained_cfg
    config = TimmConfig(name, mean=tuple(scale["mean"]), deviation=tuple(scale["std"]))
    return config, dict(model.state_dict())


def _is_head(module: nn.Module, key: str) -> bool:
    """Whether a tensor is of the classifier, which a backbone does not have."""
    name = key.rpartition(".")[0]
    classifier: Any = getattr(module, "pretrained_cfg", {}).get("classifier", ())
    names = (classifier,) if isinstance(classifier, str) else tuple(classifier or ())
    return name in names
