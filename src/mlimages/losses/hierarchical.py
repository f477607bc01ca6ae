"""Scores that agree with the hierarchy: a category is at least as likely as anything below it.

Giunchiglia and Lukasiewicz, "Coherent Hierarchical Multi-Label Classification Networks", NeurIPS
2020. The score of a category becomes the greatest logit among itself and its descendants. In the
loss a positive's greatest is taken over those descendants that are positive too: otherwise an image
of a cat, an animal, could be explained by raising the dog.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from mlimages.losses.base import TagLoss
from mlimages.losses.targets import SparseTargets


class ConsistentScores(nn.Module):
    """[B, m] logits -> [B, m] logits in which no category is below its descendants.

    Args:
        child, parent: int64 [edges], positions of categories; without cycles.
        num_classes: m.
    """

    def __init__(self, child: torch.Tensor, parent: torch.Tensor, num_classes: int) -> None:
        super().__init__()
        height = _heights(child, parent, num_classes)
        # Children are complete before their parents look at them.
        order = torch.argsort(height[parent], stable=True)
        self.child, self.parent = child[order], parent[order]
        steps = torch.bincount(height[parent], minlength=1).cumsum(0)
        self.bounds = [0, *steps.tolist()]

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        """Raise every category to the greatest logit below it."""
        scores = logits
        for start, stop in pairwise(self.bounds):
            if start < stop:
                parents = self.parent[start:stop].to(logits.device)
                below = scores[:, self.child[start:stop].to(logits.device)]
                index = parents.expand(len(scores), -1)
                scores = scores.scatter_reduce(1, index, below, "amax", include_self=True)
        return scores


class HierarchicalLoss(TagLoss):
    """Any loss, on scores that agree with the hierarchy.

    Args:
        loss: what to compute on the scores; its parts must be independent per category.
        scores: the hierarchy among the outputs.
    """

    def __init__(self, loss: TagLoss, scores: ConsistentScores) -> None:
        super().__init__(loss.num_classes)
        self.loss, self.scores = loss, scores

    def begin_step(self, targets: SparseTargets, step: int) -> None:
        """Take note of a whole effective batch."""
        self.loss.begin_step(targets, step)

    def forward(self, logits: torch.Tensor, targets: SparseTargets) -> torch.Tensor:
        """The part of the step's loss that comes from some of its images; the parts add up."""
        x = logits if logits.dtype == torch.float64 else logits.float()
        present = torch.zeros(x.shape, dtype=torch.bool, device=x.device)
        shown = targets.values > 0
        present[targets.rows[shown], targets.indices[shown]] = True
        among_positives = self.scores(torch.where(present, x, -torch.inf))
        return self.loss(torch.where(present, among_positives, self.scores(x)), targets)


def _heights(child: torch.Tensor, parent: torch.Tensor, num_classes: int) -> torch.Tensor:
    """int64 [num_classes]: the longest way down from each category, in edges."""
    height = torch.zeros(num_classes, dtype=torch.int64)
    for _ in range(num_classes):
        reached = height.scatter_reduce(0, parent, height[child] + 1, "amax", include_self=True)
        if torch.equal(reached, height):
            return height
        height = reached
    raise ValueError("the hierarchy has a cycle")
