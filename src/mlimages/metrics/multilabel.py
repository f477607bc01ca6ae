"""Precision, recall and F1 of the top 5 and 10, and average precision, for multi-label predictions.

- Instance level, top k: P = mean of |T & K| / k and R = mean of |T & K| / |T| over the images with
  at least one tag, where T are an image's tags and K its k highest scores.
- Class level, top k: for each category P = hits / times predicted (0 when never) and R = hits /
  positives, averaged over the categories with at least one positive.
- F1 is taken from the averaged P and R, at both levels.
- Average precision: the area under the precision-recall steps, sum (R_n - R_(n-1)) P_n over
  distinct scores, as scikit-learn and torchmetrics compute it: tied scores enter together, so a
  constant score has the category's prevalence. Macro: mean over the categories with enough
  positives. Micro: over all image-category pairs of these same categories.

Every average precision says what its negatives are. "closed-world": every category that an image is
not tagged with; with incomplete tags the numbers are too low, the same for all models. "verified":
only where someone said that the category is absent. "exhaustive": only where the silence of a
source that names all of its categories says so. With the last two, a category of which no negative
is known enters neither mean.

Scores arrive in batches, and on several ranks; the result is the same, exactly.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from mlimages.metrics.counting import Thresholds, count_all_scores, count_scores
from mlimages.metrics.pairs import Pairs, PairStore, count_pairs
from mlimages.metrics.results import MultilabelResult, Negatives, TopScores, is_measured
from mlimages.metrics.scores import MEMORY_BYTES, ScoreStore
from mlimages.metrics.top import top_indices

TOP = (5, 10)


class Ranks(Protocol):
    """The processes among which the images of an evaluation are divided."""

    def sum(self, array: np.ndarray) -> np.ndarray:
        """The sum of everyone's array, on all."""

    def gather(self, array: np.ndarray) -> np.ndarray:
        """Everyone's array, one after the other, on all."""


class OneProcess:
    """No other ranks."""

    def sum(self, array: np.ndarray) -> np.ndarray:
        """The array itself."""
        return array

    def gather(self, array: np.ndarray) -> np.ndarray:
        """The array itself."""
        return array


