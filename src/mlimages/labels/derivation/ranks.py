"""What a support is worth, as one number: the order in which a tag's supports are preferred.

A rank is one uint64 whose order is "the tag itself, then asserted, then confidence, then fewest
edges, then lowest id": 1 bit, 1 bit, 30 bits, 8 bits of 255 - edges, 24 bits of 2^24 - 1 - id.
The bit pattern of a float32 in [0, 1] has 30 bits and the order of the numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlimages.labels.sparse import CATEGORY_BITS, MOST_CATEGORIES

ITSELF = np.uint64(1 << 63)
ASSERTED = np.uint64(1 << 62)
CONFIDENCE_SHIFT = np.uint64(32)
EDGES_SHIFT = np.uint64(CATEGORY_BITS)
MOST_EDGES = np.uint64(255)
LAST_CATEGORY = np.uint64(MOST_CATEGORIES - 1)


def make_ranks(
    confidences: NDArray[np.float32], edges: NDArray[np.uint8], support: NDArray[np.int32]
) -> NDArray[np.uint64]:
    """Ranks of supports that are neither the tag itself nor asserted."""
    ranks = confidences.view(np.uint32).astype(np.uint64) << CONFIDENCE_SHIFT
    ranks |= (MOST_EDGES - edges.astype(np.uint64)) << EDGES_SHIFT
    ranks |= LAST_CATEGORY - support.astype(np.uint64)
    return ranks


def edges_of(ranks: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The edges of ranks."""
    return MOST_EDGES - ((ranks >> EDGES_SHIFT) & MOST_EDGES)


def supports_of(ranks: NDArray[np.uint64]) -> NDArray[np.int32]:
    """The supporting categories of ranks."""
    return (LAST_CATEGORY - (ranks & LAST_CATEGORY)).astype(np.int32)
