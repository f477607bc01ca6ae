"""Compiled loops over the bytes of many strings. Only loaded where numba is installed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlimages.labels.compiled import kernel


@kernel
def hash_spans(
    data: NDArray[np.uint8], starts: NDArray[np.int32], ends: NDArray[np.int32]
) -> NDArray[np.uint64]:
    """uint64 [n]: FNV-1a of each span of bytes, its bits mixed once more (as in splitmix64)."""
    hashes = np.empty(len(starts), np.uint64)
    for i in range(len(starts)):
        value = np.uint64(0xCBF29CE484222325)
        for place in range(starts[i], ends[i]):
            value = (value ^ np.uint64(data[place])) * np.uint64(0x100000001B3)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        hashes[i] = value ^ (value >> np.uint64(31))
    return hashes


@kernel
def copy_spans(
    data: NDArray[np.uint8], starts: NDArray[np.int32], ends: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Spans of bytes one behind the other: int32 [n + 1] offsets, and the bytes."""
    offsets = np.empty(len(starts) + 1, np.int32)
    offsets[0] = 0
    for i in range(len(starts)):
        offsets[i + 1] = offsets[i] + ends[i] - starts[i]
    out = np.empty(offsets[-1], np.uint8)
    for i in range(len(starts)):
        to = offsets[i]
        for place in range(starts[i], ends[i]):
            out[to + place - starts[i]] = data[place]
    return offsets, out
