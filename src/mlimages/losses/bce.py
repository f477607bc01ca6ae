"""Plain binary cross-entropy on sparse tags, without a dense target."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from mlimages.losses.base import SummedLoss
from mlimages.losses.targets import UNKNOWN, SparseTargets


class BinaryCrossEntropy(SummedLoss):
    """-z log p - (1 - z) log(1 - p) with p = sigmoid(x); the mean over images.

    As softplus(x) - z x this needs the tags only where there are some. Categories without an entry
    count as absent; where they are unknown, or entries have weights, see `losses.asymmetric`.
    """

    def total(self, x: torch.Tensor, targets: SparseTargets) -> torch.Tensor:
        """The sum over images and categories."""
        tagged = x[targets.rows, targets.indices]  # [entries]
        z = targets.values.to(x.dtype)
        change = torch.where(z == UNKNOWN, -F.softplus(tagged), -z * tagged)
        return F.softplus(x).sum() + change.sum()
