"""The compiled part of `search.py`; `search_numpy.py` does the same."""

from __future__ import annotations

import numpy as np

from mlimages.labels.compiled import kernel

_FIVES, _THREES = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333)
_NIBBLES, _ONES = np.uint64(0x0F0F0F0F0F0F0F0F), np.uint64(0x0101010101010101)
_1, _2, _4, _56 = np.uint64(1), np.uint64(2), np.uint64(4), np.uint64(56)


@kernel
def count_bits(word):  # type: ignore[no-untyped-def]
    """Number of bits that are set (Knuth, TAOCP 4A, 7.1.3, equation 62)."""
    word = word - ((word >> _1) & _FIVES)
    word = (word & _THREES) + ((word >> _2) & _THREES)
    word = (word + (word >> _4)) & _NIBBLES
    return (word * _ONES) >> _56


@kernel
def sort_by_band(hashes, shift, mask, buckets):  # type: ignore[no-untyped-def]
    """Hashes by bucket, in their order within it.

    Args:
        hashes: uint64 [n].
        shift, mask: uint64; where the band is in a hash.
        buckets: number of buckets.

    Returns:
        int64 [buckets + 1] where each begins, uint64 [n] hashes, int32 [n] their positions.
    """
    starts = np.zeros(buckets + 1, np.int64)
    for place in range(len(hashes)):
        starts[((hashes[place] & mask) >> shift) + _1] += 1
    for bucket in range(buckets):
        starts[bucket + 1] += starts[bucket]
    free = starts[:-1].copy()
    found, places = np.empty(len(hashes), np.uint64), np.empty(len(hashes), np.int32)
    for place in range(len(hashes)):
        bucket = (hashes[place] & mask) >> shift
        found[free[bucket]] = hashes[place]
        places[free[bucket]] = place
        free[bucket] += 1
    return starts, found, places


@kernel
def compare_buckets(  # type: ignore[no-untyped-def]
    left, right, seconds, flip, same, limits, earlier_masks, earlier_radii, out
):
    """Compare the buckets of one side with buckets of the other.

    Args:
        left, right: what `sort_by_band` gave.
        seconds: uint64 second hashes of left and right, by position.
        flip: which bits of the bucket's number differ.
        same: whether both sides are the same hashes; then each pair is given once, the later first.
        limits: `search.Limits` as uint64: radius, total, most.
        earlier_masks, earlier_radii: uint64; pairs that one of these bands finds are left out.
        out: int32 [2, any]; where pairs of positions go, as many as fit.

    Returns:
        the number of pairs found, also those that did not fit, and how many hashes had more than
        the most.
    """
    left_starts, left_hashes, left_places = left
    right_starts, right_hashes, right_places = right
    radius, total, most = limits
    found = crowded = 0
    for bucket in range(len(left_starts) - 1):
        other = bucket ^ flip
        if same and other < bucket:
            continue
        begin, end = right_starts[other], right_starts[other + 1]
        if begin == end:
            continue
        for place in range(left_starts[bucket], left_starts[bucket + 1]):
            word, mine, hits = left_hashes[place], left_places[place], 0
            if same and other == bucket:
                end = place
            for candidate in range(begin, end):
                difference = word ^ right_hashes[candidate]
                bits = count_bits(difference)
                if bits > radius:
                    continue
                theirs = right_places[candidate]
                if bits + count_bits(seconds[0][mine] ^ seconds[1][theirs]) > total:
                    continue
                known = False
                for band in range(len(earlier_masks)):
                    known |= count_bits(difference & earlier_masks[band]) <= earlier_radii[band]
                if known:
                    continue
                if hits == most:
                    crowded += 1
                    break
                hits += 1
                if found < out.shape[1]:
                    out[0, found] = max(mine, theirs) if same else mine
                    out[1, found] = min(mine, theirs) if same else theirs
                found += 1
    return found, crowded
