"""Which categories are tags of the same images more, or less, often than chance.

Counted where several tags are possible at all: on images that a multi-label source annotated. Tags
that the co-occurrence rule added are left out, since it would find itself. Of more than half a
million such images half a million are counted, chosen by their rows. Pairs that a path of the
hierarchy joins are left out: that an ancestor goes with its descendants says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mlimages.labels.absences import single_label_rows
from mlimages.labels.lookup import left_out
from mlimages.labels.sparse import (
    Keys,
    categories_of,
    make_keys,
    related,
    rows_of,
)
from mlimages.labels.tag_blocks import TagBlock, tag_blocks
from mlimages.labels.tags import COOCCURRENCE
from mlimages.store import Store
from mlimages.taxonomy.hierarchy import Hierarchy

MOST_IMAGES = 500_000
MOST_TAGS = 400
"""Images with more tags are left out: their pairs grow with the square."""
_PAIRS_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class TagPairs:
    """Pairs of categories (first < second) with images that have both, and no path between them.

    Attributes:
        images: number of images counted.
        of: number of images they were chosen from.
        sizes: int64 [categories], images of each category among those counted.
        keys: int64 [pairs], see `sparse.make_keys`, ascending.
        together: int64 [pairs], images with both.
    """

    images: int
    of: int
    sizes: NDArray[np.int64]
    keys: Keys
    together: NDArray[np.int64]

    @property
    def first(self) -> NDArray[np.int32]:
        """int32 [pairs]: the category of lower index."""
        return rows_of(self.keys)

    @property
    def second(self) -> NDArray[np.int32]:
        """int32 [pairs]: the category of higher index."""
        return categories_of(self.keys)

    def expected(self) -> NDArray[np.float64]:
        """float64 [pairs]: images with both if the two were independent."""
        return self.sizes[self.first] * (self.sizes[self.second] / max(1, self.images))

    def pmi(self) -> NDArray[np.float64]:
        """float64 [pairs]: pointwise mutual information in bits, log2 p(a, b) / (p(a) p(b)).

        Church and Hanks, Word association norms, Computational Linguistics 16, 1990.
        """
        return np.log2(self.together / self.expected())

    def normalised_pmi(self) -> NDArray[np.float64]:
        """float64 [pairs]: PMI / -log2 p(a, b): -1 never together, 0 chance, 1 always.

        Bouma, Normalized (pointwise) mutual information in collocation extraction, GSCL 2009.
        """
        surprise = -np.log2(self.together / max(1, self.images))
        return self.pmi() / np.maximum(surprise, 1e-12)


def count_tag_pairs(
    store: Store,
    hierarchy: Hierarchy,
    most_images: int = MOST_IMAGES,
    among: NDArray[np.bool_] | None = None,
) -> TagPairs:
    """Count pairs of tags of multi-label images.

    Args:
        store: the database, with current tags.
        hierarchy: the one that the tags were derived with.
        most_images: of more images than these, a part is counted.
        among: what `multi_label_images` gives, when it is known.
    """
    among = multi_label_images(store) if among is None else among
    of, chosen = int(among.sum()), _some_of(among, most_images)
    sizes = np.zeros(hierarchy.num_categories, np.int64)
    counter = _PairCounter(hierarchy)
    images = 0
    for block in tag_blocks(store, "counting pairs of tags", chosen):
        block = countable(block, chosen)
        sizes += np.bincount(block.categories, minlength=len(sizes))
        images += len(block)
        counter.add(block)
    keys, together = counter.result()
    return TagPairs(images, of, sizes, keys, together)


def multi_label_images(store: Store) -> NDArray[np.bool_]:
    """bool [images]: those that a multi-label source annotated, without duplicates."""
    chosen = ~left_out(store)
    sources = store.table("sources")
    for number in store.partitions("images"):
        table = store.table("images", ["row", "sources"], number)
        chosen[table["row"].to_numpy()] &= ~single_label_rows(table, sources)
    return chosen


def _some_of(chosen: NDArray[np.bool_], most: int) -> NDArray[np.bool_]:
    """At most so many of the images, spread over all."""
    rows = np.flatnonzero(chosen)
    if len(rows) <= most:
        return chosen
    # Knuth's multiplicative hash spreads the choice over the rows, the same every time.
    spread = (rows.astype(np.uint64) * np.uint64(2654435761)) & np.uint64(0xFFFFFFFF)
    fewer = np.zeros_like(chosen)
    fewer[rows[np.argsort(spread, kind="stable")[:most]]] = True
    return fewer


def countable(block: TagBlock, chosen: NDArray[np.bool_]) -> TagBlock:
    """The chosen images of a block, without what the co-occurrence rule added to them."""
    few = np.diff(block.indptr) <= MOST_TAGS
    block = block.take(np.flatnonzero(chosen[block.rows] & few))
    return block.keep(block.reasons != COOCCURRENCE)


def pairs_of(block: TagBlock) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the two tags of every pair of tags of one image, the lower category first."""
    ends = np.repeat(block.indptr[1:], np.diff(block.indptr))
    after = ends - np.arange(len(ends)) - 1
    first = np.repeat(np.arange(len(ends)), after)
    starts = np.cumsum(after) - after
    return first, np.arange(len(first)) - np.repeat(starts, after) + first + 1


