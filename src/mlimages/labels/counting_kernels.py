"""The compiled part of `counting.py`."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.labels.compiled import kernel
from mlimages.labels.derivation_kernels import Merging, merge_image
from mlimages.labels.fact_rows import FactRows
from mlimages.labels.sparse import Upward


def merge_rows(
    facts: pa.Table, num_rows: int, table: Upward
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """See `counting.merge_facts`."""
    rows = FactRows.from_table(facts, num_rows)
    indptr = np.zeros(num_rows + 1, np.int64)
    categories = np.empty(len(rows.categories), np.int32)
    merging = Merging.of(len(table.indptr) - 1)
    _merge_rows(rows, table.indptr, table.ancestors, merging, indptr, categories)
    return indptr, categories[: indptr[-1]]


@kernel
def _merge_rows(rows, up_indptr, up, merging, indptr, categories):  # type: ignore[no-untyped-def]
    at = 0
    for image in range(len(rows.indptr) - 1):
        count = merge_image(image, rows, up_indptr, up, merging)
        categories[at : at + count] = merging.found[:count]
        at += count
        indptr[image + 1] = at


@kernel
def count_pairs(  # type: ignore[no-untyped-def]
    rows, categories, indptr, causes, cause_index, effect_index, counts
):
    """See `counting.PairCounter.add`; an index of -1 is not counted."""
    for position in range(len(rows)):
        effect = effect_index[categories[position]]
        if effect >= 0:
            row = rows[position]
            for place in range(indptr[row], indptr[row + 1]):
                cause = cause_index[causes[place]]
                if cause >= 0:
                    counts[cause, effect] += 1
