"""Precision, recall and F1 of the top 5 and 10, and average precision, for multi-label predictions.

Every image counts as a negative of every category it is not tagged with ("closed-world"): with
incomplete tags the numbers are too low, the same for all models.

- Instance level, top k: P = mean of |T & K| / k and R = mean of |T & K| / |T| over the images with
  at least one tag, where T are an image's tags and K its k highest scores.
- Class level, top k: for each category P = hits / times predicted (0 when never) and R = hits /
  positives, averaged over the categories with at least one positive.
- F1 is taken from the averaged P and R, at both levels.
- Average precision: the area under the precision-recall steps, sum (R_n - R_(n-1)) P_n over
  distinct scores, as scikit-learn and torchmetrics compute it: tied scores enter together, so a
  constant score has the category's prevalence. Macro: mean over the categories with enough
  positives. Micro: over all image-category pairs of these same categories.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

TOP = (5, 10)
NEGATIVES = "closed-world"
# Numbers worked on at once: blocks of columns, and chunks of the flattened matrix.
BLOCK_VALUES = 1 << 24


@dataclass(frozen=True)
class TopScores:
    """Precision, recall and F1 (from the averaged two) of the k highest scores."""

    precision: float
    recall: float
    f1: float

    @classmethod
    def of(cls, precision: float, recall: float) -> TopScores:
        """Complete P and R with their harmonic mean."""
        total = precision + recall
        return cls(precision, recall, 2 * precision * recall / total if total > 0 else 0.0)


@dataclass(frozen=True)
class MultilabelResult:
    """All measures of one model on one set of images.

    Attributes:
        images: number of images.
        categories: number of categories in the macro mean, those with `minimum_positives`.
        minimum_positives: positives a category needs to enter macro and micro mAP.
        instance: by "top5" and "top10", averaged over images.
        per_class: by "top5" and "top10", averaged over categories.
        map_macro, map_micro: mean average precision; NaN when no category has enough positives.
        average_precision: [all categories], NaN where there is no positive.
        support: positives of each category.
        negatives: what counts as a negative; always "closed-world" here.
    """

    images: int
    categories: int
    minimum_positives: int
    instance: dict[str, TopScores]
    per_class: dict[str, TopScores]
    map_macro: float
    map_micro: float
    average_precision: np.ndarray = field(repr=False)
    support: np.ndarray = field(repr=False)
    negatives: str = NEGATIVES

    def summary(self) -> dict[str, float | int | str]:
        """The headline numbers under flat names, for logs and tables."""
        numbers: dict[str, float | int | str] = {
            "images": self.images,
            "categories": self.categories,
            "minimum_positives": self.minimum_positives,
            "negatives": self.negatives,
            "map_macro": self.map_macro,
            "map_micro": self.map_micro,
        }
        for level, scores in (("instance", self.instance), ("class", self.per_class)):
            for top, values in scores.items():
                numbers[f"{level}_precision_{top}"] = values.precision
                numbers[f"{level}_recall_{top}"] = values.recall
                numbers[f"{level}_f1_{top}"] = values.f1
        return numbers


class MultilabelMetrics:
    """Collects scores batch by batch, then computes every measure.

    All scores are kept as float32: 4 bytes x images x categories (5 MB for 2,500 images of 500
    categories, 4 GB for the 88,739 validation images of all 11,166).

    Args:
        num_categories: columns of the scores.
        minimum_positives: positives that a category needs to enter macro and micro mAP.
    """

    def __init__(self, num_categories: int, minimum_positives: int = 1) -> None:
        self.num_categories = num_categories
        self.minimum_positives = max(1, minimum_positives)
        self._scores: list[np.ndarray] = []
        self._rows: list[np.ndarray] = []
        self._categories: list[np.ndarray] = []
        self._images = 0

    def update(self, scores: np.ndarray, indptr: np.ndarray, categories: np.ndarray) -> None:
        """Add a batch.

        Args:
            scores: [B, num_categories], finite; higher means more likely.
            indptr: [B + 1]; tags of image i are categories[indptr[i]:indptr[i + 1]].
            categories: the tags, columns of `scores`, without repeats within an image.

        Raises:
            ValueError: shapes disagree, or a score is NaN.
        """
        if scores.shape != (len(indptr) - 1, self.num_categories):
            expected = (len(indptr) - 1, self.num_categories)
            raise ValueError(f"scores have the shape {scores.shape}, expected {expected}")
        if np.isnan(scores).any():
            raise ValueError("a score is NaN")
        counts = np.diff(indptr)
        self._scores.append(np.asarray(scores, dtype=np.float32))
        self._rows.append(np.repeat(np.arange(len(counts)) + self._images, counts))
        self._categories.append(np.asarray(categories[indptr[0] : indptr[-1]], dtype=np.int64))
        self._images += len(counts)

    def compute(self) -> MultilabelResult:
        """All measures over everything added; raises ValueError when nothing was."""
        if self._images == 0:
            raise ValueError("no images were added")
        rows, categories = np.concatenate(self._rows), np.concatenate(self._categories)
        support = np.bincount(categories, minlength=self.num_categories)
        enough = support >= self.minimum_positives
        precisions = self._average_precisions(rows, categories, support)
        instance, per_class = {}, {}
        for k in TOP:
            instance[f"top{k}"], per_class[f"top{k}"] = self._top(k, rows, categories, support)
        return MultilabelResult(
            self._images,
            int(enough.sum()),
            self.minimum_positives,
            instance,
            per_class,
            float(precisions[enough].mean()) if enough.any() else float("nan"),
            self._micro(rows, categories, enough),
            precisions,
            support,
        )

    def _average_precisions(
        self, rows: np.ndarray, categories: np.ndarray, support: np.ndarray
    ) -> np.ndarray:
        order = np.argsort(categories, kind="stable")
        rows_by_category = np.split(rows[order], np.cumsum(support)[:-1])
        result = np.full(self.num_categories, np.nan)
        for start, block in self._column_blocks():
            for offset, column in enumerate(block):
                positive_rows = rows_by_category[start + offset]
                if len(positive_rows):
                    result[start + offset] = average_precision(column, positive_rows)
        return result

    def _column_blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """(first category, scores [categories, images]) for some categories at a time."""
        width = max(1, BLOCK_VALUES // self._images)
        for start in range(0, self.num_categories, width):
            parts = [scores[:, start : start + width] for scores in self._scores]
            yield start, np.ascontiguousarray(np.concatenate(parts).T)

    def _micro(self, rows: np.ndarray, categories: np.ndarray, enough: np.ndarray) -> float:
        chosen = enough[categories]
        if not chosen.any():
            return float("nan")
        positives = self._gather(rows[chosen], categories[chosen])
        thresholds = np.unique(positives)
        at_least = np.zeros(len(thresholds), dtype=np.int64)
        for scores in self._scores:
            for part in np.array_split(scores, max(1, scores.size // BLOCK_VALUES)):
                # A score counts for every threshold up to it.
                below = np.searchsorted(thresholds, part[:, enough].ravel(), side="right")
                counts = np.bincount(below, minlength=len(thresholds) + 1)
                at_least += counts[::-1].cumsum()[::-1][1:]
        return _mean_precision(np.sort(positives), thresholds, at_least)

    def _gather(self, rows: np.ndarray, categories: np.ndarray) -> np.ndarray:
        starts = np.cumsum([0] + [len(scores) for scores in self._scores])
        batch = np.searchsorted(starts, rows, side="right") - 1
        values = np.empty(len(rows), dtype=np.float32)
        for number, scores in enumerate(self._scores):
            here = batch == number
            values[here] = scores[rows[here] - starts[number], categories[here]]
        return values

    def _top(
        self, k: int, rows: np.ndarray, categories: np.ndarray, support: np.ndarray
    ) -> tuple[TopScores, TopScores]:
        predicted = np.zeros(self.num_categories, dtype=np.int64)
        hit = np.zeros(len(rows), dtype=bool)
        bounds = np.searchsorted(rows, np.cumsum([0] + [len(scores) for scores in self._scores]))
        first = 0
        for number, scores in enumerate(self._scores):
            chosen = top_k(scores, k)
            predicted += chosen.sum(0)
            tags = slice(bounds[number], bounds[number + 1])
            hit[tags] = chosen[rows[tags] - first, categories[tags]]
            first += len(scores)
        tagged = np.bincount(rows, minlength=self._images)
        hits = np.bincount(rows[hit], minlength=self._images)[tagged > 0]
        tagged = tagged[tagged > 0]
        if len(tagged) == 0:
            return TopScores.of(0.0, 0.0), TopScores.of(0.0, 0.0)
        instance = TopScores.of(float((hits / k).mean()), float((hits / tagged).mean()))
        present = support > 0
        class_hits = np.bincount(categories[hit], minlength=self.num_categories)[present]
        precision = class_hits / np.maximum(predicted[present], 1)
        recall = class_hits / support[present]
        return instance, TopScores.of(float(precision.mean()), float(recall.mean()))


def average_precision(scores: np.ndarray, positive_rows: np.ndarray) -> float:
    """Average precision of one category, tied scores entering together.

    At a positive's score the precision is (positives scored at least so) / (all scored so), and
    the average over positives is the area under the steps.

    Args:
        scores: [images].
        positive_rows: indices of the positives, at least one.
    """
    thresholds, counts = np.unique(scores[positive_rows], return_counts=True)
    at_least = len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")
    return _mean_precision(np.repeat(thresholds, counts), thresholds, at_least)


def _mean_precision(positives: np.ndarray, thresholds: np.ndarray, at_least: np.ndarray) -> float:
    """Mean over the sorted positive scores of (positives >= it) / (scores >= it)."""
    place = np.searchsorted(thresholds, positives)
    positives_at_least = len(positives) - np.searchsorted(positives, thresholds, side="left")
    return float((positives_at_least / at_least)[place].mean())


def top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """bool [B, C]: each row's k highest scores (or all); of ties the lowest indices."""
    if k >= scores.shape[1]:
        return np.ones(scores.shape, dtype=bool)
    kth = -np.partition(-scores, k - 1, axis=1)[:, k - 1 : k]
    chosen = scores > kth
    tied = scores == kth
    room = k - chosen.sum(1, keepdims=True)
    return chosen | (tied & (np.cumsum(tied, axis=1) <= room))


def frequency_baseline(
    frequencies: np.ndarray,
    indptr: np.ndarray,
    categories: np.ndarray,
    minimum_positives: int = 1,
) -> MultilabelResult:
    """The measures of predicting every category's training frequency for every image.

    Its average precision is the prevalence of each category; its top k are always the same.

    Args:
        frequencies: [num_categories], such as the share of training images with each category.
        indptr, categories: tags of the images, as in `MultilabelMetrics.update`.
        minimum_positives: as in `MultilabelMetrics`.
    """
    metrics = MultilabelMetrics(len(frequencies), minimum_positives)
    scores = np.asarray(frequencies, dtype=np.float32)
    for start in range(0, len(indptr) - 1, 1024):
        part = indptr[start : start + 1025]
        # Broadcasting gives a view: the baseline needs no memory of its own.
        metrics.update(np.broadcast_to(scores, (len(part) - 1, len(scores))), part, categories)
    return metrics.compute()
