"""What the losses share: the interface of the loop, and elementwise parts in stable form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from mlimages.losses.targets import SparseTargets

Reduction = Literal["sum", "mean"]


class TagLoss(nn.Module, ABC):
    """A loss on logits and sparse tags: over images the mean, over categories as `reduction` says.

    Args:
        num_classes: number of categories, m.
        reduction: "sum" over categories, or their "mean".
    """

    def __init__(self, num_classes: int, reduction: Reduction = "sum") -> None:
        super().__init__()
        self.num_classes = num_classes
        self.scale = 1.0 if reduction == "sum" else 1.0 / num_classes
        self._batch_size = 0

    def begin_step(self, targets: SparseTargets, step: int) -> None:
        """Take note of a whole effective batch, before its first micro-batch.

        Args:
            targets: tags of all images of the step, over all micro-batches.
            step: number of the step, from 0.
        """
        self._batch_size = len(targets)

    @abstractmethod
    def forward(self, logits: torch.Tensor, targets: SparseTargets) -> torch.Tensor:
        """The part of the step's loss that comes from some of its images; the parts add up.

        Args:
            logits: [B, num_classes], of any floating type; computed in float32 at least.
            targets: tags of these B images.
        """


class SummedLoss(TagLoss):
    """A loss that is a sum over images, which a subclass gives in `total`."""

    def forward(self, logits: torch.Tensor, targets: SparseTargets) -> torch.Tensor:
        """See `TagLoss`."""
        x = logits if logits.dtype == torch.float64 else logits.float()
        return self.total(x, targets) / self._batch_size * self.scale

    @abstractmethod
    def total(self, x: torch.Tensor, targets: SparseTargets) -> torch.Tensor:
        """The sum over these images and all categories of float logits [B, num_classes]."""


def positive_term(x: torch.Tensor, gamma: float, detach: bool) -> torch.Tensor:
    """-(1 - p)^gamma log p with p = sigmoid(x)."""
    return _weighted(F.softplus(-x), torch.sigmoid(-x), gamma, detach)


def negative_term(x: torch.Tensor, gamma: float, clip: float, detach: bool) -> torch.Tensor:
    """-q^gamma log(1 - q) with q = max(sigmoid(x) - clip, 0)."""
    if clip == 0:
        return _weighted(F.softplus(x), torch.sigmoid(x), gamma, detach)
    shifted = (torch.sigmoid(x) - clip).clamp(min=0)
    return _weighted(-torch.log1p(-shifted), shifted, gamma, detach)


def _weighted(value: torch.Tensor, base: torch.Tensor, gamma: float, detach: bool) -> torch.Tensor:
    if gamma == 0:
        return value
    # The slope of a power below 1 is infinite at 0.
    weight = (base.detach() if detach else base.clamp(min=1e-12)) ** gamma
    return weight * value
