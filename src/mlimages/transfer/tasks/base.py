"""What a task gives to the loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import nn

from mlimages.progress import track
from mlimages.training.distribution import Ranks
from mlimages.transfer.backbones import LoadedBackbone, fix_norms, freeze, frozen_modules
from mlimages.transfer.datasets.records import Photos
from mlimages.transfer.recipe import TransferRecipe

T = TypeVar("T")


@dataclass(frozen=True)
class Evaluation:
    """What a network does on the test photos.

    Attributes:
        metric: name of the headline among the measures.
        measures: by name; shares, not percentages.
        per_class: by class, its values by name; NaN where a class does not occur.
        images: a plain dictionary a test photo: "image", "score" (how good, higher is better), and
            what the task knows of it.
    """

    metric: str
    measures: dict[str, float]
    per_class: dict[str, dict[str, float]] = field(repr=False)
    images: list[dict[str, Any]] = field(repr=False)


class Task(Protocol):
    """Data, network, loss and measures of one task.

    Attributes:
        network: what learns; on the device of the run after `to`.
        train, test: the photos.
    """

    network: nn.Module
    train: Photos
    test: Photos

    def describe(self) -> dict[str, Any]:
        """The content of model.json."""

    def training_mode(self) -> None:
        """Put the network into training mode, with what is fixed in it kept so."""

    def load(self, index: int, epoch: int, size: int) -> Any:
        """A training photo as the network will see it in this epoch; thread-safe."""

    def loss(self, samples: list[Any], indices: list[int], step: int) -> torch.Tensor:
        """The mean loss of what `load` gave for these photos."""

    def evaluate(self, ranks: Ranks) -> Evaluation:
        """Measure the network as it is, in evaluation mode; ranks share the photos, and each knows
        the whole answer."""

    def picture(self, index: int) -> np.ndarray:
        """Test photo with truth and answer drawn on it, RGB uint8; in evaluation mode."""


class BackboneTask:
    """What tasks have in common: a backbone of which some may be kept from learning."""

    network: nn.Module

    def __init__(self, recipe: TransferRecipe, backbone: LoadedBackbone) -> None:
        self.recipe, self.backbone = recipe, backbone
        for norm in backbone.module.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.momentum = recipe.model.batch_norm_momentum
        freeze(backbone.module, recipe.model.frozen_stages)
        self._frozen = frozen_modules(backbone.module, recipe.model.frozen_stages)
        if recipe.model.norms == "fixed":
            fix_norms([backbone.module], affine=True)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def training_mode(self) -> None:
        """See `Task`."""
        self.network.train()
        fix_norms(self._frozen, affine=False)
        if self.recipe.model.norms == "fixed":
            fix_norms([self.backbone.module], affine=True)


def measured(count: int, ranks: Ranks, measure: Callable[[int], T], what: str = "") -> list[T]:
    """What `measure` finds for each of the numbers 0 to count - 1, of which every rank does a part.

    Args:
        count: of test photos, or batches of them.
        ranks: call this together.
        measure: gives something that can be pickled.
        what: for the progress bar.
    """
    numbers = ranks.portion(count)
    shown = track(numbers, f"testing {what}".strip()) if ranks.is_first else numbers
    own = ranks.together(lambda: [measure(number) for number in shown])
    return [found for part in ranks.collect(own) for found in part]


def scaled(images: np.ndarray, device: torch.device) -> torch.Tensor:
    """uint8 [batch, height, width, 3] -> float32 [batch, 3, height, width] in [-1, 1]."""
    tensor = torch.from_numpy(images).to(device).permute(0, 3, 1, 2)
    return tensor.float().sub_(127.5).div_(127.5)
