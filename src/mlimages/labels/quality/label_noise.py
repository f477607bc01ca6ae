"""Tags that a network finds doubtful, ranked: confident learning on sparse predictions.

For each category, one against the rest (Northcutt, Jiang and Chuang, Confident learning, JAIR 70,
2021; for multi-label data Thyagarajan et al., Identifying incorrect annotations in multi-label
classification data, 2022), with p the probability of the category for an image:

    t1 = mean of p over images with the tag, t0 = mean of 1 - p over images without it
    doubtful tag:  the image has it, 1 - p >= t0 and p < 1/2
    missing tag:   it has not, p >= t1 and p > 1/2

Doubtful tags are ranked by p, missing ones by 1 - p, the least first: the self-confidence of what
the database says. On a flat hierarchy that is what cleanlab does. In a hierarchy:

- The probability of a category is the greatest at or below it: a husky is a dog.
- Only asserted tags can be doubtful, and of those the most specific: ancestors follow from them.
- A category above a tag is never missing: it follows, in the released forest or in WordNet. Of
  several missing ones the most specific is named.
- What a source says is absent is not missing, and of categories that the network never predicts
  nothing is known.

Probabilities that the table leaves out (below 0.05, by default) count as 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from mlimages.labels.absences import absent_categories
from mlimages.labels.quality.seen_predictions import SeenBlock, SeenPredictions
from mlimages.labels.sparse import (
    Keys,
    categories_of,
    contains,
    expand,
    make_keys,
    rows_of,
)
from mlimages.labels.tag_blocks import tags_of_rows
from mlimages.store import Store
from mlimages.taxonomy.hierarchy import Hierarchy

TOLERANCE = 1e-6  # as cleanlab's


@dataclass(frozen=True)
class Issue:
    """A doubtful or a missing tag.

    Attributes:
        row, category: which.
        probability: what the network gives it (0 when it is not in the table).
        quality: self-confidence of what the database says: small is bad.
        below: for a missing tag, a tag of the image that lies above it, or -1: it would say the
            same more exactly.
        seen, seen_probability: for a doubtful tag, what the network sees most surely, or -1.
    """

    row: int
    category: int
    probability: float
    quality: float
    below: int = -1
    seen: int = -1
    seen_probability: float = 0.0


@dataclass(frozen=True)
class LabelNoise:
    """The ranked issues, and how many there are.

    Attributes:
        images: images that the network saw.
        categories: categories that it predicts.
        judged: asserted, most specific tags of these images and categories.
        doubtful_count, missing_count: int64 [categories], number of issues of each.
        doubtful, missing: the worst, the worst first.
    """

    images: int
    categories: int
    judged: int
    doubtful_count: NDArray[np.int64]
    missing_count: NDArray[np.int64]
    doubtful: list[Issue]
    missing: list[Issue]


def rank_label_noise(
    store: Store,
    hierarchies: Sequence[Hierarchy],
    predictions: ds.Dataset | pa.Table,
    limit: int = 50,
) -> LabelNoise:
    """Rank doubtful and missing tags; two passes over the tags and the predictions.

    Args:
        store: the database, with current tags.
        hierarchies: the one that the tags were derived with, then others whose ancestors are not
            missing either.
        predictions: schemas.PREDICTIONS; fastest when sorted by row. Only the images that its
            metadata lists count as seen (see `predicted_rows`); without metadata, those in it.
        limit: how many of both kinds are listed.

    Raises:
        InputError: predictions lack a column, hold other values, or are of another database.
    """
    table = predictions if isinstance(predictions, ds.Dataset) else ds.dataset(predictions)
    judge = _Judge(store, hierarchies, table)
    judge.learn()
    return judge.rank(limit)


class _Judge:
    def __init__(
        self, store: Store, hierarchies: Sequence[Hierarchy], predictions: ds.Dataset
    ) -> None:
        self.store, self.hierarchies = store, hierarchies
        self.size = hierarchies[0].num_categories
        self.judged = SeenPredictions(store, hierarchies[0], predictions)
        self.images = int(self.judged.seen.sum())

    def learn(self) -> None:
        """Both thresholds of every category."""
        with_tag, p_with, p_all = (np.zeros(self.size) for _ in range(3))
        for _, block in self.judged.blocks("learning thresholds"):
            of = categories_of(block.tags)
            with_tag += np.bincount(of, minlength=self.size)
            p_with += np.bincount(of, block.probability(block.tags), minlength=self.size)
            p_all += np.bincount(
                categories_of(block.predicted), block.probabilities, minlength=self.size
            )
        without = self.images - with_tag
        self.known = p_all > 0
        # Where no image has the tag, or all have it, nothing can be told from the other side.
        self.t1 = np.where(with_tag > 0, p_with / np.maximum(with_tag, 1), np.inf)
        absent = 1 - (p_all - p_with) / np.maximum(without, 1)
        self.t0 = np.where(without > 0, absent, np.inf)

    def rank(self, limit: int) -> LabelNoise:
        """Judge every tag and every prediction."""
        doubtful_count, missing_count = (np.zeros(self.size, np.int64) for _ in range(2))
        doubtful, missing = _Worst(limit), _Worst(limit)
        judged = 0
        for number, block in self.judged.blocks("judging tags"):
            claims = self._claims(block)
            judged += len(claims)
            p = block.probability(claims)
            bad = self._doubtful(categories_of(claims), p)
            doubtful.add(claims[bad], p[bad], p[bad], -self.t1[categories_of(claims[bad])])
            doubtful_count += np.bincount(categories_of(claims[bad]), minlength=self.size)
            keys, p = self._candidates(number, block)
            missing.add(keys, p, 1 - p, -self.t1[categories_of(keys)])
            missing_count += np.bincount(categories_of(keys), minlength=self.size)
        return LabelNoise(
            images=self.images,
            categories=int(self.known.sum()),
            judged=judged,
            doubtful_count=doubtful_count,
            missing_count=missing_count,
            doubtful=self._with_what_is_seen(doubtful.issues()),
            missing=self._with_tags_above(missing.issues()),
        )

    def _doubtful(self, categories: NDArray[np.int32], p: NDArray[np.float64]) -> NDArray[np.bool_]:
        return (1 - p >= self.t0[categories] - TOLERANCE) & (p + TOLERANCE < 1 - p)

    def _missing(self, categories: NDArray[np.int32], p: NDArray[np.float64]) -> NDArray[np.bool_]:
        return (p >= self.t1[categories] - TOLERANCE) & (1 - p + TOLERANCE < p)

    def _claims(self, block: SeenBlock) -> Keys:
        """Asserted tags of known categories, without those above another one."""
        claims = block.tags[block.asserted]
        claims = claims[self.known[categories_of(claims)]]
        return claims[~_lie_above(claims, claims, self.hierarchies)]

    def _candidates(self, number: int, block: SeenBlock) -> tuple[Keys, NDArray[np.float64]]:
        """Predictions that would be missing tags, each with its probability."""
        keys, p = block.predicted, block.probabilities
        wanted = self._missing(categories_of(keys), p) & ~contains(block.tags, keys)
        keys, p = keys[wanted], p[wanted]
        own = contains(rows_of(keys), rows_of(block.tags))
        wanted = ~_lie_above(keys, block.tags[own], self.hierarchies)
        # Before absent ones are left out: what lies above a dog that is not there is not missing.
        wanted &= ~_lie_above(keys, keys, self.hierarchies)
        keys, p = keys[wanted], p[wanted]
        wanted = ~self._known_absent(number, keys, block.tags)
        return keys[wanted], p[wanted]

    def _known_absent(self, number: int, keys: Keys, tags: Keys) -> NDArray[np.bool_]:
        if len(keys) == 0:
            return np.zeros(0, dtype=bool)
        base = number * self.store.manifest.partition_rows
        facts = self.store.table("facts", ["row", "category", "present"], number)
        images = self.store.table("images", ["sources"], number)
        local = pc.subtract(facts["row"], pa.scalar(base, pa.int32()))
        absences = absent_categories(
            facts.set_column(0, "row", local), images, self.store.table("sources")
        )
        shift = make_keys(np.array([base]), np.array([0]))
        return absences.forbid(keys - shift, tags - shift, self.hierarchies[0])

    def _with_tags_above(self, issues: list[Issue]) -> list[Issue]:
        rows = np.unique(np.array([issue.row for issue in issues], np.int64))
        tags, found = tags_of_rows(self.store, rows), []
        for issue in issues:
            place = int(np.searchsorted(rows, issue.row))
            own = tags.categories[tags.indptr[place] : tags.indptr[place + 1]]
            above = np.intersect1d(own, self.hierarchies[0].ancestors(issue.category))
            if len(above):
                deepest = above[np.argmax(self.hierarchies[0].depths[above])]
                issue = replace(issue, below=int(deepest))
            found.append(issue)
        return found

    def _with_what_is_seen(self, issues: list[Issue]) -> list[Issue]:
        rows = [issue.row for issue in issues]
        seen = self.judged.strongest(rows)
        return [
            replace(issue, seen=seen[issue.row][0], seen_probability=seen[issue.row][1])
            if issue.row in seen
            else issue
            for issue in issues
        ]


class _Worst:
    """The issues of least quality so far."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.keys: Keys = np.empty(0, np.int64)
        self.values = [np.empty(0) for _ in range(3)]

    def add(self, keys: Keys, *values: NDArray[np.float64]) -> None:
        """Keys with probability, quality and what decides between equal qualities."""
        keys = np.concatenate([self.keys, keys])
        joined = [np.concatenate(pair) for pair in zip(self.values, values, strict=True)]
        order = np.lexsort((keys, joined[2], joined[1]))[: self.limit]
        self.keys, self.values = keys[order], [column[order] for column in joined]

    def issues(self) -> list[Issue]:
        rows, categories = rows_of(self.keys).tolist(), categories_of(self.keys).tolist()
        columns = (rows, categories, self.values[0].tolist(), self.values[1].tolist())
        return [Issue(*values) for values in zip(*columns, strict=True)]


def _lie_above(keys: Keys, supports: Keys, hierarchies: Sequence[Hierarchy]) -> NDArray[np.bool_]:
    """Which of `keys`, ascending, lie above one of `supports` on the same image."""
    found = np.zeros(len(keys), dtype=bool)
    for hierarchy in hierarchies if len(keys) else ():
        indptr, ancestors = hierarchy.closure()
        owner, place = expand(indptr, categories_of(supports))
        above = make_keys(rows_of(supports)[owner], ancestors[place])
        # Marking is several times as fast as making `above` distinct and looking the keys up in it.
        position = np.minimum(np.searchsorted(keys, above), len(keys) - 1)
        found[position[keys[position] == above]] = True
    return found
