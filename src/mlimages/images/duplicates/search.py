"""All pairs of hashes within a Hamming distance, among tens of millions.

The result is complete: it is what comparing every pair would give, in no particular order. `bands`
says how; the comparing itself is compiled where numba is installed. Memory is one sorted copy of
the hashes, their bounds, and the pairs found.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlimages.errors import InputError
from mlimages.images.duplicates import search_numpy
from mlimages.images.duplicates.bands import Band, choose_bands
from mlimages.images.duplicates.search_numpy import Sorted
from mlimages.labels.compiled import available
from mlimages.progress import track

MOST_PAIRS = 200_000_000
LARGEST_RADIUS = 20
_ROOM = 1 << 16  # pairs of one task; it is run again with more where there are more
_FLIPS_AT_ONCE = 4

Engine = Literal["numba", "numpy"]


class Hashes(NamedTuple):
    """Hashes of pictures by position, uint64 [n] each.

    Attributes:
        first: the one that is searched by.
        second: the other one; its difference counts towards `Limits.total`.
    """

    first: NDArray[np.uint64]
    second: NDArray[np.uint64]


@dataclass(frozen=True)
class Limits:
    """Which pairs are given.

    Attributes:
        radius: greatest number of differing bits of the first hash.
        total: greatest number of differing bits of both hashes.
        most: pairs of one hash with those of one bucket, the earliest ones: where a hundred
            thousand pictures look the same, there would be more pairs than any memory holds.
        pairs: in all; more are an error.
    """

    radius: int
    total: int = 128
    most: int = 64
    pairs: int = MOST_PAIRS

    def __post_init__(self) -> None:
        if not 0 <= self.radius <= LARGEST_RADIUS:
            raise InputError("radius", f"{self.radius}", f"use 0 to {LARGEST_RADIUS} bits")


class Found(NamedTuple):
    """What a search gave.

    Attributes:
        pairs: int32 [2, pairs]; positions on the left and on the right.
        crowded: how often a hash had more than `Limits.most` in one bucket.
    """

    pairs: NDArray[np.int32]
    crowded: int


class _Search(NamedTuple):
    """Both sides, sorted by a band."""

    kernels: ModuleType
    left: Sorted
    right: Sorted
    seconds: tuple[NDArray[np.uint64], NDArray[np.uint64]]
    same: bool
    limits: Limits
    earlier: list[Band]


def close_pairs(
    left: Hashes,
    limits: Limits,
    right: Hashes | None = None,
    *,
    engine: Engine | None = None,
    threads: int | None = None,
) -> Found:
    """Find the pairs that differ in few bits.

    Args:
        left: one side.
        limits: which pairs.
        right: the other side; None finds the pairs among `left`, each once, the later hash first.
        engine: by default numba where it is installed.
        threads: by default one a core.

    Raises:
        InputError: there are more pairs than `limits` allow.
    """
    other = left if right is None else right
    kernels = _kernels(engine)
    compared = len(left.first) * len(other.first) / (2 if right is None else 1)
    bands = [band for band in choose_bands(compared, limits.radius) if band.radius >= 0]
    found, total, crowded = [np.empty((2, 0), np.int32)], 0, 0
    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        for number, band in enumerate(bands):
            ours = _sort(kernels, band, left.first)
            theirs = ours if right is None else _sort(kernels, band, other.first)
            seconds = (left.second, other.second)
            search = _Search(kernels, ours, theirs, seconds, right is None, limits, bands[:number])
            flips = band.flips()
            parts = np.split(flips, range(_FLIPS_AT_ONCE, len(flips), _FLIPS_AT_ONCE))
            results = pool.map(partial(_compare, search), parts)
            what = f"comparing hashes, band {number + 1} of {len(bands)}"
            for part in track(results, what, total=len(parts), unit="steps"):
                found.append(part.pairs)
                crowded += part.crowded
                total += part.pairs.shape[1]
                if total > limits.pairs:
                    pool.shutdown(wait=False, cancel_futures=True)
                    cause = f"more than {limits.pairs:,} pairs of pictures are this close"
                    raise InputError(f"radius {limits.radius}", cause, "use a smaller one")
    return Found(np.concatenate(found, axis=1), crowded)


def _kernels(engine: Engine | None) -> ModuleType:
    if engine == "numpy" or (engine is None and not available()):
        return search_numpy
    from mlimages.images.duplicates import search_kernels

    return search_kernels


def _sort(kernels: ModuleType, band: Band, hashes: NDArray[np.uint64]) -> Sorted:
    shift = band.shift if band.width else 0  # a shift by 64 means nothing
    return kernels.sort_by_band(hashes, np.uint64(shift), np.uint64(band.mask), 1 << band.width)


def _compare(search: _Search, flips: NDArray[np.int64]) -> Found:
    """Compare every bucket with those that some flips lead to."""
    earlier = search.earlier
    limits = search.limits
    numbers = np.array([limits.radius, limits.total, limits.most], np.uint64)
    masks = np.array([band.mask for band in earlier], np.uint64)
    radii = np.array([band.radius for band in earlier], np.uint64)
    room, results, crowded = np.empty((2, _ROOM), np.int32), [], 0
    for flip in flips.tolist():
        sides = (search.left, search.right, search.seconds, flip, search.same)
        found, more = search.kernels.compare_buckets(*sides, numbers, masks, radii, room)
        if found > room.shape[1]:
            room = np.empty((2, found), np.int32)
            search.kernels.compare_buckets(*sides, numbers, masks, radii, room)
        results.append(room[:, :found].copy())
        crowded += more
    return Found(np.concatenate(results, axis=1), crowded)
