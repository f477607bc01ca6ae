"""Precision and recall of added tags, on cases small enough to count by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mlimages.labels.tags import ANCESTOR, ASSERTED, COOCCURRENCE, Tags
from mlimages.quickstart.truth import score_added, true_pairs
from mlimages.taxonomy.hierarchy import Hierarchy

# 0 thing - 1 boat - 2 sailboat; 0 thing - 3 water - 4 sea; 5 sky, alone
HIERARCHY = Hierarchy.from_edges(6, [1, 2, 3, 4], [0, 1, 0, 3])
SAILBOAT, SEA, SKY = 2, 4, 5


def make_tags(*images: dict[int, int]) -> Tags:
    """Tags of images, each as {category: reason}."""
    ordered = [sorted(image.items()) for image in images]
    flat = [pair for image in ordered for pair in image]
    categories = np.array([category for category, _ in flat], dtype=np.int32)
    return Tags(
        indptr=np.cumsum([0, *(len(image) for image in ordered)]).astype(np.int64),
        categories=categories,
        confidences=np.ones(len(flat), dtype=np.float32),
        reasons=np.array([reason for _, reason in flat], dtype=np.int8),
        because=categories,
    )


def completed(*added: int) -> dict[int, int]:
    """A photo asserted "sailboat", with added categories and all ancestors."""
    tags = {SAILBOAT: ASSERTED, 1: ANCESTOR, 0: ANCESTOR}
    for category in added:
        tags[category] = COOCCURRENCE
        tags |= {int(a): ANCESTOR for a in HIERARCHY.ancestors(category) if int(a) not in tags}
    return tags


def test_precision_and_recall_as_counted_by_hand() -> None:
    # Three photos get "sea"; the third does not show it, and two show a sky that nothing adds.
    tags = make_tags(completed(SEA), completed(SEA), completed(SEA))
    visible = {
        0: frozenset({SAILBOAT, SEA, SKY}),
        1: frozenset({SAILBOAT, SEA, SKY}),
        2: frozenset({SAILBOAT}),
    }
    single, closed, pairs = score_added(tags, visible, HIERARCHY, {(SAILBOAT, SEA)}, 0.5)
    assert (single.added, single.right, single.wanted) == (3, 2, 4)
    assert single.precision == pytest.approx(2 / 3)
    assert single.recall == pytest.approx(2 / 4)
    # With "water" above the sea: 2 tags a photo; wanted sea, water, sky twice.
    assert (closed.added, closed.right, closed.wanted) == (6, 4, 6)
    # sailboat -> sea and sailboat -> sky hold for 2 of 3 photos; one of them was found.
    assert (pairs.added, pairs.right, pairs.wanted) == (1, 1, 2)


def test_pairs_with_a_path_between_them_are_no_pairs() -> None:
    tags = make_tags(completed(), completed())
    visible = {0: frozenset({SAILBOAT, 1, SEA}), 1: frozenset({SAILBOAT, 0})}
    assert true_pairs(tags, visible, HIERARCHY) == {(SAILBOAT, SEA): 0.5}


def test_a_rule_that_added_nothing_has_no_precision() -> None:
    rows = score_added(make_tags(completed()), {0: frozenset({SAILBOAT})}, HIERARCHY, set(), 0.5)
    assert all(row.added == 0 for row in rows)
    assert all(math.isnan(row.precision) and row.recall == 0 for row in rows)


def test_photos_of_unknown_truth_do_not_count() -> None:
    tags = make_tags(completed(SEA), completed(SEA))
    single, _, _ = score_added(tags, {1: frozenset({SAILBOAT, SEA})}, HIERARCHY, set(), 0.5)
    assert (single.added, single.right) == (1, 1)
