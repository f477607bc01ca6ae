"""The adaptive loss of Tencent ML-Images, on sparse tags.

For image i and category j with confidence z, logit x, and m categories:

    ce_ij  = eta z softplus(-x) + (1 - z) softplus(x)                              eta = 12
    s_j    = 1 if any image of the batch has category j (z >= 0.7), else 0
    t      = consecutive batches, this one included, in which s_j had its present value
    r_j    = max(0.01, log10(10 / (0.01 + t)))        where s_j = 1
             max(floor, log10(10 / (8 + t)))          where s_j = 0 and j is among the 10 % kept
             0                                        elsewhere
    loss   = sum over j of r_j * mean over i of ce_ij       (times 1 / m for the paper's formula)

So a category that shows up rarely weighs about 1 when it does, one in every batch (the roots of the
hierarchy) 0.01, and most absent ones nothing. r_j scales the whole column: both the positives and
the negatives of category j.

The two variants differ for absent categories. "paper": t counts every batch without j, and the
floor is 0.01. "code" is what was released (`train.py`): t counts only the batches in which j was
among those kept, and the floor is 0.001 (where the logarithm is not above 0.01).

Both take categories of which nothing is said as absent. With another `unknown_weight` w, ce_ij of
those is w softplus(x); 0 leaves them out. Their r_j is that of a category absent from the batch.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F

from mlimages.losses.base import TagLoss
from mlimages.losses.columns import ColumnCrossEntropy
from mlimages.losses.targets import UNKNOWN, SparseTargets

POSITIVE_FLOOR = 0.01
NEGATIVE_FLOOR = {"paper": 0.01, "code": 0.001}
LOSS_STREAM = 1  # keeps these random numbers apart from others keyed by the same seed


class PaperLoss(TagLoss):
    """The adaptive loss; its counters are buffers, so they are saved and restored with it.

    Args:
        num_classes: number of categories, m.
        variant: "paper" or "code"; see the module.
        reduction: "sum" over categories, as the released code, or "mean", the paper's 1 / m (then
            scale the learning rate by m for the same steps). Over images it is always the mean.
        positive_weight: eta.
        keep_negatives: share of the absent categories that count in a step.
        status_threshold: confidence from which a tag makes its category present.
        seed: with the step it decides which absent categories are kept, so that a resumed run
            and all ranks agree.
        unknown_weight: w; see the module.
    """

    pos_t: torch.Tensor
    neg_t: torch.Tensor

    def __init__(
        self,
        num_classes: int,
        variant: Literal["paper", "code"] = "paper",
        reduction: Literal["sum", "mean"] = "sum",
        positive_weight: float = 12.0,
        keep_negatives: float = 0.1,
        status_threshold: float = 0.7,
        seed: int = 0,
        unknown_weight: float = 1.0,
    ) -> None:
        super().__init__(num_classes, reduction)
        self.variant = variant
        self.positive_weight = positive_weight
        self.keep_negatives = keep_negatives
        self.status_threshold = status_threshold
        self.seed = seed
        self.unknown_weight = unknown_weight
        self.register_buffer("pos_t", torch.zeros(num_classes, dtype=torch.int64))
        self.register_buffer("neg_t", torch.zeros(num_classes, dtype=torch.int64))
        self._columns = torch.zeros(0, dtype=torch.int64)  # categories with a weight above 0
        self._weights = torch.zeros(0, dtype=torch.float64)  # and these weights

    def begin_step(self, targets: SparseTargets, step: int) -> None:
        """Count the categories of a whole effective batch and set this step's weights.

        Args:
            targets: tags of all images of the step, over all micro-batches.
            step: number of the step, from 0.
        """
        weights = self._weigh(targets, self._kept(step))
        self._columns = weights.nonzero().squeeze(1)
        self._weights = weights[self._columns]
        super().begin_step(targets, step)

    def forward(self, logits: torch.Tensor, targets: SparseTargets) -> torch.Tensor:
        """The part of the step's loss that comes from some of its images; the parts add up.

        Args:
            logits: [B, num_classes], of any floating type; computed in float32 at least.
            targets: tags of these B images.
        """
        if self.unknown_weight != 1:
            return self._of_known(logits, targets) / self._batch_size * self.scale
        # Nine tenths of a large vocabulary weigh nothing: only the other columns are touched.
        total = ColumnCrossEntropy.apply(
            logits, self._columns, self._weights, self._entries(targets), self.positive_weight
        )
        return total / self._batch_size * self.scale

    def _of_known(self, logits: torch.Tensor, targets: SparseTargets) -> torch.Tensor:
        """The sum over entries, and over all else of what `unknown_weight` leaves of it."""
        x = logits if logits.dtype == torch.float64 else logits.float()
        rows, columns, z = targets.rows, targets.indices, targets.values.to(x.dtype)
        weights = x.new_zeros(self.num_classes)
        weights[self._columns] = self._weights.to(x.dtype)
        tagged = x[rows, columns]
        ce = self.positive_weight * z * F.softplus(-tagged) + (1 - z) * F.softplus(tagged)
        entries = torch.where(z == UNKNOWN, 0.0, ce) * weights[columns]
        if targets.weights is not None:
            entries = entries * targets.weights.to(x.dtype)
        if self.unknown_weight == 0:
            return entries.sum()
        silent = torch.ones_like(x).index_put((rows, columns), x.new_zeros(()))[:, self._columns]
        silent = silent * F.softplus(x.index_select(1, self._columns))
        return self.unknown_weight * (silent * weights[self._columns]).sum() + entries.sum()

    def _kept(self, step: int) -> torch.Tensor:
        """bool [num_classes]: the absent categories that count in this step."""
        bits = np.random.Philox(key=[self.seed, step], counter=[0, 0, 0, LOSS_STREAM])
        draws = np.random.Generator(bits).random(self.num_classes)
        return torch.from_numpy(draws <= self.keep_negatives).to(self.pos_t.device)

    def _weigh(self, targets: SparseTargets, kept: torch.Tensor) -> torch.Tensor:
        """Update the counters; float64 [num_classes], the r_j of this step."""
        present = torch.zeros_like(kept)
        present[targets.indices[targets.values >= self.status_threshold]] = True
        counted = ~present & kept if self.variant == "code" else ~present
        self.pos_t.copy_(torch.where(present, self.pos_t + 1, 0))
        self.neg_t.copy_(torch.where(present, 0, self.neg_t + counted))
        positive = torch.log10(10 / (0.01 + self.pos_t.double())).clamp(min=POSITIVE_FLOOR)
        negative = torch.log10(10 / (8 + self.neg_t.double()))
        # The released code tests against 0.01 and falls to its floor: nothing lies in between.
        negative = torch.where(negative > 0.01, negative, NEGATIVE_FLOOR[self.variant])
        return torch.where(present, positive, torch.where(kept, negative, 0.0))

    def _entries(self, targets: SparseTargets) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Image, position among the step's columns, and confidence of each tag that counts."""
        place = self._columns.new_full((self.num_classes,), -1)
        place[self._columns] = torch.arange(self._columns.numel(), device=place.device)
        column = place[targets.indices]
        here = column >= 0
        return targets.rows[here], column[here], targets.values[here]
