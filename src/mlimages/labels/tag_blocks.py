"""Going through all tags of a database a few hundred thousand images at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlimages.labels.sparse import Keys, expand, make_keys
from mlimages.progress import track
from mlimages.store import Store

BLOCK_IMAGES = 1 << 18


@dataclass(frozen=True)
class TagBlock:
    """Tags of some images; those of image i stand at indptr[i]:indptr[i + 1], by category.

    Attributes:
        rows: int32 [images], ascending.
        indptr: int64 [images + 1].
        categories: int32 [tags].
        reasons: int8 [tags], index into schemas.TAG_REASONS.
    """

    rows: NDArray[np.int32]
    indptr: NDArray[np.int64]
    categories: NDArray[np.int32]
    reasons: NDArray[np.int8]

    def __len__(self) -> int:
        """Number of images."""
        return len(self.rows)

    @property
    def owners(self) -> NDArray[np.int64]:
        """int64 [tags]: the position in `rows` of each tag's image."""
        return np.repeat(np.arange(len(self)), np.diff(self.indptr))

    @property
    def keys(self) -> Keys:
        """int64 [tags]: (row, category), ascending; see `sparse.make_keys`."""
        return make_keys(np.repeat(self.rows, np.diff(self.indptr)), self.categories)

    def take(self, positions: NDArray[np.integer]) -> TagBlock:
        """The images at some positions, in that order."""
        indptr = np.zeros(len(positions) + 1, dtype=np.int64)
        np.cumsum(np.diff(self.indptr)[positions], out=indptr[1:])
        place = expand(self.indptr, positions)[1]
        return TagBlock(self.rows[positions], indptr, self.categories[place], self.reasons[place])

    def keep(self, tags: NDArray[np.bool_]) -> TagBlock:
        """The same images with only some of their tags: bool [tags]."""
        counts = np.concatenate([[0], np.cumsum(tags)])
        return TagBlock(self.rows, counts[self.indptr], self.categories[tags], self.reasons[tags])


def tag_blocks(
    store: Store, what: str, chosen: NDArray[np.bool_] | None = None
) -> Iterator[TagBlock]:
    """All tags of a database in order of rows; one partition at most is in memory.

    Args:
        store: the database.
        what: a few words for the progress bar.
        chosen: bool [images]; partitions without any of these images are passed over.
    """
    numbers, size = store.partitions("tags"), store.manifest.partition_rows
    for number in track(numbers, what, unit="partitions"):
        if chosen is None or chosen[number * size : (number + 1) * size].any():
            yield from partition_blocks(store, number)


def partition_blocks(store: Store, partition: int) -> Iterator[TagBlock]:
    """The tags of one partition, `BLOCK_IMAGES` images at a time."""
    table = store.table("tags", ["row", "categories", "reasons"], partition)
    for batch in table.to_batches():
        rows = batch["row"].to_numpy()
        offsets = batch["categories"].offsets.to_numpy()
        categories = batch["categories"].values.to_numpy()
        reasons = batch["reasons"].values.to_numpy()
        shift = batch["reasons"].offsets[0].as_py() - int(offsets[0])
        for start in range(0, len(rows), BLOCK_IMAGES):
            part = offsets[start : start + BLOCK_IMAGES + 1].astype(np.int64)
            first, last = int(part[0]), int(part[-1])
            yield TagBlock(
                rows[start : start + BLOCK_IMAGES],
                part - first,
                categories[first:last],
                reasons[first + shift : last + shift],
            )


def tags_of_rows(store: Store, rows: NDArray[np.integer]) -> TagBlock:
    """The tags of some images; rows ascend. Reads only the partitions that hold them."""
    parts = []
    numbers = np.unique(rows // store.manifest.partition_rows).tolist()
    for number in track(numbers, "reading tags", unit="partitions"):
        for block in partition_blocks(store, number):
            begin, end = np.searchsorted(rows, [block.rows[0], block.rows[-1] + 1])
            parts.append(block.take(np.searchsorted(block.rows, rows[begin:end])))
    lengths = [np.empty(0, np.int64), *(np.diff(part.indptr) for part in parts)]
    return TagBlock(
        rows.astype(np.int32),
        np.concatenate([[0], np.cumsum(np.concatenate(lengths))]),
        np.concatenate([np.empty(0, np.int32), *(part.categories for part in parts)]),
        np.concatenate([np.empty(0, np.int8), *(part.reasons for part in parts)]),
    )
