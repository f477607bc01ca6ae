"""Pairs of tags that go together far less often than chance, and the images that have both.

An image with a pair that is seen together hundreds of times less often than chance is a good place
to look for a wrong tag. Pairs far above chance are listed beside them: they show what a source
annotates together, or where two categories mean the same thing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlimages.labels.sparse import contains, make_keys
from mlimages.labels.statistics.tag_pairs import (
    TagPairs,
    count_tag_pairs,
    countable,
    multi_label_images,
    pair_parts,
    pairs_of,
)
from mlimages.labels.tag_blocks import tag_blocks
from mlimages.store import Store
from mlimages.taxonomy.hierarchy import Hierarchy

LEAST_EXPECTED = 5.0
"""A pair is improbable only if chance would give it this many images."""
IMPROBABLE_BELOW = -3.0
"""Bits: an eighth of what chance would give."""
LEAST_TOGETHER = 5
IMAGES_OF_A_PAIR = 4


@dataclass(frozen=True)
class Pair:
    """Two categories, by index, with what was seen and what chance would give."""

    first: int
    second: int
    together: int
    expected: float
    pmi: float


@dataclass(frozen=True)
class PairImage:
    """An image that has both tags of an improbable pair."""

    row: int
    pair: Pair


@dataclass(frozen=True)
class ImprobablePairs:
    """What was found.

    Attributes:
        images, of: pairs were counted on this many images, chosen from so many.
        improbable: number of all improbable pairs; no two of `below` say the same of categories
            above and below each other.
        below: the most improbable pairs that images have.
        above: the pairs furthest above chance, by normalised PMI.
        listed: images that have one of `below`, the most improbable first.
    """

    images: int
    of: int
    improbable: int
    below: list[Pair]
    above: list[Pair]
    listed: list[PairImage]


def find_improbable_pairs(store: Store, hierarchy: Hierarchy, limit: int = 50) -> ImprobablePairs:
    """Count pairs of tags, then look for the images that have improbable ones.

    Args:
        store: the database, with current tags.
        hierarchy: the one that the tags were derived with.
        limit: how many pairs, and how many images, are listed.
    """
    chosen = multi_label_images(store)
    pairs = count_tag_pairs(store, hierarchy, among=chosen)
    pmi, expected = pairs.pmi(), pairs.expected()
    rare = np.flatnonzero((expected >= LEAST_EXPECTED) & (pmi <= IMPROBABLE_BELOW))
    # Of equals the deeper pair: that a road is ground says less than that it is a road.
    depth = -(hierarchy.depths[pairs.first] + hierarchy.depths[pairs.second])
    rare = rare[np.lexsort((rare, depth[rare], -expected[rare], pmi[rare]))]
    strength = pairs.normalised_pmi()
    often = np.flatnonzero((pairs.together >= LEAST_TOGETHER) & (pmi > 0))
    often = often[np.lexsort((often, depth[often], -strength[often]))]
    below = _named(pairs, _apart(pairs, rare, hierarchy, limit))
    above = _named(pairs, _apart(pairs, often, hierarchy, limit))
    listed = _images_with(store, below, limit, chosen)
    return ImprobablePairs(pairs.images, pairs.of, len(rare), below, above, listed)


def _apart(
    pairs: TagPairs, ranked: NDArray[np.int64], hierarchy: Hierarchy, most: int
) -> list[int]:
    """The first few, without those that lie above or below one already taken on both sides."""
    first, second = pairs.first, pairs.second
    taken: list[int] = []
    for pair in ranked[: 100 * most].tolist():
        a, b = int(first[pair]), int(second[pair])
        if len(taken) == most:
            break
        if not any(
            (hierarchy.connected(a, int(first[t])) and hierarchy.connected(b, int(second[t])))
            or (hierarchy.connected(a, int(second[t])) and hierarchy.connected(b, int(first[t])))
            for t in taken
        ):
            taken.append(pair)
    return taken


def _named(pairs: TagPairs, chosen: Iterable[int]) -> list[Pair]:
    pmi, expected = pairs.pmi(), pairs.expected()
    return [
        Pair(
            int(pairs.first[i]),
            int(pairs.second[i]),
            int(pairs.together[i]),
            float(expected[i]),
            float(pmi[i]),
        )
        for i in chosen
    ]


def _images_with(
    store: Store, pairs: list[Pair], limit: int, chosen: NDArray[np.bool_]
) -> list[PairImage]:
    """A few images that have both tags of each pair, by pair, then row."""
    if not pairs:
        return []
    order = {(pair.first, pair.second): place for place, pair in enumerate(pairs)}
    firsts, seconds = (np.array(side) for side in zip(*order, strict=True))
    keys = make_keys(firsts, seconds)
    sorting = np.argsort(keys)
    involved = np.unique(np.concatenate([firsts, seconds]))
    best = np.empty((0, 2), np.int64)  # place of the pair, row
    for block in tag_blocks(store, "looking for improbable pairs", chosen):
        block = countable(block, chosen)
        block = block.keep(contains(involved, block.categories))
        for part in pair_parts(block):
            one, other = pairs_of(part)
            found = make_keys(part.categories[one], part.categories[other])
            hit = np.flatnonzero(contains(keys[sorting], found))
            places = sorting[np.searchsorted(keys[sorting], found[hit])]
            rows = np.repeat(part.rows, np.diff(part.indptr))[one[hit]]
            best = np.concatenate([best, np.stack([places, rows], axis=1)])
            best = best[np.lexsort((best[:, 1], best[:, 0]))]
            within = np.arange(len(best)) - np.searchsorted(best[:, 0], best[:, 0])
            best = best[within < IMAGES_OF_A_PAIR]
    return [PairImage(int(row), pairs[place]) for place, row in best[:limit].tolist()]
