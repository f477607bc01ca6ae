"""Which images a table of predictions is about, kept in its schema's metadata.

An image for which nothing was probable has no row in the table, nor has one that was never looked
at: broken, not packed, or outside the split. The metadata tells the two apart, as ranges of rows in
text: "0-99 105 107-200". Parquet keeps it.
"""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from mlimages.errors import InputError

ROWS_KEY = b"mlimages.rows"
_RANGES = re.compile(rb"(\d{1,10}(-\d{1,10})?( |$))*")


def record_rows(predictions: pa.Table, rows: ArrayLike) -> pa.Table:
    """The table, with the rows of all images that were looked at in its metadata."""
    seen = np.unique(np.asarray(rows, dtype=np.int64))
    breaks = np.flatnonzero(np.diff(seen) > 1)
    firsts = seen[np.concatenate([[0], breaks + 1])] if len(seen) else seen
    lasts = seen[np.concatenate([breaks, [-1]])] if len(seen) else seen
    ranges = (
        str(first) if first == last else f"{first}-{last}"
        for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)
    )
    metadata = {**(predictions.schema.metadata or {}), ROWS_KEY: " ".join(ranges).encode()}
    return predictions.replace_schema_metadata(metadata)


def recorded_rows(schema: pa.Schema, num_rows: int) -> NDArray[np.bool_] | None:
    """bool [num_rows]: the images that were looked at; None when the table does not say.

    Args:
        schema: of the table of predictions.
        num_rows: images of the database.

    Raises:
        InputError: the ranges cannot be read, or are of another database.
    """
    text = (schema.metadata or {}).get(ROWS_KEY)
    if text is None:
        return None
    if not _RANGES.fullmatch(text):
        raise InputError("predictions", "their list of rows is damaged", "predict again")
    seen = np.zeros(num_rows, dtype=bool)
    for part in text.split():
        first, _, last = part.partition(b"-")
        if int(last or first) >= num_rows:
            raise InputError(
                "predictions",
                f"are of row {int(last or first)}, outside 0..{num_rows - 1}",
                "predict again on this database",
            )
        seen[int(first) : int(last or first) + 1] = True
    return seen
