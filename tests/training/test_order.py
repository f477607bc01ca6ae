"""The order of samples: complete, keyed, and independent of ranks and of where a run resumes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlimages.errors import RecipeError
from mlimages.training.order import DataOrder

sizes = st.integers(1, 300)
seeds = st.integers(0, 2**32)


@given(sizes, seeds, st.integers(0, 5))
def test_every_sample_comes_once_an_epoch(num_samples, seed, epoch):
    order = DataOrder(num_samples, seed)
    epochs, samples = order.batch(epoch * num_samples, num_samples)
    assert set(epochs.tolist()) == {epoch}
    assert sorted(samples.tolist()) == list(range(num_samples))


@given(sizes, seeds, st.integers(0, 1000), st.lists(st.integers(1, 50), min_size=1, max_size=8))
def test_resuming_anywhere_gives_the_uninterrupted_order(num_samples, seed, start, batches):
    whole = DataOrder(num_samples, seed).batch(start, sum(batches))
    parts, seen = [], start
    for size in batches:
        parts.append(DataOrder(num_samples, seed).batch(seen, size))  # a fresh process each time
        seen += size
    for one, other in zip(whole, zip(*parts, strict=True), strict=True):
        np.testing.assert_array_equal(one, np.concatenate(other))


@settings(deadline=None)
@given(sizes, seeds, st.integers(0, 500), st.sampled_from([1, 2, 4, 8, 128]))
def test_ranks_share_a_batch_without_gap_or_overlap(num_samples, seed, start, ranks):
    order = DataOrder(num_samples, seed)
    epochs, samples = order.batch(start, 64)
    shares = [order.batch(start, 64, rank, ranks) for rank in range(ranks)]
    together = [
        pair for share in shares for pair in zip(*map(np.ndarray.tolist, share), strict=True)
    ]
    assert sorted(together) == sorted(zip(epochs.tolist(), samples.tolist(), strict=True))


def test_ranks_read_their_own_lanes():
    order = DataOrder(1000, seed=1, lanes=8)
    permutation = order.permutation(0)
    _, samples = order.batch(0, 100, rank=1, ranks=4)
    places = np.flatnonzero(np.isin(permutation, samples))
    assert set((places % 8).tolist()) == {1, 5}


def test_epochs_and_seeds_have_orders_of_their_own():
    order = DataOrder(100, seed=1)
    first = order.permutation(0).copy()
    assert not np.array_equal(first, order.permutation(1))
    assert not np.array_equal(first, DataOrder(100, seed=2).permutation(0))
    # Known values: the order must never change between versions, or runs would not resume.
    assert DataOrder(10, seed=0).permutation(0).tolist() == [6, 7, 9, 5, 1, 4, 8, 3, 0, 2]


def test_ranks_must_divide_the_lanes():
    with pytest.raises(RecipeError, match="lanes"):
        DataOrder(10, 0, lanes=128).batch(0, 4, ranks=3)
    with pytest.raises(RecipeError, match="no samples"):
        DataOrder(0, 0)
