"""The states of one partition's candidate URLs in memory: 13 bytes a URL, and 4 an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.images.fetching.states import UrlState
from mlimages.schemas import LEDGER

Slots = NDArray[np.int64]
"""Positions of candidates within their partition."""

VALUES = ("state", "status", "attempts", "when")


@dataclass
class Columns:
    """Candidates of a partition in order of (row, position); all columns are of that length.

    Attributes:
        first_row: of the partition.
        starts: int32 [images + 1]; those of image i are at starts[i]:starts[i + 1].
        candidate: uint8, position of the URL in the image's uris.
        host: int32, index into the ledger's names of hosts.
        state: uint8, numbers of UrlState; `removed` is never among them: see `Ledger`.
        status: int16, of HTTP.
        attempts: uint8.
        when: uint32, seconds since 1970 of the last attempt.
    """

    first_row: int
    starts: NDArray[np.int32]
    candidate: NDArray[np.uint8]
    host: NDArray[np.int32]
    state: NDArray[np.uint8]
    status: NDArray[np.int16]
    attempts: NDArray[np.uint8]
    when: NDArray[np.uint32]

    @classmethod
    def of(
        cls, first_row: int, images: int, candidates: pa.Table, host: NDArray[np.int32]
    ) -> Columns:
        """All pending.

        Args:
            first_row: of the partition.
            images: of the partition.
            candidates: schemas.HOSTS.
            host: int32 [candidates], index of each one's host.
        """
        size = candidates.num_rows
        counts = np.bincount(candidates["row"].to_numpy() - first_row, minlength=images)
        return cls(
            first_row,
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
            candidates["candidate"].to_numpy().copy(),
            host,
            np.full(size, UrlState.PENDING, np.uint8),
            np.zeros(size, np.int16),
            np.zeros(size, np.uint8),
            np.zeros(size, np.uint32),
        )

    def __len__(self) -> int:
        return len(self.state)

    @property
    def images(self) -> int:
        """Number of images of the partition."""
        return len(self.starts) - 1

    def slots(self, rows: NDArray[np.integer], candidates: NDArray[np.integer]) -> Slots:
        """The slot of each (row, candidate), or -1 where there is no such URL."""
        local = np.asarray(rows, np.int64) - self.first_row
        inside = (local >= 0) & (local < self.images)
        local = np.where(inside, local, 0)
        begin = self.starts[local].astype(np.int64) if self.images else np.zeros_like(local)
        end = self.starts[local + 1] if self.images else begin
        found = np.full(len(local), -1, np.int64)
        for step in range(int((end - begin).max(initial=0))):
            here = np.flatnonzero(inside & (begin + step < end))
            match = self.candidate[begin[here] + step] == np.asarray(candidates)[here]
            found[here[match]] = begin[here[match]] + step
        return found

    def slot(self, row: int, candidate: int) -> int:
        """The slot of one URL; raises KeyError when there is none."""
        local = row - self.first_row
        if 0 <= local < self.images:
            for slot in range(self.starts[local], self.starts[local + 1]):
                if self.candidate[slot] == candidate:
                    return slot
        raise KeyError((row, candidate))

    def slots_of_images(self, chosen: NDArray[np.bool_]) -> Slots:
        """The slots of some images: bool [images]."""
        return np.flatnonzero(np.repeat(chosen, np.diff(self.starts)))

    def rows(self, slots: Slots) -> NDArray[np.int32]:
        """The row of each slot."""
        local = np.searchsorted(self.starts, slots, side="right") - 1
        return (local + self.first_row).astype(np.int32)

    def put(self, slots: Slots, values: pa.Table | NDArray) -> None:
        """Set the values of some slots; of a slot that comes more than once, the last ones."""
        for name in VALUES:
            getattr(self, name)[slots] = np.asarray(values[name])

    def changed(self, slots: Slots, values: NDArray) -> Columns:
        """A copy with the values of some slots set; the layout is shared."""
        copies = {name: getattr(self, name).copy() for name in VALUES}
        other = Columns(self.first_row, self.starts, self.candidate, self.host, **copies)
        other.put(slots, values)
        return other

    def table(self, slots: Slots) -> pa.Table:
        """schemas.LEDGER of some slots."""
        values = [pa.array(getattr(self, name)[slots]) for name in VALUES]
        keys = [pa.array(self.rows(slots)), pa.array(self.candidate[slots])]
        return pa.table([*keys, *values], schema=LEDGER)

    def told(self) -> Slots:
        """The slots of which there is something to keep: tried, or no longer pending."""
        return np.flatnonzero((self.state != UrlState.PENDING) | (self.attempts > 0))
