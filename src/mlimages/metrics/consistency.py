"""Whether scores agree with the hierarchy: an image with a category has every ancestor of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlimages.metrics.multilabel import OneProcess, Ranks

EDGES_AT_ONCE = 1 << 12


@dataclass(frozen=True)
class Consistency:
    """How often a child outscores its parent.

    Attributes:
        edges: pairs of a child and its parent that are both scored.
        violations: share of all edges of all images where the child's score is the greater.
        mean_excess: of its score over the parent's where it is; 0 without violations.
        images_with_violations: share of the images that have one.
    """

    edges: int
    violations: float
    mean_excess: float
    images_with_violations: float


class ConsistencyMeter:
    """Counts violations batch by batch; memory is that of a batch.

    Args:
        child, parent: int [edges], columns of the scores.
        ranks: the processes that each measure a part of the images.
    """

    def __init__(self, child: np.ndarray, parent: np.ndarray, ranks: Ranks | None = None) -> None:
        self.child, self.parent, self._ranks = child, parent, ranks or OneProcess()
        self._sums = np.zeros(4)  # images, violations, their excess, images with one

    def update(self, scores: np.ndarray) -> None:
        """Add a batch of scores, [B, categories]."""
        violated = np.zeros(len(scores), np.int64)
        excess = 0.0
        for start in range(0, len(self.child), EDGES_AT_ONCE):
            part = slice(start, start + EDGES_AT_ONCE)
            above = scores[:, self.child[part]] - scores[:, self.parent[part]]  # [B, edges]
            violated += (above > 0).sum(1)
            excess += above.sum(where=above > 0, dtype=np.float64)
        self._sums += len(scores), violated.sum(), excess, (violated > 0).sum()

    def compute(self) -> Consistency:
        """Over everything added."""
        images, violations, excess, touched = self._ranks.sum(self._sums).tolist()
        pairs = images * len(self.child)
        return Consistency(
            len(self.child),
            violations / pairs if pairs else 0.0,
            excess / violations if violations else 0.0,
            touched / images if images else 0.0,
        )
