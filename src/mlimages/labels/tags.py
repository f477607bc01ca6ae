"""Tags of all images in compressed rows, and their two tables: by image and by category."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.labels import compiled
from mlimages.labels.sparse import expand
from mlimages.schemas import POSTINGS, TAG_REASONS, TAGS

ASSERTED, ANCESTOR, COOCCURRENCE = range(len(TAG_REASONS))


@dataclass(frozen=True)
class Tags:
    """Derived tags; those of image i stand at indptr[i]:indptr[i + 1], ascending by category.

    Attributes:
        indptr: int64 [images + 1].
        categories: int32 [tags].
        confidences: float32 [tags].
        reasons: int8 [tags], index into schemas.TAG_REASONS.
        because: int32 [tags], the category that supports the tag most: the tag's own when it is
            asserted, the one below it for an ancestor, the cause for co-occurrence.
    """

    indptr: NDArray[np.int64]
    categories: NDArray[np.int32]
    confidences: NDArray[np.float32]
    reasons: NDArray[np.int8]
    because: NDArray[np.int32]

    def __len__(self) -> int:
        """Number of images."""
        return len(self.indptr) - 1

    @property
    def rows(self) -> NDArray[np.int32]:
        """int32 [tags]: the image of each tag."""
        return np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.indptr))

    def count_by_reason(self) -> dict[str, int]:
        """How many tags each of schemas.TAG_REASONS gave."""
        counts = np.bincount(self.reasons, minlength=len(TAG_REASONS))
        return {name: int(count) for name, count in zip(TAG_REASONS, counts, strict=True)}

    def take(
        self, rows: NDArray[np.integer]
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
        """(indptr, categories, confidences) of some images, in the order of `rows`."""
        indptr = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(np.diff(self.indptr)[rows], out=indptr[1:])
        place = expand(self.indptr, rows)[1]
        return indptr, self.categories[place], self.confidences[place]

    def to_table(self, first_row: int = 0) -> pa.Table:
        """schemas.TAGS: one row an image, also for images without tags.

        Args:
            first_row: row of the first image.
        """
        offsets = pa.array(self.indptr.astype(np.int32))
        values = (self.categories, self.confidences, self.reasons, self.because)
        lists = [pa.ListArray.from_arrays(offsets, pa.array(column)) for column in values]
        rows = np.arange(first_row, first_row + len(self), dtype=np.int32)
        return pa.table([pa.array(rows), *lists], schema=TAGS)

    @classmethod
    def from_table(cls, table: pa.Table) -> Tags:
        """From schemas.TAGS, rows 0, 1, 2, ... in order."""
        names = ("categories", "confidences", "reasons", "because")
        columns = [compressed(table[name]) for name in names]
        return cls(columns[0][0], *(values for _, values in columns))

    def to_postings(self, first_row: int = 0) -> pa.Table:
        """schemas.POSTINGS: the same tags sorted by category, then image.

        Args:
            first_row: row of the first image.
        """
        if compiled.available():
            from mlimages.labels.postings_kernel import sort_by_category

            size = int(self.categories.max()) + 1 if len(self.categories) else 0
            columns = sort_by_category(
                self.indptr, self.categories, self.confidences, self.reasons, size, first_row
            )
        else:
            order = np.argsort(self.categories, kind="stable")
            rows = (self.rows + first_row).astype(np.int32)
            found = (self.categories, rows, self.confidences, self.reasons)
            columns = tuple(column[order] for column in found)
        return pa.table([pa.array(column) for column in columns], schema=POSTINGS)


def compressed(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], NDArray]:
    """A column of lists in compressed rows: indptr int64 [rows + 1], and the values."""
    lists = column.combine_chunks()
    indptr = np.zeros(len(lists) + 1, dtype=np.int64)
    np.cumsum(lists.value_lengths().to_numpy(), out=indptr[1:])
    return indptr, lists.flatten().to_numpy()
