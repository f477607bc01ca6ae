"""What training changes: the network, the loss's counters, the optimizer; and how it is saved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
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
from mlimages.training.averaging import WeightAverage
from mlimages.training.batch_norm import BatchNormGroups
from mlimages.training.checkpoint import Checkpoint, Tensors, load_into, under
from mlimages.training.distribution import Ranks
from mlimages.training.objective import OutputStatistics, build_loss
from mlimages.training.operation import HardwareSettings
from mlimages.training.optimizers import build_optimizer, optimizer_tensors, restore_optimizer
from mlimages.training.parallel import parallel
from mlimages.training.recipe import Recipe
from mlimages.training.settings import TIMM

FORMATS = {True: torch.channels_last, False: torch.contiguous_format}
WEIGHTS = "weights."  # of the network itself, in a checkpoint whose model is their average
MEAN, SCALE = 127.5, 127.5  # (x / 255 - 0.5) * 2, the paper's input range [-1, 1]


@dataclass
class TrainingState:
    """Everything that an update changes; `step` counts the updates done.

    With an average of the weights, that is what is saved as the model, and what is measured; the
    weights themselves are saved beside it.
    """

    network: TagNetwork
    parallel: nn.Module  # what forward passes call; see parallel.py
    batch_norms: BatchNormGroups
    loss: TagLoss
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: WeightAverage | None = None
    step: int = 0

    def connect(self, ranks: Ranks, settings: HardwareSettings) -> None:
        """Let all ranks, which call this together, train the network of the first."""
        self.parallel = parallel(self.network, ranks, settings)

    def model_tensors(self) -> Tensors:
        """What model.safetensors holds."""
        return dict(self.network.state_dict() if self.average is None else self.average.tensors)

    def training_tensors(self) -> Tensors:
        """What training.safetensors holds: the loss's counters, and all the optimizer knows."""
        tensors = {f"loss.{name}": tensor for name, tensor in self.loss.state_dict().items()}
        tensors |= optimizer_tensors(self.optimizer, self.network)
        if self.average is not None:
            tensors |= {f"{WEIGHTS}{name}": t for name, t in self.network.state_dict().items()}
        return tensors

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint; raises CheckpointError when it is of another network."""
        model, tensors = checkpoint.model_tensors(), checkpoint.training_tensors()
        weights = model
        if self.average is not None:
            weights = under(WEIGHTS, tensors)
        load_into(self.network, weights, checkpoint.folder)
        if self.average is not None:
            self.average.restore(model)
        load_into(self.loss, under("loss.", tensors), checkpoint.folder)
        restore_optimizer(self.optimizer, self.network, tensors, checkpoint.folder)
        scaler = checkpoint.state.get("scaler")
        if self.scaler.is_enabled() and scaler:  # empty when the run's device had no use for it
            self.scaler.load_state_dict(scaler)
        self.step = checkpoint.step

    @contextmanager
    def measured(self) -> Iterator[TagNetwork]:
        """Inside, the network is as it would be used: averaged, and in evaluation mode."""
        self.network.eval()
        try:
            with self.average.applied(self.network) if self.average else nullcontext():
                yield self.network
        finally:
            self.network.train()


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
    memory_format = FORMATS[recipe.hardware.channels_last]
    network.to(device, memory_format=memory_format)  # type: ignore[call-overload]
    decay = recipe.optimizer.average_decay
    return TrainingState(
        network=network,
        parallel=network,
        batch_norms=BatchNormGroups(network),
        loss=build_loss(recipe, outputs).to(device),
        optimizer=build_optimizer(recipe.optimizer, network),
        scaler=torch.amp.GradScaler(device.type, enabled=recipe.hardware.precision == "float16"),
        average=WeightAverage(network, decay) if decay else None,
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
