"""What `search_kernels.py` does, without numba."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mlimages.labels.sparse import expand

_AT_ONCE = 1 << 22  # pairs compared: 100 MB or so

Sorted = tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.int32]]


def sort_by_band(
    hashes: NDArray[np.uint64], shift: np.uint64, mask: np.uint64, buckets: int
) -> Sorted:
    """See `search_kernels.sort_by_band`."""
    numbers = ((hashes & mask) >> shift).astype(np.int64)
    order = np.argsort(numbers, kind="stable").astype(np.int32)
    starts = np.concatenate([[0], np.cumsum(np.bincount(numbers, minlength=buckets))])
    return starts, hashes[order], order


def compare_buckets(
    left: Sorted,
    right: Sorted,
    seconds: tuple[NDArray[np.uint64], NDArray[np.uint64]],
    flip: int,
    same: bool,
    limits: NDArray[np.uint64],
    earlier_masks: NDArray[np.uint64],
    earlier_radii: NDArray[np.uint64],
    out: NDArray[np.int32],
) -> tuple[int, int]:
    """See `search_kernels.compare_buckets`."""
    radius, total, most = limits
    buckets = np.repeat(np.arange(len(left[0]) - 1), np.diff(left[0]))
    others = buckets ^ flip
    starts, ends = right[0][others], right[0][others + 1]
    if same:
        ends = np.where(others == buckets, np.arange(len(buckets)), ends)
        ends = np.where(others < buckets, starts, ends)
    lengths = ends - starts
    cuts = np.searchsorted(np.cumsum(lengths), np.arange(0, lengths.sum(), _AT_ONCE), "right")
    found = crowded = 0
    for low, high in pairwise([*cuts.tolist(), len(lengths)]):
        indptr = np.concatenate([[0], np.cumsum(lengths[low:high])])
        owner, step = expand(indptr, np.arange(high - low))
        mine, candidates = low + owner, starts[low:high][owner] + step - indptr[owner]
        difference = left[1][mine] ^ right[1][candidates]
        bits = np.bitwise_count(difference)
        good = bits <= radius
        for mask, limit in zip(earlier_masks, earlier_radii, strict=True):
            good &= np.bitwise_count(difference & mask) > limit
        owner, bits = owner[good], bits[good]
        pairs = np.stack([left[2][mine[good]], right[2][candidates[good]]])
        bits = bits + np.bitwise_count(seconds[0][pairs[0]] ^ seconds[1][pairs[1]])
        owner, pairs = owner[bits <= total], pairs[:, bits <= total]
        turn = np.arange(len(owner)) - np.searchsorted(owner, owner)  # its hits so far
        crowded += int(np.count_nonzero(turn == most))
        pairs = pairs[:, turn < most]
        if same:
            pairs = np.sort(pairs, axis=0)[::-1]
        room = max(0, min(pairs.shape[1], out.shape[1] - found))
        out[:, found : found + room] = pairs[:, :room]
        found += pairs.shape[1]
    return found, crowded
