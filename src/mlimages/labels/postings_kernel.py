"""Tags by category: a counting sort, compiled."""

from __future__ import annotations

import numpy as np

from mlimages.labels.compiled import kernel


@kernel
def sort_by_category(  # type: ignore[no-untyped-def]
    indptr, categories, confidences, reasons, size, first_row
):
    """The columns of schemas.POSTINGS from those of `Tags`.

    Args:
        size: all categories are less.
        first_row: row of the first image.
    """
    free = np.zeros(size + 1, np.int64)
    for category in categories:
        free[category + 1] += 1
    for category in range(size):
        free[category + 1] += free[category]
    count = len(categories)
    out_categories, out_rows = np.empty(count, np.int32), np.empty(count, np.int32)
    out_confidences, out_reasons = np.empty(count, np.float32), np.empty(count, np.int8)
    for category in range(size):
        out_categories[free[category] : free[category + 1]] = category
    for image in range(len(indptr) - 1):
        for tag in range(indptr[image], indptr[image + 1]):
            category = categories[tag]
            place = free[category]
            free[category] = place + 1
            out_rows[place] = first_row + image
            out_confidences[place] = confidences[tag]
            out_reasons[place] = reasons[tag]
    return out_categories, out_rows, out_confidences, out_reasons
