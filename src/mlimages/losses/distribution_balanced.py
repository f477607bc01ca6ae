"""The distribution-balanced loss: Wu et al., ECCV 2020.

For category k of n_k of N images, p_k = n_k / N, C categories, and an image with the tags y:

    r_k   = (1 / n_k) / sum over its tags j of 1 / n_j      how much too often sampling an image for
                                                            any of its tags draws k as well
    w_k   = alpha + sigmoid(beta (r_k - mu))                the weight, near alpha where r is low
    nu_k  = kappa log(p_k / (1 - p_k)) / lambda             a head start, negative for rare ones
    loss  = sum over k of w_k [ y log(1 + exp(-(x + nu)))
                                + (1 - y) log(1 + exp(lambda (x + nu))) / lambda ]

so that a negative costs, once it is below, only lambda times as little: rare categories are not
pushed down for ever. Defaults are the authors' for VOC: alpha 0.1, beta 10, mu 0.3, lambda 5,
kappa 0.05.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from mlimages.losses.base import Reduction, SummedLoss
from mlimages.losses.targets import UNKNOWN, SparseTargets


class DistributionBalancedLoss(SummedLoss):
    """See the module.

    Args:
        frequencies: training images of each category, [num_classes].
        num_images: training images in all.
        reduction: over categories.
        alpha, beta, mu: of the rebalanced weight.
        negative_scale: lambda.
        head_start: kappa.
        unknown_weight: factor on the terms of categories without an entry: 1 takes them as absent,
            0 leaves them out.
    """

    inverse: torch.Tensor
    shift: torch.Tensor

    def __init__(
        self,
        frequencies: np.ndarray,
        num_images: int,
        reduction: Reduction = "sum",
        alpha: float = 0.1,
        beta: float = 10.0,
        mu: float = 0.3,
        negative_scale: float = 5.0,
        head_start: float = 0.05,
        unknown_weight: float = 1.0,
    ) -> None:
        super().__init__(len(frequencies), reduction)
        self.alpha, self.beta, self.mu = alpha, beta, mu
        self.negative_scale, self.unknown_weight = negative_scale, unknown_weight
        counts = np.clip(frequencies, 1, None).astype(np.float64)
        prior = counts / (num_images + 1)  # one image more keeps the logarithm finite
        shift = head_start * np.log(prior / (1 - prior)) / negative_scale
        self.register_buffer("inverse", torch.from_numpy(1 / counts), persistent=False)
        self.register_buffer("shift", torch.from_numpy(shift), persistent=False)

    def total(self, x: torch.Tensor, targets: SparseTargets) -> torch.Tensor:
        """The sum over images and categories."""
        rows, columns, z = targets.rows, targets.indices, targets.values.to(x.dtype)
        x = x + self.shift.to(x.dtype)
        weights = self._weights(targets, x)
        tagged = x[rows, columns]
        entries = weights[rows, columns] * (
            z * F.softplus(-tagged) + (1 - z) * self._negative(tagged)
        )
        entries = torch.where(z == UNKNOWN, 0.0, entries)
        if targets.weights is not None:
            entries = entries * targets.weights.to(x.dtype)
        if self.unknown_weight == 0:
            return entries.sum()
        silent = (weights * self._negative(x)).index_put((rows, columns), x.new_zeros(()))
        return self.unknown_weight * silent.sum() + entries.sum()

    def _negative(self, x: torch.Tensor) -> torch.Tensor:
        return F.softplus(self.negative_scale * x) / self.negative_scale

    def _weights(self, targets: SparseTargets, x: torch.Tensor) -> torch.Tensor:
        """w_k of each image and category, [B, num_classes]."""
        present = targets.values > 0
        drawn = torch.zeros(len(targets), dtype=torch.float64, device=x.device)
        drawn.index_add_(0, targets.rows[present], self.inverse[targets.indices[present]])
        # An image without tags is never drawn: all its weights are the lowest.
        ratio = self.inverse / drawn.clamp(min=1e-300)[:, None]
        ratio = torch.where(drawn[:, None] > 0, ratio, -torch.inf)
        return (self.alpha + torch.sigmoid(self.beta * (ratio - self.mu))).to(x.dtype)
