"""Counting all tags of a database in one pass: by category, reason, source and split.

A partition's tags are counted with `bincount`; what is kept of it is one count for each category,
reason, and group of images that the same sources annotated and that are in the same split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.errors import DatabaseError
from mlimages.labels.absences import group_by_sources
from mlimages.labels.lookup import left_out, removed, split_codes
from mlimages.labels.tag_blocks import TagBlock, partition_blocks
from mlimages.progress import track
from mlimages.schemas import TAG_REASONS
from mlimages.store import Store

Counts = NDArray[np.int64]
NO_SPLIT_NAME = ""
_REASONS = len(TAG_REASONS)


@dataclass(frozen=True)
class Group:
    """Images that the same sources annotated and that are in the same split ("" for none)."""

    sources: tuple[str, ...]
    split: str


@dataclass
class TagCounts:
    """All counts of a database. Duplicates and removed images are counted only as such.

    Attributes:
        num_categories: size of the vocabulary.
        duplicates: images that another one stands for.
        removed: images removed on request, duplicates among them included.
        images: number of images of each group.
        tags: int64 [reasons, categories] of each group: tags by schemas.TAG_REASONS.
        images_by_number_of_tags: entry k is the number of images with k tags.
        facts: (source, present) -> number of facts, but for those of kind `duplicate` and those
            about removed images.
    """

    num_categories: int
    duplicates: int = 0
    removed: int = 0
    images: Counter[Group] = field(default_factory=Counter)
    tags: dict[Group, Counts] = field(default_factory=dict)
    images_by_number_of_tags: Counts = field(default_factory=lambda: np.zeros(0, np.int64))
    facts: Counter[tuple[str, bool]] = field(default_factory=Counter)

    def by_reason(self) -> Counts:
        """int64 [reasons, categories]: tags of all images."""
        return self.of(lambda group: True)

    def of_split(self, name: str) -> Counts:
        """int64 [reasons, categories]: tags of a split's images."""
        return self.of(lambda group: group.split == name)

    def of_source(self, name: str) -> Counts:
        """int64 [reasons, categories]: tags of the images that a source annotated."""
        return self.of(lambda group: name in group.sources)

    def of(self, chosen: Callable[[Group], bool]) -> Counts:
        """int64 [reasons, categories]: tags of the groups that a function of `Group` chooses."""
        total = np.zeros((_REASONS, self.num_categories), np.int64)
        for group, counts in self.tags.items():
            if chosen(group):
                total += counts
        return total


def count_tags(store: Store, num_categories: int) -> TagCounts:
    """Count every tag, image and fact of a database, partition by partition.

    Raises:
        DatabaseError: the tags are of another number of images: some were imported since.
    """
    images, tagged = store.num_rows("images"), store.num_rows("tags")
    if images != tagged:
        raise DatabaseError(
            store.root,
            f"tags are derived for {tagged:,} images, and it has {images:,} by now",
            "run: mlimages complete DB",
        )
    names = store.table("sources", ["source"])["source"].to_pylist()
    split_names, splits = split_codes(store)
    away, gone = left_out(store), removed(store)
    counts = TagCounts(num_categories, int((away & ~gone).sum()), int(gone.sum()))
    for number in track(store.partitions("images"), "counting tags", unit="partitions"):
        table = store.table("images", ["row", "sources"], number)
        rows = table["row"].to_numpy()
        codes, members = group_by_sources(table["sources"], names)
        # One code for (sources, split); "no split", -1, is the last of them (-1 % width).
        width = len(split_names) + 1
        codes = codes * width + splits[rows] % width
        codes[away[rows]] = -1
        known = [Group(said_by, name) for said_by in members for name in (*split_names, "")]
        for code, images_of in enumerate(np.bincount(codes[codes >= 0], minlength=len(known))):
            if images_of:
                counts.images[known[code]] += int(images_of)
        _count_partition(store, number, rows, codes, known, counts)
        _count_facts(store, number, gone, counts)
    return counts


def _count_partition(
    store: Store,
    number: int,
    rows: NDArray[np.int32],
    codes: NDArray[np.int32],
    known: list[Group],
    counts: TagCounts,
) -> None:
    shape = (len(known), _REASONS, counts.num_categories)
    total = np.zeros(shape, np.int64).reshape(-1)
    for block in partition_blocks(store, number):
        own = codes[np.searchsorted(rows, block.rows)]
        if (own < 0).any():
            block, own = block.take(np.flatnonzero(own >= 0)), own[own >= 0]
        total += _count_block(block, own, shape)
        lengths = np.bincount(np.diff(block.indptr))
        counts.images_by_number_of_tags = _add(counts.images_by_number_of_tags, lengths)
    for group, found in zip(known, total.reshape(shape), strict=True):
        if found.any():
            counts.tags[group] = counts.tags.get(group, 0) + found


def _count_block(block: TagBlock, codes: NDArray[np.int32], shape: tuple[int, int, int]) -> Counts:
    cells = np.repeat(codes.astype(np.int64) * _REASONS, np.diff(block.indptr))
    cells += block.reasons
    cells *= shape[2]
    cells += block.categories
    return np.bincount(cells, minlength=shape[0] * shape[1] * shape[2])


def _add(first: Counts, second: Counts) -> Counts:
    longer, shorter = (first, second) if len(first) >= len(second) else (second, first)
    total = longer.copy()
    total[: len(shorter)] += shorter
    return total


def _count_facts(store: Store, number: int, gone: NDArray[np.bool_], counts: TagCounts) -> None:
    columns = ["source", "present", "kind", *(["row"] if gone.any() else [])]
    table = store.table("facts", columns, number)
    if gone.any():
        table = table.filter(pa.array(~gone[table["row"].to_numpy()]))
    said = table.filter(pc.not_equal(table["kind"], "duplicate")).select(["source", "present"])
    said = said.unify_dictionaries()  # each file brings its own
    grouped = pa.TableGroupBy(said, ["source", "present"]).aggregate([([], "count_all")])
    for record in grouped.to_pylist():
        counts.facts[(record["source"], record["present"])] += record["count_all"]
