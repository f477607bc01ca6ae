"""The images of a database that is being added to: found by id or place, partition by partition.

In memory are 64-bit hashes of all ids, the partition that is being filled, and CACHED others.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.labels.intake.background import BackgroundCommit
from mlimages.labels.intake.gains import with_gains
from mlimages.labels.string_index import StringIndex, hash_function
from mlimages.schemas import IMAGES

CACHED = 2  # partitions kept in memory for looking up
MOST_GAINS = 1 << 20  # images that gain something, before it is written
_HASHED_ID = "^[0-9a-f]{32}$"


class HeldImages:
    """Images of the generation in the making.

    Args:
        writing: the commit.
        expected: about how many images will be looked up.

    Attributes:
        count: number of images; the next row.
        ids: id -> row.
        places: URI -> row, of images whose id is a hash of their place.
    """

    def __init__(self, writing: BackgroundCommit, expected: int) -> None:
        self._writing = writing
        self._size = writing.partition_rows
        self.count = 0
        partitions = writing.partitions("images")
        if partitions:
            expected = max(expected, (len(partitions) - 1) * self._size)
        hash_strings = hash_function(expected)
        self.ids, self.places = StringIndex(hash_strings), StringIndex(hash_strings)
        self._open: list[pa.Table] = []  # rows from _stored on, not yet written
        self._gains: defaultdict[int, list[pa.Table]] = defaultdict(list)  # of written ones
        self._cache: dict[int, pa.Table] = {}
        for number in partitions:
            held = writing.table("images", ["row", "id", "uris"], number)
            self._index(held)
            self.count += held.num_rows
        self._stored = self.count

    @property
    def complete(self) -> int:
        """Number of partitions that are full and written."""
        return self._stored // self._size

    def append(self, images: pa.Table) -> None:
        """Add images: schemas.IMAGES with rows from `count` on."""
        if images.num_rows == 0:
            return
        self._index(images)
        self._open.append(images)
        self.count += images.num_rows
        while self.count // self._size > self._stored // self._size:
            self._write((self._stored // self._size + 1) * self._size)

    def fetch(self, rows: NDArray[np.int32]) -> pa.Table:
        """schemas.IMAGES of some rows, in their order."""
        numbers = np.where(rows < self._stored, rows // self._size, -1)
        found = [(np.empty(0, np.int64), IMAGES.empty_table())]
        for number in np.unique(numbers).tolist():
            where = np.flatnonzero(numbers == number)
            if number < 0:
                table, first = self._opened(), self._stored
            else:
                if any(
                    np.isin(rows[where], g["row"].to_numpy()).any() for g in self._gains[number]
                ):
                    self._apply(number)
                table, first = self._partition(number), number * self._size
            found.append((where, table.take(pa.array(rows[where] - first))))
        order = np.concatenate([where for where, _ in found])
        table = pa.concat_tables([table for _, table in found])
        if len(found) > 2:
            table = table.take(pa.array(np.argsort(order)))
        return table.combine_chunks()

    def gain(self, gains: pa.Table) -> None:
        """Give images what they gain: `gains.GAINS`, each of another image."""
        rows = gains["row"].to_numpy()
        opened = rows >= self._stored
        if opened.any():
            self._open = [with_gains(self._opened(), gains.filter(pa.array(opened)))]
        for number in np.unique(rows[~opened] // self._size).tolist():
            here = ~opened & (rows // self._size == number)
            self._gains[number].append(gains.filter(pa.array(here)))
        if sum(table.num_rows for tables in self._gains.values() for table in tables) > MOST_GAINS:
            self._apply_all()

    def finish(self) -> None:
        """Write what is not yet written."""
        self._apply_all()
        if self.count > self._stored:
            self._write(self.count)

    def _write(self, end: int) -> None:
        """Write the open images with rows before `end`, all of one partition."""
        table, number = self._opened(), self._stored // self._size
        part = table.slice(0, end - self._stored)
        self._writing.append("images", part, number)
        rest = table.slice(part.num_rows)
        # Copied, so that the written part's memory is not held by what is left.
        self._open = [rest.take(pa.array(np.arange(rest.num_rows)))] if rest.num_rows else []
        self._cache.pop(number, None)
        self._stored = end

    def _opened(self) -> pa.Table:
        return pa.concat_tables(self._open) if self._open else IMAGES.empty_table()

    def _partition(self, number: int) -> pa.Table:
        if number not in self._cache:
            while len(self._cache) >= CACHED:
                del self._cache[next(iter(self._cache))]
            table = self._writing.table("images", partition=number)
            self._cache[number] = table.sort_by("row").combine_chunks()
        return self._cache[number]

    def _apply_all(self) -> None:
        for number in sorted(self._gains):
            self._apply(number)

    def _apply(self, number: int) -> None:
        gains = self._gains.pop(number)
        if gains:
            table = with_gains(self._partition(number), pa.concat_tables(gains))
            self._cache[number] = table
            self._writing.replace("images", table, number)

    def _index(self, images: pa.Table) -> None:
        rows = images["row"].to_numpy()
        ids = images["id"].combine_chunks()
        self.ids.add(ids, rows)
        hashed = pc.match_substring_regex(ids, _HASHED_ID)
        if pc.any(hashed, min_count=0).as_py():
            uris = images.filter(hashed)["uris"].combine_chunks()
            parents = pc.list_parent_indices(uris).to_numpy()
            self.places.add(uris.flatten(), rows[hashed.to_numpy(zero_copy_only=False)][parents])
