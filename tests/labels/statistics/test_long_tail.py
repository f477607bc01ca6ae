"""Measures of imbalance against their definitions written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlimages.labels.statistics.long_tail import measure_long_tail


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=40))
def test_gini_is_half_the_mean_difference_over_the_mean(counts: list[int]) -> None:
    values = np.array(counts, dtype=float)
    difference = np.abs(values[:, None] - values[None, :]).mean()
    assert measure_long_tail(counts).gini == pytest.approx(difference / 2 / values.mean())


def test_equal_categories_are_not_uneven() -> None:
    found = measure_long_tail([50] * 10 + [0] * 3)
    assert (found.gini, found.pareto_share, found.imbalance_ratio) == (0, 0.2, 1)
    assert found.zipf_slope == pytest.approx(0)
    assert found.effective_categories == pytest.approx(10)


def test_counts_by_zipfs_law_have_its_exponent() -> None:
    counts = 1e9 / np.arange(1, 2001) ** 1.3
    assert measure_long_tail(counts).zipf_slope == pytest.approx(1.3)


def test_head_middle_and_tail_are_cut_above_100_and_below_20() -> None:
    shots = measure_long_tail([101, 100, 20, 19]).shots
    assert [(s.name, s.categories) for s in shots] == [("head", 1), ("middle", 2), ("tail", 1)]
    assert [s.share_of_tags for s in shots] == [101 / 240, 120 / 240, 19 / 240]


def test_no_images_are_zeros() -> None:
    assert measure_long_tail([0, 0]).effective_categories == 0
