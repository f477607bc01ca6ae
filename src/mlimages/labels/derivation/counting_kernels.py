"""The compiled part of `counting.py`."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.labels.compiled import kernel
from mlimages.labels.derivation.fact_rows import FactRows
from mlimages.labels.derivation.kernel_arrays import Merging
from mlimages.labels.derivation.kernels import merge_image
from mlimages.labels.sparse import Upward


def merge_rows(
    facts: pa.Table, num_rows: int, table: Upward
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """See `counting.merge_facts`."""
    rows = FactRows.from_table(facts, num_rows)
    if not len(rows.present) and _is_merged(rows.indptr, rows.categories):
        return rows.indptr, rows.categories
    indptr = np.zeros(num_rows + 1, np.int64)
    categories = np.empty(len(rows.categories), np.int32)
    merging = Merging.of(len(table.indptr) - 1)
    _merge_rows(rows, table.indptr, table.ancestors, merging, indptr, categories)
    return indptr, categories[: indptr[-1]]


@kernel
def _is_merged(indptr, categories):  # type: ignore[no-untyped-def]
    """Whether the categories of each image ascend: each is there once."""
    merged = True
    for image in range(len(indptr) - 1):
        for place in range(indptr[image] + 1, indptr[image + 1]):
            merged &= categories[place] > categories[place - 1]
    return merged


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


@kernel
def choose_probable(  # type: ignore[no-untyped-def]
    rows, categories, probabilities, single, effects, minimum, out_rows, out_categories
):
    """See `counting.choose_probable`."""
    usable, count = 0, 0
    for position in range(len(rows)):
        row, category = rows[position], categories[position]
        if single[row] and effects[category]:
            usable += 1
            if probabilities[position] > minimum:
                out_rows[count], out_categories[count] = row, category
                count += 1
    return usable, count


@kernel
def ascend(rows, categories):  # type: ignore[no-untyped-def]
    """See `counting.ascend`."""
    for position in range(1, len(rows)):
        if rows[position] < rows[position - 1] or (
            rows[position] == rows[position - 1]
            and categories[position] <= categories[position - 1]
        ):
            return False
    return True
