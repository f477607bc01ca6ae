"""Which images a table of predictions is about, kept in its schema's metadata.

An image for which nothing was probable has no row in the table, nor has one that was never looked
at: broken, not packed, or outside the split. The metadata tells the two apart, as ranges of rows in
text: "0-99 105 107-200". Parquet keeps it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from mlimages.errors import InputError

ROWS_KEY = b"mlimages.rows"
_RANGES = re.compile(rb"(\d{1,10}(-\d{1,10})?( |$))*")


def record_rows(predictions: pa.Table, rows: ArrayLike) -> pa.Table:
    """The table, with the rows of all images that were looked at in its metadata."""
    seen = np.unique(np.asarray(rows, dtype=np.int64))
    text = _text(seen, seen)
    return predictions.replace_schema_metadata(
        {**(predictions.schema.metadata or {}), ROWS_KEY: text}
    )


def united_rows(schemas: Iterable[pa.Schema]) -> bytes | None:
    """The list of rows of several tables together; None when one of them has none.

    Raises:
        InputError: a list cannot be read.
    """
    firsts, lasts = [], []
    for schema in schemas:
        text = (schema.metadata or {}).get(ROWS_KEY)
        if text is None:
            return None
        for first, last in _ranges(text):
            firsts.append(first)
            lasts.append(last)
    order = np.argsort(firsts, kind="stable")
    begin, end = np.array(firsts, np.int64)[order], np.array(lasts, np.int64)[order]
    return _text(begin, np.maximum.accumulate(end))


def _text(firsts: NDArray[np.int64], lasts: NDArray[np.int64]) -> bytes:
    """Ranges in text, those that touch as one.

    Args:
        firsts: int64 [ranges], ascending.
        lasts: int64 [ranges], ascending.
    """
    begins = np.ones(len(firsts), dtype=bool)
    begins[1:] = firsts[1:] > lasts[:-1] + 1
    first = firsts[begins]
    last = lasts[np.append(np.flatnonzero(begins)[1:] - 1, len(lasts) - 1)] if len(lasts) else lasts
    ranges = zip(first.tolist(), last.tolist(), strict=True)
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges).encode()


def _ranges(text: bytes) -> Iterator[tuple[int, int]]:
    if not _RANGES.fullmatch(text):
        raise InputError("predictions", "their list of rows is damaged", "predict again")
    for part in text.split():
        first, _, last = part.partition(b"-")
        yield int(first), int(last or first)


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
    seen = np.zeros(num_rows, dtype=bool)
    for first, last in _ranges(text):
        if last >= num_rows:
            raise InputError(
                "predictions",
                f"are of row {last}, outside 0..{num_rows - 1}",
                "predict again on this database",
            )
        seen[first : last + 1] = True
    return seen
