"""The search for close hashes gives what comparing every pair gives, compiled or not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlimages.errors import InputError
from mlimages.images.duplicates.bands import BITS, choose_bands
from mlimages.images.duplicates.search import Hashes, Limits, close_pairs
from mlimages.labels.compiled import available

ENGINES = ["numpy", *(["numba"] if available() else [])]


def related(count: int, seed: int) -> Hashes:
    """Hashes of which many are few bits apart."""
    generator = np.random.default_rng(seed)
    sides = []
    for _ in range(2):
        hashes = generator.integers(0, 1 << 64, max(1, count // 4), np.uint64)
        hashes = hashes[generator.integers(0, len(hashes), count)]
        for _ in range(6):
            bits = generator.integers(0, 64, count, np.uint64)
            hashes ^= generator.integers(0, 2, count, np.uint64) << bits
        sides.append(hashes)
    return Hashes(*sides)


def brute_force(left: Hashes, right: Hashes, limits: Limits) -> np.ndarray:
    apart = [np.bitwise_count(a[:, None] ^ b[None]) for a, b in zip(left, right, strict=True)]
    total = apart[0].astype(int) + apart[1]
    return (apart[0] <= limits.radius) & (total <= limits.total)


@pytest.mark.parametrize("engine", ENGINES)
@given(
    count=st.integers(0, 60),
    radius=st.integers(0, 20),
    slack=st.integers(0, 64),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_the_pairs_are_those_of_comparing_all(
    engine: str, count: int, radius: int, slack: int, seed: int
) -> None:
    hashes, limits = related(count, seed), Limits(radius, radius + slack, most=count + 1)
    found = close_pairs(hashes, limits, engine=engine)  # type: ignore[arg-type]
    pairs = [tuple(pair) for pair in found.pairs.T.tolist()]
    expected = np.argwhere(np.tril(brute_force(hashes, hashes, limits), -1)).tolist()
    assert sorted(pairs) == sorted(map(tuple, expected))
    assert found.crowded == 0
    other = related(count // 2, seed)
    found = close_pairs(hashes, limits, other, engine=engine)  # type: ignore[arg-type]
    pairs = [tuple(pair) for pair in found.pairs.T.tolist()]
    expected = np.argwhere(brute_force(hashes, other, limits)).tolist()
    assert sorted(pairs) == sorted(map(tuple, expected))


@pytest.mark.parametrize("engine", ENGINES)
def test_bands_of_many_widths_find_every_pair_once(engine: str) -> None:
    hashes = related(1500, seed=1)
    for radius in (3, 8, 12):
        limits = Limits(radius, most=2000)
        assert len(choose_bands(1500**2 / 2, radius)) > 1
        found = close_pairs(hashes, limits, engine=engine)  # type: ignore[arg-type]
        expected = np.argwhere(np.tril(brute_force(hashes, hashes, limits), -1))
        assert len(expected) > 100
        assert sorted(map(tuple, found.pairs.T.tolist())) == sorted(map(tuple, expected.tolist()))


@pytest.mark.parametrize("pairs", [1.0, 1e6, 5e11, 1.5e14])
@pytest.mark.parametrize("radius", [0, 5, 8, 10, 20])
def test_bands_cover_all_bits_and_leave_no_pair_out(pairs: float, radius: int) -> None:
    bands = choose_bands(pairs, radius)
    if len(bands) > 1:
        assert sum(band.width for band in bands) == BITS
        # Were a pair to differ in one bit more than each band's radius, it would differ in more
        # than `radius` bits in all.
        assert sum(band.radius + 1 for band in bands) == radius + 1
        assert all(len(band.flips()) == band.num_flips for band in bands if band.radius >= 0)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_crowd_of_equal_hashes_is_tied_to_its_first(engine: str) -> None:
    same = np.zeros(500, np.uint64)
    found = close_pairs(Hashes(same, same), Limits(4, most=3), engine=engine)  # type: ignore[arg-type]
    expected = [(later, earlier) for later in range(500) for earlier in range(min(later, 3))]
    assert sorted(map(tuple, found.pairs.T.tolist())) == expected
    assert found.crowded == 496


def test_more_pairs_than_allowed_are_an_error() -> None:
    same = np.zeros(100, np.uint64)
    with pytest.raises(InputError, match="use a smaller one"):
        close_pairs(Hashes(same, same), Limits(4, most=100, pairs=1000))
    with pytest.raises(InputError, match="use 0 to 20 bits"):
        Limits(21)