class MultilabelMetrics:
    """Collects scores batch by batch, then computes every measure.

    Top-k measures are counted as batches come. All scores are kept for the average precision:
    beyond `memory_bytes` in a temporary file (4 bytes x images x categories).

    Args:
        num_categories: columns of the scores.
        minimum_positives: positives that a category needs to enter macro and micro mAP.
        negatives: what counts as a negative; see the module.
        exhaustive: bool [groups, num_categories], of which categories the silence about the images
            of a group says that they are absent; for "exhaustive".
        ranks: the processes that each measure a part of the images.
        memory_bytes: of scores.
    """

    def __init__(
        self,
        num_categories: int,
        minimum_positives: int = 1,
        negatives: Negatives = "closed-world",
        exhaustive: np.ndarray | None = None,
        ranks: Ranks | None = None,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        if (negatives == "exhaustive") != (exhaustive is not None):
            raise ValueError("negatives are exhaustive where `exhaustive` says of what")
        self.num_categories = num_categories
        self.minimum_positives = max(1, minimum_positives)
        self.negatives: Negatives = negatives
        self._exhaustive = exhaustive
        self._ranks = ranks or OneProcess()
        self._store = ScoreStore(num_categories, memory_bytes)
        self._tags = PairStore()
        self._absent = PairStore()
        self._groups: list[np.ndarray] = []
        self._tagged = 0
        self._sums = {k: np.zeros(2) for k in TOP}  # of precision and recall over images
        self._hits = {k: np.zeros(num_categories, np.int64) for k in TOP}
        self._predicted = {k: np.zeros(num_categories, np.int64) for k in TOP}

    def update(
        self,
        scores: np.ndarray,
        indptr: np.ndarray,
        categories: np.ndarray,
        absent: tuple[np.ndarray, np.ndarray] | None = None,
        group: np.ndarray | None = None,
    ) -> None:
        """Add a batch.

        Args:
            scores: [B, num_categories], finite; higher means more likely.
            indptr: [B + 1]; tags of image i are categories[indptr[i]:indptr[i + 1]].
            categories: the tags, columns of `scores`, without repeats within an image.
            absent: the same two arrays for what someone said is absent; for "verified".
            group: int [B], the row of `exhaustive` that holds for each image.

        Raises:
            ValueError: shapes disagree, a score is NaN, or what the negatives need is missing.
        """
        if scores.shape != (len(indptr) - 1, self.num_categories):
            expected = (len(indptr) - 1, self.num_categories)
            raise ValueError(f"scores have the shape {scores.shape}, expected {expected}")
        if np.isnan(scores).any():
            raise ValueError("a score is NaN")
        if (self.negatives == "verified") != (absent is not None):
            raise ValueError("`absent` is for verified negatives, which need it")
        if (self.negatives == "exhaustive") != (group is not None):
            raise ValueError("`group` is for exhaustive negatives, which need it")
        scores = scores if scores.dtype == np.float32 else scores.astype(np.float32)
        first = self._store.num_images
        rows, tags = self._tags.add(scores, indptr, categories, first)
        if absent is not None:
            self._absent.add(scores, *absent, first)
        if group is not None:
            self._groups.append(np.asarray(group, np.int64))
        if self.negatives == "verified":  # only scores of entries are ever looked at
            self._store.num_images += len(scores)
        else:
            self._store.append(scores)
        self._count_top(scores, rows, tags)

    def compute(self) -> MultilabelResult:
        """All measures over everything added; raises ValueError when nothing was."""
        images = int(self._ranks.sum(np.array(self._store.num_images)))
        if images == 0:
            raise ValueError("no images were added")
        local = self._tags.joined()
        categories = self._ranks.gather(local.categories)
        scores = self._ranks.gather(local.scores)
        support = np.bincount(categories, minlength=self.num_categories)
        negatives = self._negative_support(support, images, local)
        enough = is_measured(support, negatives, self.minimum_positives, self.negatives)
        thresholds = Thresholds(categories, scores, self.num_categories)
        precisions = self._average_precisions(thresholds, local)
        instance, per_class = self._top(support)
        return MultilabelResult(
            images,
            int(enough.sum()),
            self.minimum_positives,
            instance,
            per_class,
            float(precisions[enough].mean()) if enough.any() else float("nan"),
            self._micro(categories, scores, enough, local),
            precisions,
            support,
            self.negatives,
            negatives,
        )

    def _average_precisions(self, thresholds: Thresholds, local: Pairs) -> np.ndarray:
        counts = self._ranks.sum(self._count(thresholds, local))
        above = thresholds.at_least(thresholds.positives)
        sums = np.concatenate(
            [[0], np.cumsum(thresholds.positives * above / thresholds.at_least(counts))]
        )
        totals = np.diff(np.concatenate([[0], np.cumsum(thresholds.positives)])[thresholds.offsets])
        with np.errstate(invalid="ignore"):
            return np.diff(sums[thresholds.offsets]) / totals

    def _count(self, thresholds: Thresholds, local: Pairs) -> np.ndarray:
        """Scores at each threshold up to the next: of positives, and of what counts as negative."""
        if self.negatives == "closed-world":
            return count_scores(self._store, thresholds)
        if self.negatives == "verified":
            absent = self._absent.joined()
            return count_pairs(thresholds, local) + count_pairs(thresholds, absent)
        group = self._group()
        counts = count_scores(self._store, thresholds, self._exhaustive, group)
        return counts + count_pairs(thresholds, local.where(~self._is_exhaustive(local, group)))

    def _micro(
        self, categories: np.ndarray, scores: np.ndarray, enough: np.ndarray, local: Pairs
    ) -> float:
        chosen = scores[enough[categories]]
        if not len(chosen):
            return float("nan")
        # One category that stands for all.
        together = Thresholds(np.zeros(len(chosen), np.int64), chosen, 1)
        mine = local.where(enough[local.categories])
        if self.negatives == "verified":
            absent = self._absent.joined()
            absent = absent.where(enough[absent.categories])
            counts = sum(count_pairs(together, part.as_one()) for part in (mine, absent))
        elif self.negatives == "closed-world":
            counts = count_all_scores(self._store, together.values, enough)
        else:
            group = self._group()
            counts = count_all_scores(self._store, together.values, enough, self._exhaustive, group)
            mine = mine.where(~self._is_exhaustive(mine, group))
            counts = counts + count_pairs(together, mine.as_one())
        counts = self._ranks.sum(np.asarray(counts))
        above = together.at_least(together.positives) / together.at_least(counts)
        return float((together.positives * above).sum() / len(chosen))

    def _negative_support(self, support: np.ndarray, images: int, local: Pairs) -> np.ndarray:
        if self.negatives == "closed-world":
            return images - support
        if self.negatives == "verified":
            absent = self._absent.joined().categories
            return self._ranks.sum(np.bincount(absent, minlength=self.num_categories))
        assert self._exhaustive is not None
        group = self._group()
        sizes = np.bincount(group, minlength=len(self._exhaustive))
        known = (sizes[:, None] * self._exhaustive).sum(0)
        both = local.where(self._is_exhaustive(local, group)).categories
        return self._ranks.sum(known - np.bincount(both, minlength=self.num_categories))

    def _group(self) -> np.ndarray:
        return np.concatenate([np.empty(0, np.int64), *self._groups])

    def _is_exhaustive(self, entries: Pairs, group: np.ndarray) -> np.ndarray:
        assert self._exhaustive is not None
        return self._exhaustive[group[entries.rows], entries.categories]

    def _count_top(self, scores: np.ndarray, rows: np.ndarray, tags: np.ndarray) -> None:
        tagged = np.bincount(rows, minlength=len(scores))
        has_tags = tagged > 0
        self._tagged += int(has_tags.sum())
        top = top_indices(scores, max(TOP))  # [B, 10], the highest first
        width = self.num_categories
        keys = np.sort(rows * width + tags)
        wanted = np.arange(len(scores))[:, None] * width + top
        place = np.searchsorted(keys, wanted)
        hit = np.zeros(top.shape, dtype=bool)
        if len(keys):
            hit = keys[np.minimum(place, len(keys) - 1)] == wanted
        for k in TOP:
            hits = hit[:, :k].sum(1)[has_tags]
            self._sums[k] += (hits / k).sum(), (hits / tagged[has_tags]).sum()
            self._predicted[k] += np.bincount(top[:, :k].ravel(), minlength=width)
            self._hits[k] += np.bincount(top[:, :k][hit[:, :k]], minlength=width)

    def _top(self, support: np.ndarray) -> tuple[dict[str, TopScores], dict[str, TopScores]]:
        instance, per_class = {}, {}
        tagged = int(self._ranks.sum(np.array(self._tagged)))
        present = support > 0
        for k in TOP:
            precision, recall = self._ranks.sum(self._sums[k]) / max(1, tagged)
            instance[f"top{k}"] = TopScores.of(float(precision), float(recall))
            hits, predicted = self._ranks.sum(self._hits[k]), self._ranks.sum(self._predicted[k])
            if not present.any():
                per_class[f"top{k}"] = TopScores.of(0.0, 0.0)
                continue
            precisions = hits[present] / np.maximum(predicted[present], 1)
            recalls = hits[present] / support[present]
            per_class[f"top{k}"] = TopScores.of(float(precisions.mean()), float(recalls.mean()))
        return instance, per_class
