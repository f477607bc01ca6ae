"""Images that show the same photo: candidates by their hashes, confirmed by their pixels.

Two images are candidates when one of their two hashes differs in at most `radius` bits and both
together in at most two and a half times that; then their pixels are compared. Clusters are built
around the image that is kept, the best first (`ranking`): a member was itself confirmed against
that image. So nothing is joined by a chain, of which the ends might have little in common: an image
that only looks like another member stays on its own.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlimages.images.duplicates.confirmation import (
    Looks,
    Scores,
    Threshold,
    compare_looks,
    looks_of,
)
from mlimages.images.duplicates.fingerprints import POSITIONS, TURNING
from mlimages.images.duplicates.search import Found, Hashes, Limits, close_pairs
from mlimages.progress import track

UPRIGHT = ""
FEW_IMAGES = 2_000_000
_PAIRS_AT_ONCE = 256
_LOOKS_KEPT = 1 << 15  # 5 kB each


@dataclass(frozen=True)
class Closeness:
    """How alike images must be.

    Attributes:
        radius: bits in which one hash may differ; None is 10, or 8 for over two million images:
            among so many even 8 bits bring as many accidental candidates.
        positions: of `fingerprints.POSITIONS`; in which a copy is looked for besides upright.
        threshold: what the pixels must share.
    """

    radius: int | None = None
    positions: tuple[str, ...] = ()
    threshold: Threshold = field(default_factory=Threshold)

    def limits(self, images: int) -> Limits:
        """Of the search among some number of images; raises InputError for a bad radius."""
        radius = self.radius
        if radius is None:
            radius = 10 if images <= FEW_IMAGES else 8
        return Limits(radius, radius * 5 // 2)


class Candidates(NamedTuple):
    """Pairs whose hashes are close.

    Attributes:
        pairs: int32 [2, pairs]; positions on the left and on the right.
        distance: int16 [pairs]; differing bits of both hashes, or of the one that was compared.
        position: int8 [pairs]; 0 upright, then place in `Closeness.positions` plus 1.
        crowded: see `search.Found`.
    """

    pairs: NDArray[np.int32]
    distance: NDArray[np.int16]
    position: NDArray[np.int8]
    crowded: int


class Confirmed(NamedTuple):
    """Pairs that show the same photo; as `Candidates`, with what comparing gave."""

    pairs: NDArray[np.int32]
    distance: NDArray[np.int16]
    position: NDArray[np.int8]
    likeness: NDArray[np.float32]


def find_candidates(
    left: Hashes, closeness: Closeness, limits: Limits, right: Hashes | None = None
) -> Candidates:
    """Pairs of pictures worth comparing.

    Args:
        left: perceptual and gradient hashes.
        closeness: in which positions copies are looked for.
        limits: of the search.
        right: as `left`; None finds the pairs among `left`.
    """
    other = left if right is None else right
    swapped = Hashes(left.second, left.first), Hashes(other.second, other.first)
    searches = [
        close_pairs(left, limits, right),
        close_pairs(swapped[0], limits, None if right is None else swapped[1]),
    ]
    pairs = np.unique(np.concatenate([found.pairs for found in searches], axis=1), axis=1)
    distance = sum(
        np.bitwise_count(mine[pairs[0]] ^ theirs[pairs[1]]).astype(np.int16)
        for mine, theirs in zip(left, other, strict=True)
    )
    found = [(pairs, distance, np.zeros(pairs.shape[1], np.int8))]
    for place, name in enumerate(closeness.positions, 1):
        search = _turned_pairs(left, limits, other, POSITIONS[name], same=right is None)
        searches.append(search)
        distance = np.bitwise_count(
            POSITIONS[name](left.first[search.pairs[0]]) ^ other.first[search.pairs[1]]
        )
        places = np.full(search.pairs.shape[1], place, np.int8)
        found.append((search.pairs, distance.astype(np.int16), places))
    pairs, distance, places = (
        np.concatenate(column, axis=-1) for column in zip(*found, strict=True)
    )
    return Candidates(pairs, distance, places, sum(search.crowded for search in searches))


def _turned_pairs(
    left: Hashes,
    limits: Limits,
    right: Hashes,
    turn: Callable[[NDArray[np.uint64]], NDArray[np.uint64]],
    same: bool,
) -> Found:
    """Pairs of which one is turned; the gradient hash of a turned picture is not known."""
    nothing = [np.zeros_like(side.first) for side in (left, right)]
    turned = Hashes(turn(left.first), nothing[0])
    pairs, crowded = close_pairs(turned, limits, Hashes(right.first, nothing[1]))
    return Found(pairs[:, pairs[0] > pairs[1]] if same else pairs, crowded)


def confirm(
    candidates: Candidates,
    read_left: Callable[[int], bytes],
    read_right: Callable[[int], bytes],
    closeness: Closeness,
) -> Confirmed:
    """Compare the pixels of candidates.

    Args:
        candidates: those on the right in any order; reading is best when neighbours repeat.
        read_left, read_right: give the file's bytes of a picture by its position.
        closeness: the positions of the candidates, and what is asked.
    """
    order = np.lexsort((candidates.pairs[0], candidates.pairs[1]))
    good, likeness = [], []
    sides = (_LooksCache(read_left), _LooksCache(read_right))
    starts = range(0, len(order), _PAIRS_AT_ONCE)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        chunks = (order[start : start + _PAIRS_AT_ONCE] for start in starts)
        for chunk in track(chunks, "comparing pictures", len(starts), f"x {_PAIRS_AT_ONCE} pairs"):
            scores = _scores(pool, sides, candidates, chunk, closeness.positions)
            passed = scores.passed(closeness.threshold)
            good.append(chunk[passed])
            likeness.append(scores.likeness[passed])
    chosen = np.concatenate([np.empty(0, np.int64), *good])
    return Confirmed(
        candidates.pairs[:, chosen],
        candidates.distance[chosen],
        candidates.position[chosen],
        np.concatenate([np.empty(0, np.float32), *likeness]),
    )


def _scores(
    pool: ThreadPoolExecutor,
    sides: tuple[_LooksCache, _LooksCache],
    candidates: Candidates,
    chunk: NDArray[np.int64],
    positions: Sequence[str],
) -> Scores:
    left, right = (
        side.get(pool, candidates.pairs[number, chunk].tolist())
        for number, side in enumerate(sides)
    )
    for place, position in enumerate(candidates.position[chunk].tolist()):
        if position:
            left[place] = left[place].turned(TURNING[positions[position - 1]])
    return compare_looks(left, right)


class _LooksCache:
    """What is compared of the pictures used last."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._held: OrderedDict[int, Looks] = OrderedDict()

    def get(self, pool: ThreadPoolExecutor, places: list[int]) -> list[Looks]:
        missing = [place for place in dict.fromkeys(places) if place not in self._held]
        new = pool.map(lambda place: looks_of(self._read(place)), missing)
        self._held.update(zip(missing, new, strict=True))
        for place in places:
            self._held.move_to_end(place)
        found = [self._held[place] for place in places]
        while len(self._held) > _LOOKS_KEPT:
            self._held.popitem(last=False)
        return found


class Member(NamedTuple):
    """An image that another one stands for, by their places in the ranking."""

    place: int
    kept: int
    distance: int
    likeness: float
    position: int


def clusters(confirmed: Confirmed) -> Iterator[Member]:
    """Give each image to the best one that it was confirmed against, and that is kept itself.

    Args:
        confirmed: pairs of places in the ranking, the better one on the right.
    """
    away: set[int] = set()
    order = np.lexsort((confirmed.distance, confirmed.pairs[0], confirmed.pairs[1])).tolist()
    for pair in order:
        place, kept = confirmed.pairs[:, pair].tolist()
        if kept not in away and place not in away:
            away.add(place)
            numbers = (confirmed.distance, confirmed.likeness, confirmed.position)
            yield Member(place, kept, *(column[pair].item() for column in numbers))
