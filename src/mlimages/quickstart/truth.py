"""How right the added tags are, where the truth is known."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mlimages.labels.tags import ASSERTED, COOCCURRENCE, Tags
from mlimages.quickstart.results import AddedTags
from mlimages.taxonomy.hierarchy import Hierarchy

Pairs = set[tuple[int, int]]


def read_truth(folder: Path | str) -> dict[str, frozenset[str]]:
    """WordNet ids of all that can be seen in the drawn photos of one object, by image id."""
    with open(Path(folder) / "truth.csv", encoding="utf-8", newline="") as file:
        return {row["image"]: frozenset(row["visible"].split()) for row in csv.DictReader(file)}


def true_pairs(tags: Tags, visible: Mapping[int, frozenset[int]], hierarchy: Hierarchy) -> dict:
    """Share of the photos asserted i that show j, for every unrelated pair (i, j) that occurs.

    Args:
        tags: of all images of the database.
        visible: categories that can be seen in an image, by row; other rows do not count.
        hierarchy: over the categories.

    Returns:
        {(i, j): share}.
    """
    photos: dict[int, int] = {}
    together: dict[tuple[int, int], int] = {}
    for row, seen in visible.items():
        for cause in _of(tags, row, ASSERTED):
            photos[cause] = photos.get(cause, 0) + 1
            for effect in seen:
                if not hierarchy.connected(cause, effect):
                    pair = (cause, effect)
                    together[pair] = together.get(pair, 0) + 1
    return {(i, j): count / photos[i] for (i, j), count in together.items()}


def score_added(
    tags: Tags,
    visible: Mapping[int, frozenset[int]],
    hierarchy: Hierarchy,
    found: Pairs,
    minimum_ratio: float,
) -> list[AddedTags]:
    """Precision and recall of what the co-occurrence rule added to photos whose truth is known.

    Three rows: the tags it added; the same with their ancestors, beyond those that the photo had
    anyway; and the pairs of categories, where a pair is right when the photos do show the effect
    more often than the rule's own minimum.

    Args:
        tags: of all images, completed with the rule.
        visible: categories that can be seen in an image, by row.
        hierarchy: over the categories.
        found: the pairs (cause, effect) that passed.
        minimum_ratio: the rule's threshold.
    """
    single, closed = np.zeros(3, np.int64), np.zeros(3, np.int64)  # added, right, wanted
    for row, seen in visible.items():
        before = _close(_of(tags, row, ASSERTED), hierarchy)
        after = set(tags.categories[tags.indptr[row] : tags.indptr[row + 1]].tolist())
        truth = _close(seen, hierarchy)
        added = _of(tags, row, COOCCURRENCE)
        single += len(added), len(added & truth), len(set(seen) - before)
        closed += len(after - before), len((after - before) & truth), len(truth - before)
    shares = true_pairs(tags, visible, hierarchy)
    real = {pair for pair, share in shares.items() if share > minimum_ratio}
    return [
        _row("tags added", *single.tolist()),
        _row("with ancestors", *closed.tolist()),
        _row("pairs found", len(found), len(found & real), len(real)),
    ]


def _row(label: str, added: int, right: int, wanted: int) -> AddedTags:
    precision = right / added if added else float("nan")
    return AddedTags(label, added, right, wanted, precision, right / wanted if wanted else 0.0)


def _of(tags: Tags, row: int, reason: int) -> set[int]:
    part = slice(tags.indptr[row], tags.indptr[row + 1])
    return set(tags.categories[part][tags.reasons[part] == reason].tolist())


def _close(categories: set[int] | frozenset[int], hierarchy: Hierarchy) -> set[int]:
    closed = set(categories)
    for category in categories:
        closed.update(hierarchy.ancestors(category).tolist())
    return closed
