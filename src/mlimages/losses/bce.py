"""Plain binary cross-entropy on sparse tags, without a dense target."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from mlimages.losses.targets import UNKNOWN, SparseTargets


class BinaryCrossEntropy(nn.Module):
    """-z log p - (1 - z) log(1 - p) with p = sigmoid(x); the mean over images.

    As softplus(x) - z x this needs the tags only where there are some.

    Args:
        num_classes: number of categories, m.
        reduction: "sum" over categories, or their "mean".
    """

    def __init__(self, num_classes: int, reduction: Literal["sum", "mean"] = "sum") -> None:
        super().__init__()
        self.scale = 1.0 if reduction == "sum" else 1.0 / num_classes
        self._batch_size = 0

    def begin_step(self, targets: SparseTargets, step: int) -> None:
        """Note the size of the effective batch; see `PaperLoss.begin_step`."""
        self._batch_size = len(targets)

    def forward(self, logits: torch.Tensor, targets: SparseTargets) -> torch.Tensor:
        """The part of the step's loss that comes from some of its images; the parts add up.

        Args:
            logits: [B, num_classes], of any floating type; computed in float32 at least.
            targets: tags of these B images.
        """
        x = logits if logits.dtype == torch.float64 else logits.float()
        tagged = x[targets.rows, targets.indices]  # [entries]
        z = targets.values.to(x.dtype)
        change = torch.where(z == UNKNOWN, -F.softplus(tagged), -z * tagged)
        return (F.softplus(x).sum() + change.sum()) / self._batch_size * self.scale
