"""Semantic softmax, extended to many tags an image.

Ridnik et al., "ImageNet-21K Pretraining for the Masses", NeurIPS 2021: the categories of each depth
of the hierarchy compete in a softmax of their own, so that a dog is held against other animals, not
against being an animal. Theirs takes one leaf an image and what is above it. Here an image may have
any number of tags at a depth: its target there is their confidences, divided by their sum; depths
at which it has none are left out. The mean over depths that count, so that deep and shallow images
weigh the same.
"""

from __future__ import annotations

import torch

from mlimages.losses.base import SummedLoss
from mlimages.losses.targets import SparseTargets


class SemanticSoftmaxLoss(SummedLoss):
    """See the module.

    Args:
        depths: int64 [num_classes], edges to the root, of each category.
        smoothing: share of the target that is spread over all categories of a depth.
    """

    depths: torch.Tensor

    def __init__(self, depths: torch.Tensor, smoothing: float = 0.0) -> None:
        super().__init__(len(depths), "sum")
        self.smoothing = smoothing
        _, depths = depths.unique(return_inverse=True)
        self.register_buffer("depths", depths, persistent=False)
        self.num_depths = int(depths.max()) + 1

    def total(self, x: torch.Tensor, targets: SparseTargets) -> torch.Tensor:
        """The sum over images."""
        present = targets.values > 0
        rows, columns = targets.rows[present], targets.indices[present]
        values = targets.values[present].to(x.dtype)
        cell = rows * self.num_depths + self.depths[columns]
        mass = x.new_zeros(len(targets) * self.num_depths).index_add(0, cell, values)
        shares = values / mass[cell]
        found = x.new_zeros(len(mass)).index_add(0, cell, shares * x[rows, columns])
        costs = []
        for depth in range(self.num_depths):
            members = x[:, self.depths == depth]
            hit = found.view(-1, self.num_depths)[:, depth]
            hit = (1 - self.smoothing) * hit + self.smoothing * members.mean(1)
            costs.append(torch.logsumexp(members, 1) - hit)
        counted = mass.view(-1, self.num_depths) > 0
        cost = torch.where(counted, torch.stack(costs, 1), 0.0)
        return (cost.sum(1) / counted.sum(1).clamp(min=1)).sum()
