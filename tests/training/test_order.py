"""The order of samples: complete, keyed, and independent of ranks and of where a run resumes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlimages.errors import RecipeError
from mlimages.training.order import DataOrder, ShardLayout
from mlimages.training.permutation import mix, permute

sizes = st.integers(1, 300)
seeds = st.integers(0, 2**32)


@st.composite
def orders(draw: st.DrawFn) -> tuple[int, dict]:
    """A number of samples and the rest of an order: shards or none, windows or none, lanes."""
    num_samples = draw(sizes)
    shards = draw(st.integers(1, 40))
    generator = np.random.default_rng(draw(st.integers(0, 100)))
    layout = ShardLayout.of(
        generator.integers(0, shards, num_samples), generator.permutation(num_samples)
    )
    return num_samples, {
        "seed": draw(seeds),
        "lanes": draw(st.sampled_from([1, 2, 4, 8, 128])),
        "layout": draw(st.sampled_from([None, layout])),
        "window": draw(st.sampled_from([None, 1, 7])),
    }


def in_shards(per_shard: int, shards: int, lanes: int, window: int | None = None) -> DataOrder:
    """An order over equal shards in the canonical order of rows."""
    bounds = np.arange(shards + 1) * per_shard
    return DataOrder(per_shard * shards, 5, lanes, ShardLayout(bounds), window)


@settings(deadline=None)
@given(orders(), st.integers(0, 5))
def test_every_sample_comes_once_an_epoch(order, epoch):
    num_samples, options = order
    epochs, samples = DataOrder(num_samples, **options).batch(epoch * num_samples, num_samples)
    assert set(epochs.tolist()) == {epoch}
    assert sorted(samples.tolist()) == list(range(num_samples))


@settings(deadline=None)
@given(orders(), st.integers(0, 1000), st.lists(st.integers(1, 50), min_size=1, max_size=8))
def test_resuming_anywhere_gives_the_uninterrupted_order(order, start, batches):
    num_samples, options = order
    whole = DataOrder(num_samples, **options).batch(start, sum(batches))
    parts, seen = [], start
    for size in batches:  # a fresh process each time
        parts.append(DataOrder(num_samples, **options).batch(seen, size))
        seen += size
    for one, other in zip(whole, zip(*parts, strict=True), strict=True):
        np.testing.assert_array_equal(one, np.concatenate(other))


@settings(deadline=None)
@given(orders(), st.integers(0, 500), st.data())
def test_ranks_share_a_batch_without_gap_or_overlap(order, start, data):
    num_samples, options = order
    ranks = data.draw(st.sampled_from([r for r in (1, 2, 4, 8) if options["lanes"] % r == 0]))
    order = DataOrder(num_samples, **options)
    epochs, samples = order.batch(start, 64)
    shares = [order.batch(start, 64, rank, ranks) for rank in range(ranks)]
    together = [
        pair for share in shares for pair in zip(*map(np.ndarray.tolist, share), strict=True)
    ]
    assert sorted(together) == sorted(zip(epochs.tolist(), samples.tolist(), strict=True))


def test_ranks_read_their_own_lanes():
    order = DataOrder(1000, seed=1, lanes=8)
    _, all_samples = order.batch(0, 1000)
    _, samples = order.batch(0, 100, rank=1, ranks=4)
    places = np.flatnonzero(np.isin(all_samples, samples))
    assert set((places % 8).tolist()) == {1, 5}


@pytest.mark.parametrize("window", [None, 16])
def test_each_shard_is_read_by_one_rank_unless_a_lane_ends_in_it(window):
    order = in_shards(per_shard=30, shards=64, lanes=8, window=window)
    reads = 0
    for rank in range(4):
        _, samples = order.batch(3 * 64 * 30, 64 * 30, rank, ranks=4)
        reads += len(np.unique(samples // 30))
    assert 64 <= reads <= 64 + 8
    _, samples = order.batch(0, 64 * 30)
    lane = samples[::8]
    assert len(np.unique(lane // 30)) <= 64 / 8 + 1  # a lane keeps to its own few shards


def test_a_lane_moves_through_its_shards_window_by_window():
    order = in_shards(per_shard=100, shards=40, lanes=4, window=25)
    _, samples = order.batch(0, 4000)
    for lane in range(4):
        mine = samples[lane::4]
        for first in range(0, 1000, 25):
            window = np.sort(mine[first : first + 25])
            assert window[-1] - window[0] == 24  # neighbours in their shard
            assert not np.array_equal(mine[first : first + 25], window)


@pytest.mark.parametrize("window", [None, 16])
def test_epochs_change_the_shards_of_a_lane_and_the_order_in_it(window):
    order = in_shards(per_shard=30, shards=64, lanes=8, window=window)
    one, two = (order.batch(epoch * 1920, 1920)[1] for epoch in (0, 1))
    assert set((one[::8] // 30).tolist()) != set((two[::8] // 30).tolist())
    assert (one == two).mean() < 0.02


def test_few_samples_are_shuffled_over_all_lanes():
    counts = np.zeros((10, 10))
    order = DataOrder(10, 0, lanes=128, layout=ShardLayout(np.array([0, 4, 10])))
    _, samples = order.batch(0, 10 * 3000)
    for place, sample in enumerate(samples.tolist()):
        counts[place % 10, sample] += 1
    assert np.abs(counts - 300).max() < 5 * np.sqrt(300)


def test_lanes_differ_by_one_sample_at_most():
    order = in_shards(per_shard=7, shards=11, lanes=8)  # 77 samples
    counts = [len(order.batch(0, 77, rank, ranks=8)[1]) for rank in range(8)]
    assert sorted(counts) == [9, 9, 9, 10, 10, 10, 10, 10]


def test_samples_may_lie_in_shards_in_any_order():
    shards, offsets = np.array([2, 0, 2, 0, 5]), np.array([9, 4, 1, 0, 0])
    layout = ShardLayout.of(shards, offsets)
    assert layout.bounds.tolist() == [0, 2, 4, 5]
    assert layout.samples is not None
    assert layout.samples.tolist() == [3, 1, 2, 0, 4]
    canonical = ShardLayout.of(np.array([1, 1, 4]), np.array([0, 8, 2]))
    assert (canonical.bounds.tolist(), canonical.samples) == ([0, 2, 3], None)


def test_epochs_and_seeds_have_orders_of_their_own():
    order = DataOrder(100, seed=1)
    first = order.batch(0, 100)[1]
    assert not np.array_equal(first, order.batch(100, 100)[1])
    assert not np.array_equal(first, DataOrder(100, seed=2).batch(0, 100)[1])


def test_the_order_never_changes_between_versions():
    # Known values: another order would not continue a run where it stopped.
    assert DataOrder(10, seed=0).batch(0, 10)[1].tolist() == [7, 2, 4, 8, 3, 0, 6, 5, 1, 9]
    assert in_shards(4, 4, lanes=2).batch(16, 16)[1].tolist() == [
        9,
        2,
        11,
        4,
        10,
        1,
        8,
        0,
        15,
        3,
        14,
        6,
        12,
        5,
        13,
        7,
    ]
    assert in_shards(4, 4, lanes=2, window=3).batch(0, 16)[1].tolist() == [
        2,
        13,
        1,
        12,
        0,
        14,
        3,
        4,
        9,
        5,
        8,
        15,
        10,
        6,
        11,
        7,
    ]


def test_the_fingerprint_tells_orders_apart():
    assert DataOrder(100, seed=1).fingerprint() == ""
    found = {
        in_shards(4, 8, lanes=2).fingerprint(),
        in_shards(8, 4, lanes=2).fingerprint(),
        in_shards(4, 8, lanes=2, window=3).fingerprint(),
    }
    assert len(found) == 3
    assert in_shards(4, 8, lanes=2).fingerprint() in found


def test_ranks_must_divide_the_lanes():
    with pytest.raises(RecipeError, match="lanes"):
        DataOrder(10, 0, lanes=128).batch(0, 4, ranks=3)
    with pytest.raises(RecipeError, match="no samples"):
        DataOrder(0, 0)


@settings(deadline=None)
@given(st.integers(1, 2000), st.integers(0, 2**64 - 1))
def test_a_keyed_permutation_takes_every_number_once(size, key):
    assert sorted(permute(np.arange(size), size, key).tolist()) == list(range(size))


def test_permutations_of_several_sizes_and_keys_are_those_one_by_one():
    index, size = np.array([0, 3, 6, 10**9]), np.array([1, 5, 7, 2**40])
    together = permute(index, size, mix(7, np.arange(4)))
    alone = [permute(index[i : i + 1], int(size[i]), int(mix(7, i)))[0] for i in range(len(index))]
    assert together.tolist() == alone


@pytest.mark.parametrize("size", [2, 3, 5, 8, 24])
def test_every_number_goes_everywhere_equally_often(size):
    keys = mix(11, np.arange(6000))
    for index in (0, size - 1):
        counts = np.bincount(permute(np.full(6000, index), size, keys), minlength=size)
        assert np.abs(counts - 6000 / size).max() < 5 * np.sqrt(6000 / size)


def test_neighbours_are_torn_apart():
    found = permute(np.arange(100_000), 100_000, 1)
    correlation = np.corrcoef(found[:-1], found[1:])[0, 1]
    assert abs(correlation) < 0.015
    assert abs(np.corrcoef(found, np.arange(100_000))[0, 1]) < 0.015
    assert np.mean(np.abs(np.diff(found)) < 100) < 0.004  # 0.002 by chance
