"""Facts image by image, as the compiled kernels walk them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.labels.compiled import kernel


class FactRows(NamedTuple):
    """Facts in compressed rows; those of image i stand at indptr[i]:indptr[i + 1], in any order.

    Attributes:
        indptr: int64 [images + 1].
        categories: int32 [facts].
        confidences: uint32 [facts], bit patterns of float32: for numbers in [0, 1] the same order.
        present: bool [facts]; empty when all are.
        withdrawn: bool [facts]: corrections that say absent; empty when there are none.
    """

    indptr: NDArray[np.int64]
    categories: NDArray[np.int32]
    confidences: NDArray[np.uint32]
    present: NDArray[np.bool_]
    withdrawn: NDArray[np.bool_]

    @classmethod
    def from_table(cls, facts: pa.Table, num_rows: int) -> FactRows:
        """From schemas.FACTS about rows 0..num_rows - 1, in any order; sorted ones are not copied.

        The column `kind` is only looked at when something is said to be absent.
        """
        rows, categories = column(facts, "row"), column(facts, "category")
        confidences = column(facts, "confidence").view(np.uint32)
        present = withdrawn = np.empty(0, dtype=bool)
        if not pc.all(facts["present"], min_count=0).as_py():
            present = column(facts, "present")
            corrections = pc.equal(facts["kind"], "correction").combine_chunks()
            withdrawn = corrections.to_numpy(zero_copy_only=False) & ~present
            if not withdrawn.any():
                withdrawn = np.empty(0, dtype=bool)
        indptr = np.zeros(num_rows + 1, dtype=np.int64)
        if not _count_rows(rows, indptr):
            order = _order_by_row(rows, indptr)
            categories, confidences = categories[order], confidences[order]
            present = present[order] if len(present) else present
            withdrawn = withdrawn[order] if len(withdrawn) else withdrawn
        return cls(indptr, categories, confidences, present, withdrawn)


def column(table: pa.Table, name: str) -> NDArray:
    """A column without nulls as one array."""
    return table[name].combine_chunks().to_numpy(zero_copy_only=False)


@kernel
def _count_rows(rows, indptr):  # type: ignore[no-untyped-def]
    """Fill indptr int64 [images + 1] from rows int32 [facts]; whether the rows are ascending."""
    ascending = True
    last = np.int32(0)
    for row in rows:
        indptr[row + 1] += 1
        if row < last:
            ascending = False
        last = row
    for image in range(len(indptr) - 1):
        indptr[image + 1] += indptr[image]
    return ascending


@kernel
def _order_by_row(rows, indptr):  # type: ignore[no-untyped-def]
    """int64 [facts]: the order that brings the facts of each row together."""
    free = indptr.copy()
    order = np.empty(len(rows), np.int64)
    for fact in range(len(rows)):
        row = rows[fact]
        order[free[row]] = fact
        free[row] += 1
    return order
