"""A table of predictions, in memory or in Parquet files, read and checked batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.errors import InputError
from mlimages.labels.predicted_rows import recorded_rows
from mlimages.labels.prediction_files import PredictionFiles
from mlimages.schemas import PREDICTIONS

BATCH_ROWS = 1 << 20
_RIGHT_TYPES: dict[str, Callable[[pa.DataType], bool]] = {
    "row": pa.types.is_integer,
    "category": pa.types.is_integer,
    "probability": pa.types.is_floating,
}


class Batch(NamedTuple):
    """Some predictions.

    Attributes:
        rows, categories: int32 [predictions], in range.
        probabilities: float32 or float64 [predictions], in 0..1.
    """

    rows: NDArray[np.int32]
    categories: NDArray[np.int32]
    probabilities: NDArray[np.floating]


class Predictions:
    """Predictions (row, category, probability) about a database.

    Args:
        source: a table with at least the columns of schemas.PREDICTIONS, or where such Parquet
            files are; see `prediction_files.PredictionFiles`.
        num_rows: images of the database.
        num_categories: categories of the database.

    Attributes:
        seen: bool [images]: the images that were looked at; None when the table does not say.

    Raises:
        InputError: there is no such file, a part or a column is missing, a column is of another
            type, or the predictions are of another database.
    """

    def __init__(self, source: pa.Table | Path | str, num_rows: int, num_categories: int) -> None:
        self._table = source if isinstance(source, pa.Table) else None
        self._files = None if isinstance(source, pa.Table) else PredictionFiles(source)
        self.num_rows, self.num_categories = num_rows, num_categories
        schema = self._files.schema if self._files else source.schema  # type: ignore[union-attr]
        missing = set(PREDICTIONS.names) - set(schema.names)
        if missing:
            raise _refused(f"have no column {', '.join(sorted(missing))}")
        for name, is_right in _RIGHT_TYPES.items():
            if not is_right(schema.field(name).type):
                raise _refused(f"column {name} is {schema.field(name).type}")
        self.seen = recorded_rows(schema, num_rows)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All predictions, as they stand in the table; none is checked yet."""
        if self._files is None:
            assert self._table is not None
            yield from self._table.select(PREDICTIONS.names).to_batches(max_chunksize=BATCH_ROWS)
            return
        try:
            yield from self._files.batches(BATCH_ROWS)
        except (pa.ArrowException, OSError) as error:
            place = self._files.paths[0]
            raise InputError(place, f"cannot be read ({error})", "predict again") from None

    def check(self, batch: pa.RecordBatch) -> Batch:
        """The arrays of a batch.

        Raises:
            InputError: a value out of range; an image that `seen` lacks.
        """
        for name in PREDICTIONS.names:
            if batch[name].null_count:
                raise _refused(f"column {name} has {batch[name].null_count:,} empty cells")
        try:
            rows, categories = (
                batch[name].cast(pa.int32()).to_numpy(zero_copy_only=False)
                for name in ("row", "category")
            )
        except pa.ArrowException as error:
            raise _refused(f"numbers out of range ({error})") from None
        probabilities = batch["probability"].to_numpy(zero_copy_only=False)
        if len(rows) and not (probabilities.min() >= 0 and probabilities.max() <= 1):
            raise _refused("a probability is outside 0..1")
        for values, size, what in (
            (rows, self.num_rows, "images"),
            (categories, self.num_categories, "categories"),
        ):
            if len(values) and (values.min() < 0 or values.max() >= size):
                cause = f"name one of the {what} outside 0..{size - 1}"
                raise InputError("predictions", cause, "predict again on this database")
        if self.seen is not None and not self.seen[rows].all():
            cause = "are of images that their own list of rows lacks"
            raise InputError("predictions", cause, "predict again")
        return Batch(rows, categories, probabilities)


def _refused(cause: str) -> InputError:
    return InputError("predictions", cause, "write them with: mlimages predict")
