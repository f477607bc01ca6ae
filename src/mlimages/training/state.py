"""What training changes: the network, the loss's counters, the optimizer; and how it is saved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from mlimages.database import Database
from mlimages.errors import CheckpointError
from mlimages.losses.base import TagLoss
from mlimages.models.network import NetworkConfig, TagNetwork, TimmConfig
from mlimages.models.resnet import ResNetConfig
from mlimages.training.checkpoint import Checkpoint, Tensors, load_into
from mlimages.training.objective import OutputStatistics, build_loss
from mlimages.training.recipe import Recipe
from mlimages.training.settings import TIMM

NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)
MEAN, SCALE = 127.5, 127.5  # (x / 255 - 0.5) * 2, the paper's input range [-1, 1]


@dataclass
class TrainingState:
    """Everything that an update changes; `step` counts the updates done."""

    network: TagNetwork
    loss: TagLoss
    optimizer: torch.optim.SGD
    scaler: torch.amp.GradScaler
    step: int = 0

    def model_tensors(self) -> Tensors:
        """What model.safetensors holds."""
        return dict(self.network.state_dict())

    def training_tensors(self) -> Tensors:
        """What training.safetensors holds: counters of the loss, momentum of each parameter."""
        tensors = {f"loss.{name}": tensor for name, tensor in self.loss.state_dict().items()}
        for name, parameter in self.network.named_parameters():
            momentum = self.optimizer.state[parameter].get("momentum_buffer")
            if momentum is not None:
                tensors[f"momentum.{name}"] = momentum
        return tensors

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint; raises CheckpointError when it is of another network."""
        load_into(self.network, checkpoint.model_tensors(), checkpoint.folder)
        tensors = checkpoint.training_tensors()
        counters = {
            name.removeprefix("loss."): tensor
            for name, tensor in tensors.items()
            if name.startswith("loss.")
        }
        load_into(self.loss, counters, checkpoint.folder)
        for name, parameter in self.network.named_parameters():
            momentum = tensors.get(f"momentum.{name}")
            if momentum is not None:
                buffer = torch.empty_like(parameter, requires_grad=False)
                self.optimizer.state[parameter]["momentum_buffer"] = buffer.copy_(momentum)
        scaler = checkpoint.state.get("scaler")
        if self.scaler.is_enabled() and scaler:  # empty when the run's device had no use for it
            self.scaler.load_state_dict(scaler)
        self.step = checkpoint.step


def build_state(recipe: Recipe, outputs: OutputStatistics, device: torch.device) -> TrainingState:
    """An untrained network with its loss and optimizer.

    Args:
        recipe: the run's recipe.
        outputs: what the training images and the hierarchy say of the outputs.
        device: where to put them.
    """
    network = build_network(recipe, len(outputs.frequencies))
    if recipe.model.start_at_prior:
        network.head.start_at_prior(outputs.prior())
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return TrainingState(
        network=network,
        loss=build_loss(recipe, outputs).to(device),
        optimizer=build_optimizer(recipe, network),
        scaler=torch.amp.GradScaler(device.type, enabled=recipe.hardware.precision == "float16"),
    )


def build_network(recipe: Recipe, num_classes: int) -> TagNetwork:
    """The recipe's network with weights drawn from its seed; the global generator is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return TagNetwork(_network_config(recipe), num_classes)


def _network_config(recipe: Recipe) -> NetworkConfig:
    settings = recipe.model
    if settings.backbone.startswith(TIMM):
        name = settings.backbone.removeprefix(TIMM)
        return NetworkConfig(TimmConfig(name, recipe.data.image_size), settings.head)
    resnet = ResNetConfig(
        settings.depth, settings.width, settings.stem, settings.batch_norm_momentum
    )
    return NetworkConfig(resnet, settings.head)


def build_optimizer(recipe: Recipe, network: nn.Module) -> torch.optim.SGD:
    """SGD with momentum; weight decay on everything but normalisation, as the paper.

    TensorFlow's 0.5 * |w|^2 in the loss and PyTorch's weight decay are the same for SGD.
    """
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for module in network.modules():
        group = free if isinstance(module, NORMS) else decayed
        group.extend(module.parameters(recurse=False))
    settings = recipe.optimizer
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum)


def describe_model(
    recipe: Recipe, network: TagNetwork, categories: list[dict[str, Any]]
) -> dict[str, Any]:
    """The content of model.json: what is needed to rebuild, feed and read the network."""
    size, fraction = recipe.data.image_size, recipe.evaluation.crop_fraction
    described = describe_network(network.config, "sigmoid", size, fraction, categories)
    return {**described, "recipe": recipe.to_dict()}


def describe_network(
    config: NetworkConfig,
    activation: Literal["sigmoid", "softmax"],
    image_size: int,
    crop_fraction: float,
    categories: list[dict[str, Any]],
) -> dict[str, Any]:
    """What `models.interface` needs to know of a network, wherever its weights are from."""
    return {
        "format_version": 1,
        "architecture": config.to_dict(),
        "activation": activation,
        "preprocessing": {
            "image_size": image_size,
            "crop_fraction": crop_fraction,
            "mean": MEAN,
            "scale": SCALE,
        },
        "categories": categories,
    }


def describe_categories(db: Database, outputs: np.ndarray) -> list[dict[str, Any]]:
    """What model.json says about each output: its key, name and the keys of its parents."""
    categories = db.taxonomy.categories
    hierarchy = db.taxonomy.hierarchy(db.rules.hierarchy)
    return [
        {
            "key": categories[index].key,
            "name": categories[index].name,
            "parents": [categories[parent].key for parent in hierarchy.parents_of(index)],
        }
        for index in outputs.tolist()
    ]


def network_from(model: dict[str, Any], place: Any) -> TagNetwork:
    """Rebuild the (untrained) network that a model.json describes; raises CheckpointError."""
    try:
        config = NetworkConfig.from_dict(model["architecture"])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return TagNetwork(config, len(model["categories"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            place, f"describes no network that this program knows ({error})", "update mlimages"
        ) from None
