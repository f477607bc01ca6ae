"""The highest scores of each image, of ties those of the lowest index."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from mlimages.labels import compiled


def top_indices(scores: np.ndarray, k: int) -> np.ndarray:
    """int64 [B, min(k, C)]: the columns of each row's highest scores, the highest first.

    Args:
        scores: float32 [B, C], without NaN.
        k: how many.
    """
    k = min(k, scores.shape[1])
    if compiled.available():
        found = np.empty((len(scores), k), dtype=np.int64)
        _kernel()(scores, found)
        return found
    return _with_numpy(scores, k)


def _with_numpy(scores: np.ndarray, k: int) -> np.ndarray:
    columns = scores.shape[1]
    if k < columns:
        kth = np.partition(scores, columns - k, axis=1)[:, columns - k : columns - k + 1]
        above, tied = scores > kth, scores == kth
        room = k - above.sum(1, keepdims=True)
        chosen = above | (tied & (np.cumsum(tied, axis=1) <= room))
        candidates = np.nonzero(chosen)[1].reshape(len(scores), k)
    else:
        candidates = np.tile(np.arange(columns), (len(scores), 1))
    order = np.argsort(-np.take_along_axis(scores, candidates, 1), axis=1, kind="stable")
    return np.take_along_axis(candidates, order, 1)


@cache
def _kernel() -> Any:
    return compiled.kernel(_insert)


def _insert(scores, found):  # type: ignore[no-untyped-def]
    k = found.shape[1]
    for i in range(scores.shape[0]):
        held = 0
        for c in range(scores.shape[1]):
            score = scores[i, c]
            if held == k and score <= scores[i, found[i, k - 1]]:
                continue
            place = held if held < k else k - 1
            while place > 0 and scores[i, found[i, place - 1]] < score:
                found[i, place] = found[i, place - 1]
                place -= 1
            found[i, place] = c
            if held < k:
                held += 1
