"""Image-category pairs and their scores: tags, and what someone said is absent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlimages.metrics.counting import Thresholds


@dataclass(frozen=True)
class Pairs:
    """Image-category pairs with their scores; `rows` are numbers of images."""

    rows: np.ndarray
    categories: np.ndarray
    scores: np.ndarray

    def where(self, chosen: np.ndarray) -> Pairs:
        """Some of them."""
        return Pairs(self.rows[chosen], self.categories[chosen], self.scores[chosen])

    def as_one(self) -> Pairs:
        """The same, all of one category."""
        return Pairs(self.rows, np.zeros_like(self.categories), self.scores)


class PairStore:
    """The pairs of all batches."""

    def __init__(self) -> None:
        self._parts: list[Pairs] = []

    def add(
        self, scores: np.ndarray, indptr: np.ndarray, categories: np.ndarray, first: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Note the scores of a batch's pairs; returns their rows in the batch and categories."""
        rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
        categories = np.asarray(categories[indptr[0] : indptr[-1]], dtype=np.int64)
        self._parts.append(Pairs(rows + first, categories, scores[rows, categories]))
        return rows, categories

    def joined(self) -> Pairs:
        """All of them."""
        if len(self._parts) != 1:
            none = Pairs(np.empty(0, int), np.empty(0, np.int64), np.empty(0, np.float32))
            parts = [none, *self._parts]
            columns = zip(*((p.rows, p.categories, p.scores) for p in parts), strict=True)
            self._parts = [Pairs(*(np.concatenate(column) for column in columns))]
        return self._parts[0]


def count_pairs(thresholds: Thresholds, pairs: Pairs) -> np.ndarray:
    """How many pairs have each threshold of their category as the highest not above them."""
    counts = np.zeros(len(thresholds.values), dtype=np.int64)
    order = np.argsort(pairs.categories, kind="stable")
    categories, scores = pairs.categories[order], pairs.scores[order]
    for category in np.unique(categories):
        start, stop = thresholds.offsets[category : category + 2]
        first, last = np.searchsorted(categories, (category, category + 1))
        places = np.searchsorted(thresholds.values[start:stop], scores[first:last], side="right")
        counts[start:stop] += np.bincount(places, minlength=stop - start + 1)[1:]
    return counts