def pair_parts(block: TagBlock, most: int = _PAIRS_AT_ONCE) -> list[TagBlock]:
    """Cut a block so that each part has about `most` pairs."""
    lengths = np.diff(block.indptr)
    total = np.cumsum(lengths * (lengths - 1) // 2)
    cuts = np.searchsorted(total, np.arange(most, int(total[-1]) if len(total) else 0, most))
    edges = np.unique([0, *cuts.tolist(), len(block)])
    return [block.take(np.arange(start, end)) for start, end in pairwise(edges.tolist())]


@dataclass
class _PairCounter:
    """Sparse counts in sorted runs of growing length, merged as in a log-structured tree."""

    hierarchy: Hierarchy
    runs: list[tuple[Keys, NDArray[np.int64]]] = field(default_factory=list)

    def add(self, block: TagBlock) -> None:
        for part in pair_parts(block):
            first, second = pairs_of(part)
            pairs = make_keys(part.categories[first], part.categories[second])
            keys, counts = np.unique(pairs, return_counts=True)
            apart = ~related(keys, self.hierarchy)
            self.runs.append((keys[apart], counts[apart]))
            while len(self.runs) > 1 and len(self.runs[-2][0]) <= 2 * len(self.runs[-1][0]):
                self._merge_last()

    def result(self) -> tuple[Keys, NDArray[np.int64]]:
        while len(self.runs) > 1:
            self._merge_last()
        return self.runs[0] if self.runs else (np.empty(0, np.int64), np.empty(0, np.int64))

    def _merge_last(self) -> None:
        (first, first_counts), (second, second_counts) = self.runs[-2:]
        keys = np.concatenate([first, second])
        order = np.argsort(keys, kind="stable")  # two sorted runs: linear
        keys = keys[order]
        starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)])
        counts = np.concatenate([first_counts, second_counts])[order]
        merged = np.add.reduceat(counts, starts) if len(starts) else counts
        self.runs[-2:] = [(keys[starts], merged)]


@dataclass(frozen=True)
class Partner:
    """A category that goes with another: images with both, and their PMI in bits."""

    category: int
    together: int
    pmi: float


def strongest_partners(
    pairs: TagPairs,
    hierarchy: Hierarchy,
    most: int = 10,
    minimum_together: int = 5,
    candidates: int = 60,
) -> dict[int, list[Partner]]:
    """For each category those that go with it most, by normalised PMI above 0.

    Of a category and one above it only the stronger is named: after a leash, a strap is no news.

    Args:
        pairs: as counted.
        hierarchy: over the categories.
        most: partners of a category.
        minimum_together: images that both must have: PMI overrates rare pairs.
        candidates: how many are looked at for `most` that are not above each other.
    """
    strength = pairs.normalised_pmi()
    keep = np.flatnonzero((pairs.together >= minimum_together) & (strength > 0))
    both = np.concatenate([keep, keep])
    own = np.concatenate([pairs.first[keep], pairs.second[keep]])
    other = np.concatenate([pairs.second[keep], pairs.first[keep]])
    order = np.lexsort((other, -strength[both], own))
    own, other, both = own[order], other[order], both[order]
    starts = np.searchsorted(own, np.arange(pairs.sizes.size + 1))
    pmi = pairs.pmi()
    above = [set(hierarchy.ancestors(c).tolist()) for c in range(hierarchy.num_categories)]
    partners: dict[int, list[Partner]] = {}
    for category in np.unique(own).tolist():
        begin, end = starts[category], min(starts[category + 1], starts[category] + candidates)
        named: list[Partner] = []
        for place in range(begin, end):
            here, pair = int(other[place]), both[place]
            if len(named) < most and not any(
                here in above[p.category] or p.category in above[here] for p in named
            ):
                named.append(Partner(here, int(pairs.together[pair]), float(pmi[pair])))
        partners[category] = named
    return partners
