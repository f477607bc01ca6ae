"""What the kernels of `kernels.py` read, write and scribble on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Closure(NamedTuple):
    """`sparse.Upward`."""

    indptr: NDArray[np.int64]
    ancestors: NDArray[np.int32]
    steps: NDArray[np.uint32]  # what a rank holds of the edges


class Pairs(NamedTuple):
    """Co-occurring pairs by cause."""

    indptr: NDArray[np.int64]
    effects: NDArray[np.int32]
    acts: NDArray[np.bool_]  # [categories]: whether a fact about it can cause anything
    every: bool  # whether every tag is a cause, or facts alone


class Known(NamedTuple):
    """`absences.Absences` in compressed rows: verified by image, exhaustive by group."""

    indptr: NDArray[np.int64]
    denied: NDArray[np.int32]
    groups: NDArray[np.int32]
    silent_indptr: NDArray[np.int64]
    silent: NDArray[np.int32]


class Output(NamedTuple):
    """Where the tags go: the columns of `Tags`."""

    indptr: NDArray[np.int64]
    categories: NDArray[np.int32]
    confidences: NDArray[np.uint32]
    reasons: NDArray[np.int8]
    because: NDArray[np.int32]


class Scratch(NamedTuple):
    """The image in hand; all arrays but the maps are [categories]."""

    bits: NDArray[np.uint64]  # its tags
    words: NDArray[np.uint64]  # which words of `bits` are not zero
    support: NDArray[np.uint64]  # rank of the strongest support, its own fact aside; else 0
    raised: NDArray[np.uint32]  # the greatest confidence that an effect below gives it; else 0
    absent: NDArray[np.int32]  # the last image known not to show it
    tried: NDArray[np.int32]  # the last image that was to get it as an effect
    refused: NDArray[np.int32]  # the last image that must not get it as an effect
    effect_support: NDArray[np.uint64]  # of effects: rank of the strongest cause
    effect_confidence: NDArray[np.uint32]  # of effects: the greatest of the causes
    tags: NDArray[np.int32]  # a list of tags
    added: NDArray[np.int32]  # a list of effects

    @classmethod
    def of(cls, size: int) -> Scratch:
        """For a vocabulary of some size."""
        words = (size + 63) // 64
        return cls(
            bits=np.zeros(words, np.uint64),
            words=np.zeros((words + 63) // 64, np.uint64),
            support=np.zeros(size, np.uint64),
            raised=np.zeros(size, np.uint32),
            absent=np.full(size, -1, np.int32),
            tried=np.full(size, -1, np.int32),
            refused=np.full(size, -1, np.int32),
            effect_support=np.zeros(size, np.uint64),
            effect_confidence=np.zeros(size, np.uint32),
            tags=np.empty(size, np.int32),
            added=np.empty(size, np.int32),
        )


class Merging(NamedTuple):
    """Scratch arrays [categories] of `merge_image`."""

    image: NDArray[np.int32]  # the last image that a category was found for
    confidence: NDArray[np.uint32]  # the greatest confidence there
    withdrawn: NDArray[np.int32]  # the last image that a category was withdrawn from
    found: NDArray[np.int32]  # categories found for the image in hand

    @classmethod
    def of(cls, size: int) -> Merging:
        """For a vocabulary of some size."""
        never, zero = np.full(size, -1, np.int32), np.zeros(size, np.uint32)
        return cls(never, zero, never.copy(), never.copy())
