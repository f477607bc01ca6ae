"""Losses that treat positives, stated negatives and unknown categories each in its own way.

With p = sigmoid(x) and q = max(p - clip, 0), the terms of a category are

    positive   z  (1 - p)^gamma_positive (-log p)
    negative   (1 - z) q^gamma_negative  (-log(1 - q))     stated: an entry of value below 1
    unknown    w q^gamma_unknown (-log(1 - q))             no entry; w is 0 where they are ignored

so that, by its settings, one class is several published losses:

    binary cross-entropy   all gammas and the clip 0
    focal                  all gammas equal, clip 0              Lin et al., ICCV 2017
    asymmetric             gammas 1 / 4 / 4 (clip 0.05)          Ridnik et al., ICCV 2021
    partial asymmetric     a larger gamma for unknown            Ben-Baruch et al., CVPR 2022
    selective              ignores unknown categories that are likely to be there: those frequent
                           in general, and the most likely ones of each image     (the same)
    class-balanced         each category weighted by (1 - b) / (1 - b^n), n its images
                           Cui et al., CVPR 2019

The paper of the selective loss takes the most likely ones over a whole batch; here it is so many an
image, so that the loss does not depend on how a batch is divided.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from mlimages.losses.base import Reduction, SummedLoss, negative_term, positive_term
from mlimages.losses.targets import UNKNOWN, SparseTargets

Unknown = Literal["negative", "ignore", "selective"]


@dataclass(frozen=True)
class AsymmetricSettings:
    """The numbers of the formulas above.

    Attributes:
        gamma_positive, gamma_negative, gamma_unknown: exponents.
        clip: probability below which a negative costs nothing.
        unknown: what categories without an entry are: negatives, ignored, or selected.
        likely_ignored: with "selective", so many unknown categories an image are ignored: those
            with the largest logits.
        prior_ignored: with "selective", unknown categories of a larger share of the training images
            are ignored.
        differentiate_weight: whether the powers have a gradient (focal loss) or are constants.
        unknown_weight: w, of unknown categories that are not ignored.
    """

    gamma_positive: float = 1.0
    gamma_negative: float = 4.0
    gamma_unknown: float = 4.0
    clip: float = 0.05
    unknown: Unknown = "negative"
    likely_ignored: int = 5
    prior_ignored: float = 0.5
    differentiate_weight: bool = False
    unknown_weight: float = 1.0


class AsymmetricLoss(SummedLoss):
    """See the module.

    Args:
        num_classes: number of categories, m.
        settings: the numbers of the formulas.
        reduction: over categories.
        prior: [num_classes], share of the training images that show each; for "selective".
        weights: [num_classes], factor on all terms of each category.
    """

    frequent: torch.Tensor
    weights: torch.Tensor | None

    def __init__(
        self,
        num_classes: int,
        settings: AsymmetricSettings,
        reduction: Reduction = "sum",
        prior: torch.Tensor | None = None,
        weights: torch.Tensor | None = None,
    ) -> None:
        super().__init__(num_classes, reduction)
        self.settings = settings
        frequent = torch.zeros(num_classes, dtype=torch.bool)
        if prior is not None and settings.unknown == "selective":
            frequent = prior > settings.prior_ignored
        # Not saved: they follow from the recipe and the data.
        self.register_buffer("frequent", frequent, persistent=False)
        self.register_buffer("weights", weights, persistent=False)

    def total(self, x: torch.Tensor, targets: SparseTargets) -> torch.Tensor:
        """The sum over images and categories."""
        s, detach = self.settings, not self.settings.differentiate_weight
        rows, columns = targets.rows, targets.indices
        tagged, z = x[rows, columns], targets.values.to(x.dtype)
        positive = positive_term(tagged, s.gamma_positive, detach)
        negative = negative_term(tagged, s.gamma_negative, s.clip, detach)
        entries = torch.where(z == UNKNOWN, 0.0, z * positive + (1 - z) * negative)
        if targets.weights is not None:
            entries = entries * targets.weights.to(x.dtype)
        if s.unknown == "ignore":
            return self._sum(entries, columns)
        silent = negative_term(x, s.gamma_unknown, s.clip, detach)
        silent = silent.masked_fill(self._left_out(x, targets), 0.0)
        if self.weights is not None:
            silent = silent * self.weights.to(x.dtype)
        return s.unknown_weight * silent.sum() + self._sum(entries, columns)

    def _left_out(self, x: torch.Tensor, targets: SparseTargets) -> torch.Tensor:
        """bool [B, num_classes]: entries, which have terms of their own, and ignored categories."""
        has_entry = torch.zeros(x.shape, dtype=torch.bool, device=x.device)
        has_entry[targets.rows, targets.indices] = True
        if self.settings.unknown != "selective":
            return has_entry
        left_out = has_entry | self.frequent
        most = min(self.settings.likely_ignored, self.num_classes)
        likely = x.detach().masked_fill(left_out, -torch.inf).topk(most, dim=1)
        return left_out.scatter(1, likely.indices, True)

    def _sum(self, values: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        if self.weights is None:
            return values.sum()
        return (values * self.weights[columns].to(values.dtype)).sum()


def class_balanced_weights(frequencies: np.ndarray, beta: float = 0.9999) -> torch.Tensor:
    """(1 - beta) / (1 - beta^n) of each category, scaled to the mean 1; float32 [num_classes].

    Args:
        frequencies: training images of each category; none counts as one.
        beta: 0 weighs all the same, towards 1 by the inverse of the frequency.
    """
    effective = -np.expm1(np.log(beta) * np.maximum(frequencies, 1)) if beta else 1.0
    weights = (1 - beta) / effective * np.ones(len(frequencies))
    return torch.from_numpy(weights / weights.mean()).float()
