"""What an export reads of a database: its images with tags and facts, a block at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.errors import DatabaseError, InputError, nearest
from mlimages.labels.coded import coded, distinct
from mlimages.labels.exports.lists import FactList, TagLists
from mlimages.labels.facts import present_facts
from mlimages.labels.lookup import left_out
from mlimages.progress import track
from mlimages.store import Store
from mlimages.taxonomy.categories import Taxonomy
from mlimages.taxonomy.hierarchy import Hierarchy

BLOCK_ROWS = 1 << 16
NO_SPLIT = "none"
TagChoice = Literal["all", "asserted"]


class ImageFile(NamedTuple):
    """The bytes of an image, the suffix of its format (`jpg`), and its size in pixels."""

    data: bytes
    suffix: str
    width: int
    height: int


ReadImage = Callable[[int], "ImageFile | None"]
"""From a row to the image's file, or None when its bytes are not held."""


@dataclass(frozen=True)
class Block:
    """Some images of one partition, in the order of their rows.

    Attributes:
        images: schemas.IMAGES.
        rows: int32 [images].
        splits: split of each image; NO_SPLIT without one.
        single: bool [images], whether only single-label sources annotated it.
        tags: their tags.
        facts: what is said about them, present and absent.
    """

    images: pa.Table
    rows: NDArray[np.int32]
    splits: list[str]
    single: NDArray[np.bool_]
    tags: TagLists
    facts: FactList

    def __len__(self) -> int:
        return len(self.rows)

    def records(self) -> list[dict[str, Any]]:
        """The images as dictionaries by column."""
        return self.images.to_pylist()

    def ranges(self) -> list[tuple[int, int]]:
        """Begin and end of each image's tags."""
        bounds = self.tags.indptr.tolist()
        return list(pairwise(bounds))

    def cut(self, size: int) -> Iterator[Block]:
        """The same images in smaller blocks, for those who add the bytes of each."""
        for begin in range(0, len(self), size):
            place = np.arange(begin, min(begin + size, len(self)))
            yield self.take(place)

    def take(self, place: NDArray[np.integer]) -> Block:
        """Some of the images, at ascending positions."""
        rows = self.rows[place]
        return Block(
            self.images.take(pa.array(place)),
            rows,
            [self.splits[i] for i in place.tolist()],
            self.single[place],
            self.tags.take(place),
            self.facts.among(rows),
        )


class View:
    """The part of a database that an export is of; without images that another one stands for.

    Attributes:
        store, taxonomy: of the database.
        hierarchy: the one that its tags follow.
        split: the only split that is taken, or None for all.
        choice: "all" tags, or those that facts assert.
        read_image: gives the bytes of an image; None when the export is without bytes.
        counted: what an exporter found that its format cannot carry; added to by `lose`.
        observers: called with every block that is read.
    """

    def __init__(
        self,
        store: Store,
        taxonomy: Taxonomy,
        hierarchy: Hierarchy,
        *,
        split: str | None = None,
        tags: TagChoice = "all",
        read_image: ReadImage | None = None,
    ) -> None:
        """Open a view; see the attributes.

        Raises:
            InputError: no such split.
            DatabaseError: there are no images.
        """
        if store.num_rows("images") == 0:
            raise DatabaseError(store.root, "holds no images", "run: mlimages import")
        self.store, self.taxonomy, self.hierarchy = store, taxonomy, hierarchy
        self.split, self.choice, self.read_image = split, tags, read_image
        self.counted: dict[str, int] = {}
        self.observers: list[Callable[[Block], None]] = []
        self._split_names, self._splits = _split_codes(store)
        self._away = left_out(store)
        if split is not None and split not in self._split_names[1:]:
            raise InputError(split, "no such split", nearest(split, self._split_names[1:]))
        sources = store.table("sources").to_pylist()
        self._single = {record["source"] for record in sources if record["single_label"]}
        self.exhaustive = sum(len(record["exhaustive"]) for record in sources)

    @property
    def name(self) -> str:
        """What the export is called: the database's folder."""
        return str(self.store.root).rstrip("/").rpartition("/")[2] or "database"

    @property
    def split_names(self) -> list[str]:
        """The splits that images of the view may be in."""
        if self.split is not None:
            return [self.split]
        used = np.unique(self._splits[~self._away])
        return [self._split_names[code] for code in used.tolist()]

    def lose(self, what: str, count: int = 1) -> None:
        """Count something that the export in the making has no place for."""
        self.counted[what] = self.counted.get(what, 0) + count

    def blocks(self, description: str = "images") -> Iterator[Block]:
        """The images of the view, in the order of their rows."""
        for partition in track(self.store.partitions(), description, unit="partitions"):
            for block in self._blocks_of(partition):
                for observe in self.observers:
                    observe(block)
                yield block

    def _blocks_of(self, partition: int) -> Iterator[Block]:
        images = self.store.table("images", partition=partition)
        order = np.argsort(images["row"].to_numpy(), kind="stable")
        images = images.take(pa.array(order))
        rows = images["row"].to_numpy()
        facts = self.store.table("facts", partition=partition)
        tags = self._tags(partition, rows, facts)
        listed = FactList.from_table(facts)
        codes = self._splits[rows]
        wanted = ~self._away[rows]
        if self.split is not None:
            wanted &= codes == self._split_names.index(self.split)
        for begin in range(0, len(rows), BLOCK_ROWS):
            place = begin + np.flatnonzero(wanted[begin : begin + BLOCK_ROWS])
            if len(place) == 0:
                continue
            part = images.take(pa.array(place))
            yield Block(
                part,
                rows[place],
                [self._split_names[code] for code in codes[place].tolist()],
                self._are_single(part),
                tags.take(place),
                listed.among(rows[place]),
            )

    def _tags(self, partition: int, rows: NDArray[np.int32], facts: pa.Table) -> TagLists:
        if self.choice == "asserted":
            said = present_facts(facts, self.hierarchy)
            indptr = np.searchsorted(said.rows, np.append(rows, rows[-1] + 1)).astype(np.int64)
            reasons = np.zeros(len(said.categories), dtype=np.int8)
            return TagLists(indptr, said.categories, said.confidences, reasons, said.categories)
        table = self.store.table("tags", partition=partition)
        if not np.array_equal(table["row"].to_numpy(), rows):
            raise DatabaseError(
                self.store.root, "its tags are not one row an image", "run: mlimages complete DB"
            )
        names = ("categories", "confidences", "reasons", "because")
        columns = [table[name].combine_chunks() for name in names]
        indptr = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(columns[0].value_lengths().to_numpy(), out=indptr[1:])
        return TagLists(indptr, *(column.flatten().to_numpy() for column in columns))

    def _are_single(self, images: pa.Table) -> NDArray[np.bool_]:
        lists = images["sources"].combine_chunks()
        owner = lists.value_parent_indices().to_numpy()
        other = ~pc.is_in(lists.flatten(), pa.array(sorted(self._single), pa.string())).to_numpy(
            zero_copy_only=False
        )
        single = lists.value_lengths().fill_null(0).to_numpy() > 0
        single[owner[other]] = False
        return single


def _split_codes(store: Store) -> tuple[list[str], NDArray[np.int16]]:
    """(names, int16 [images]): the split of each row as an index into the names."""
    splits = store.table("splits")
    names = [NO_SPLIT, *distinct(splits["split"])]
    codes = np.zeros(store.num_rows("images"), dtype=np.int16)
    codes[splits["row"].to_numpy()] = coded(splits["split"], names[1:]).astype(np.int16) + 1
    return names, codes
