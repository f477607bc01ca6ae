"""How many scores lie at or above each threshold, category by category or over all of them.

Compiled where numba is installed (extra `build`); numpy gives the same counts, more slowly.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np

from mlimages.labels import compiled
from mlimages.metrics.scores import ScoreStore

_BUCKETS = 1 << 16


class Thresholds:
    """The distinct scores of the positives of each category, ascending.

    Args:
        categories: of each positive.
        scores: of each positive, float32.
        num_categories: number of categories.

    Attributes:
        values: float32 [thresholds], category by category.
        offsets: int64 [num_categories + 1], where those of each begin.
        positives: int64 [thresholds], positives with exactly this score.
    """

    def __init__(self, categories: np.ndarray, scores: np.ndarray, num_categories: int) -> None:
        order = np.lexsort((scores, categories))
        categories, scores = categories[order], scores[order]
        new = np.ones(len(scores), dtype=bool)
        new[1:] = (categories[1:] != categories[:-1]) | (scores[1:] != scores[:-1])
        starts = np.flatnonzero(new)
        self.values = scores[starts]
        self.positives = np.diff(np.append(starts, len(scores)))
        counts = np.bincount(categories[starts], minlength=num_categories)
        self.offsets = np.concatenate([[0], np.cumsum(counts)])

    def at_least(self, exactly: np.ndarray) -> np.ndarray:
        """Sums over the thresholds from each one up, within its category, int64 [thresholds]."""
        total = np.concatenate([[0], np.cumsum(exactly)])
        ends = np.repeat(total[self.offsets[1:]], np.diff(self.offsets))
        return ends - total[:-1]


def count_scores(
    store: ScoreStore,
    thresholds: Thresholds,
    allowed: np.ndarray | None = None,
    group: np.ndarray | None = None,
) -> np.ndarray:
    """How many scores of its category have each threshold as the highest not above them.

    Args:
        store: the scores.
        thresholds: of the categories.
        allowed: bool [groups, num_categories]; only these scores are counted. None: all.
        group: int [images]; which row of `allowed` holds for each image.

    Returns:
        int64 [thresholds].
    """
    if allowed is None:
        allowed = np.ones((1, store.num_categories), dtype=bool)
        group = np.zeros(store.num_images, dtype=np.int64)
    assert group is not None
    count = _kernels()[0] if compiled.available() else _count_with_numpy

    def part(first: int, block: np.ndarray) -> np.ndarray:
        counts = np.zeros(len(thresholds.values), dtype=np.int64)
        here = group[first : first + len(block)]
        count(block, thresholds.values, thresholds.offsets, allowed, here, counts)
        return counts

    return _sum_over_blocks(store, part, len(thresholds.values))


def count_all_scores(
    store: ScoreStore,
    thresholds: np.ndarray,
    chosen: np.ndarray,
    allowed: np.ndarray | None = None,
    group: np.ndarray | None = None,
) -> np.ndarray:
    """As `count_scores`, with one list of thresholds for all chosen categories together.

    Args:
        store: the scores.
        thresholds: float32, distinct, ascending.
        chosen: bool [num_categories]; those whose scores are counted.
        allowed, group: as there.

    Returns:
        int64 [thresholds].
    """
    mask = chosen[None] if allowed is None else allowed & chosen
    if group is None:
        group = np.zeros(store.num_images, dtype=np.int64)
    keys = _ordered_bits(thresholds)
    shift, starts = _buckets(keys)

    def part(first: int, block: np.ndarray) -> np.ndarray:
        counts = np.zeros(len(thresholds), dtype=np.int64)
        here = group[first : first + len(block)]
        if compiled.available():
            bits = np.ascontiguousarray(block).view(np.uint32)
            _kernels()[1](bits, keys, starts, shift, mask, here, counts)
        else:
            for number in np.unique(here):
                values = block[here == number][:, mask[number]].ravel()
                places = np.searchsorted(thresholds, values, side="right")
                counts += np.bincount(places, minlength=len(thresholds) + 1)[1:]
        return counts

    return _sum_over_blocks(store, part, len(thresholds))


def _sum_over_blocks(
    store: ScoreStore, part: Callable[[int, np.ndarray], np.ndarray], size: int
) -> np.ndarray:
    total = np.zeros(size, dtype=np.int64)
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        waiting = []
        for first, block in store.blocks():
            waiting.append(pool.submit(part, first, block))
            if len(waiting) > workers:
                total += waiting.pop(0).result()
        for future in waiting:
            total += future.result()
    return total


def _count_with_numpy(
    block: np.ndarray,
    values: np.ndarray,
    offsets: np.ndarray,
    allowed: np.ndarray,
    group: np.ndarray,
    counts: np.ndarray,
) -> None:
    for category in np.flatnonzero(np.diff(offsets)):
        start, stop = offsets[category], offsets[category + 1]
        column = block[allowed[group, category], category]
        places = np.searchsorted(values[start:stop], column, side="right")
        counts[start:stop] += np.bincount(places, minlength=stop - start + 1)[1:]


def _ordered_bits(values: np.ndarray) -> np.ndarray:
    """uint32 in the order of the floats; -0.0 as 0.0."""
    bits = (values + np.float32(0)).astype(np.float32).view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))


def _buckets(keys: np.ndarray) -> tuple[np.uint32, np.ndarray]:
    """Equal ranges from the lowest threshold to the highest, few of which hold more than one.

    Returns:
        log2 of a range's width, and int32 [ranges + 1]: the first threshold of each.
    """
    if not len(keys):
        return np.uint32(0), np.zeros(1, np.int32)
    width = int(keys[-1]) - int(keys[0])
    shift = max(0, width.bit_length() - (_BUCKETS.bit_length() - 1))
    ranges = (keys - keys[0]) >> np.uint32(shift)
    starts = np.searchsorted(ranges, np.arange((width >> shift) + 2, dtype=np.uint32))
    return np.uint32(shift), starts.astype(np.int32)


@cache
def _kernels() -> tuple[Callable[..., Any], Callable[..., Any]]:
    return compiled.kernel(_count), compiled.kernel(_count_all)


def _count(scores, values, offsets, allowed, group, counts):  # type: ignore[no-untyped-def]
    for i in range(scores.shape[0]):
        may = allowed[group[i]]
        for c in range(scores.shape[1]):
            low, high = offsets[c], offsets[c + 1]
            if low == high or not may[c]:
                continue
            start, score = low, scores[i, c]
            while low < high:  # the first threshold above the score
                middle = (low + high) // 2
                if values[middle] <= score:
                    low = middle + 1
                else:
                    high = middle
            if low > start:
                counts[low - 1] += 1


def _count_all(bits, keys, starts, shift, allowed, group, counts):  # type: ignore[no-untyped-def]
    if len(keys) == 0:
        return
    lowest, highest = keys[0], keys[-1]
    for i in range(bits.shape[0]):
        may = allowed[group[i]]
        for c in range(bits.shape[1]):
            if not may[c]:
                continue
            value = bits[i, c]
            if value == 0x80000000:  # -0.0
                value = np.uint32(0)
            key = ~value if value >> 31 else value | np.uint32(0x80000000)
            if key < lowest:
                continue
            # Only thresholds of the same range have to be looked at.
            bucket = (min(key, highest) - lowest) >> shift
            place, end = starts[bucket], starts[bucket + 1]
            if end - place < 8:
                while place < end and keys[place] <= key:
                    place += 1
            else:
                while place < end:
                    middle = (place + end) // 2
                    if keys[middle] <= key:
                        place = middle + 1
                    else:
                        end = middle
            counts[place - 1] += 1
