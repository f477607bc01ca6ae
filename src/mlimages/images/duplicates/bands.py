"""How a search among hashes is cut into bands, so that only few pairs have to be compared.

When two hashes differ in at most r bits and the 64 bits are cut into m bands, then for any numbers
r_1, ..., r_m with (r_1 + 1) + ... + (r_m + 1) = r + 1 some band i differs in at most r_i bits
(Norouzi, Punjani and Fleet, "Fast search in Hamming space with multi-index hashing", CVPR 2012).
The hashes are sorted by a band, and each bucket is compared with those whose number differs in at
most r_i bits. A pair is given by the first band that finds it, so no pair is given twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

BITS = 64
_WIDEST = 22  # bits of a band: its buckets' bounds take 34 MB
_VISIT = 4.0  # what visiting a bucket costs, in comparisons: its bounds are seldom at hand


@dataclass(frozen=True)
class Band:
    """Some neighbouring bits of a hash.

    Attributes:
        shift: of its lowest bit.
        width: in bits.
        radius: in how many of them a pair may differ; -1 where the others find every pair.
    """

    shift: int
    width: int
    radius: int

    @property
    def mask(self) -> int:
        """Its bits in a hash."""
        return ((1 << self.width) - 1) << self.shift

    @property
    def num_flips(self) -> int:
        """Number of buckets that a bucket is compared with."""
        return sum(comb(self.width, bits) for bits in range(self.radius + 1))

    def flips(self) -> NDArray[np.int64]:
        """What a bucket's number is XORed with, itself first."""
        found = [
            sum(1 << bit for bit in chosen)
            for bits in range(self.radius + 1)
            for chosen in combinations(range(self.width), bits)
        ]
        return np.array(found, np.int64)


def choose_bands(pairs: float, radius: int) -> list[Band]:
    """The cut that takes least time.

    Args:
        pairs: number of pairs that comparing all would take.
        radius: of the whole hash.
    """
    cuts = [_cut(number, radius) for number in range(1, radius + 2)]
    usable = [cut for cut in cuts if all(band.width <= _WIDEST for band in cut if band.radius >= 0)]
    found = [Band(0, 0, 0)]  # one bucket: every pair is compared
    return min([found, *usable], key=lambda cut: _cost(cut, pairs))


def _cut(number: int, radius: int) -> list[Band]:
    sizes = [BITS // number + (place < BITS % number) for place in range(number)]
    # The narrow bands are allowed to differ more: they have fewer neighbours.
    sizes.sort()
    share, more = divmod(radius + 1, number)
    bands, shift = [], 0
    for place, size in enumerate(sizes):
        bands.append(Band(shift, size, share + (place < more) - 1))
        shift += size
    return bands


def _cost(bands: list[Band], pairs: float) -> float:
    """Time in comparisons, were all hashes equally likely."""
    return sum(
        band.num_flips * (_VISIT * 2.0**band.width + pairs / 2.0**band.width)
        for band in bands
        if band.radius >= 0
    )
