"""How often a child outscores its parent, against a loop; and the groups of categories."""

from __future__ import annotations

import numpy as np
import pytest

from mlimages.metrics.consistency import ConsistencyMeter
from mlimages.metrics.groups import by_depth, by_frequency


def test_violations_equal_a_loop_over_images_and_edges_in_any_batches():
    generator = np.random.default_rng(0)
    scores = generator.random((50, 12)).astype(np.float32).round(1)
    child, parent = np.array([1, 2, 3, 4, 5, 5]), np.array([0, 0, 1, 1, 2, 3])
    meter = ConsistencyMeter(child, parent)
    for start in range(0, 50, 7):
        meter.update(scores[start : start + 7])
    found = meter.compute()
    edges = list(zip(child, parent, strict=True))
    excess = [[float(s[c] - s[p]) for c, p in edges if s[c] > s[p]] for s in scores]
    count = sum(map(len, excess))
    assert found.edges == 6
    assert found.violations == pytest.approx(count / (50 * 6))
    assert found.mean_excess == pytest.approx(sum(map(sum, excess)) / count)
    assert found.images_with_violations == pytest.approx(sum(map(bool, excess)) / 50)


def test_scores_that_agree_and_a_vocabulary_without_edges_have_no_violations():
    scores = np.array([[0.9, 0.5], [0.3, 0.3]], np.float32)
    for edges in ((np.array([1]), np.array([0])), (np.empty(0, int), np.empty(0, int))):
        meter = ConsistencyMeter(*edges)
        meter.update(scores)
        found = meter.compute()
        assert (found.violations, found.mean_excess, found.images_with_violations) == (0, 0, 0)


def test_every_category_is_in_one_group_of_each_kind():
    groups = by_frequency(np.array([0, 19, 20, 100, 101]))
    assert {name: found.tolist() for name, found in groups.items()} == {
        "head": [4],
        "middle": [2, 3],
        "tail": [0, 1],
    }
    depths = by_depth(np.array([0, 1, 1, 3]))
    assert {name: found.tolist() for name, found in depths.items()} == {
        "0": [0],
        "1": [1, 2],
        "3": [3],
    }
