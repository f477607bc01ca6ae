"""Keyed permutations of any size, one element at a time: nothing is stored and nothing is drawn.

A number below size is written in two digits (of bases a and b, a * b barely above size); digits
take turns in being shifted by a keyed hash of the other, which can be undone and so is a
permutation (a Feistel network; Black and Rogaway, Ciphers with arbitrary finite domains, 2002). A
result that is not below size goes round again.
"""

from __future__ import annotations

import numpy as np

_ROUNDS = 6
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mix(*words: np.ndarray | int) -> np.ndarray:
    """Hash any number of whole numbers of 0 to 2**64 - 1 (arrays by broadcasting) to uint64.

    Each word passes through the finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
    """
    state = np.zeros((), dtype=np.uint64)
    with np.errstate(over="ignore"):  # the arithmetic is modulo 2**64
        for word in words:
            state = (state ^ np.asarray(word, dtype=np.uint64)) + _GOLDEN
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return state


def permute(index: np.ndarray, size: np.ndarray | int, key: np.ndarray | int) -> np.ndarray:
    """Where permutations take some numbers.

    Args:
        index: int64 [k], each 0 to its size - 1.
        size: of each number's permutation, 1 to 2**62; one for all or int64 [k].
        key: which permutation of that size; one for all or uint64 [k].

    Returns:
        int64 [k]; for one size and key, distinct for distinct numbers.
    """
    index, size, key = np.broadcast_arrays(
        np.asarray(index, dtype=np.uint64),
        np.asarray(size, dtype=np.uint64),
        np.asarray(key, dtype=np.uint64),
    )
    result = _shuffle(index, size, key)
    outside = np.flatnonzero(result >= size)
    while len(outside):
        result[outside] = _shuffle(result[outside], size[outside], key[outside])
        outside = outside[result[outside] >= size[outside]]
    return result.astype(np.int64)


def _shuffle(index: np.ndarray, size: np.ndarray, key: np.ndarray) -> np.ndarray:
    """A permutation of 0 to a * b - 1."""
    a = np.ceil(np.sqrt(size.astype(np.float64))).astype(np.uint64)
    b = -(-size.astype(np.int64) // a.astype(np.int64))
    b = b.astype(np.uint64)
    high, low = np.divmod(index, b)
    for turn in range(0, _ROUNDS, 2):
        high = (high + mix(key, turn, low) % a) % a
        low = (low + mix(key, turn + 1, high) % b) % b
    return high * b + low
