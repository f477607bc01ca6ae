"""Predictions in one Parquet file or in several: what the runs of `mlimages predict --part` wrote.

Several are named by their folder or by a pattern, such as `predictions/p.*-of-8.parquet`. Each file
of a part says which part it is, so that none can be missing unseen.
"""

from __future__ import annotations

import glob
import heapq
from collections.abc import Iterator
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import dataset

from mlimages.errors import InputError
from mlimages.execution.parts import Part, missing
from mlimages.labels.predicted_rows import ROWS_KEY, united_rows
from mlimages.progress import track
from mlimages.schemas import PREDICTIONS
from mlimages.storage import atomic_file

PART_KEY = b"mlimages.part"
MADE_KEY = b"mlimages.predicted"
"""Metadata: the part, and what predicted, on what, in JSON: equal in all parts of one run."""
_ACTION = "name a table that `mlimages predict` wrote"


def part_path(out: Path, part: Part) -> Path:
    """Where a part of the table at `out` is written: p.parquet, p.2-of-8.parquet."""
    return out.with_name(f"{out.stem}.{part.name}{out.suffix}")


class PredictionFiles:
    """The files at a place: one, all of a folder, or those of a pattern.

    Attributes:
        paths: of the files.
        schema: their columns, with the rows of all files in the metadata; see `predicted_rows`.
        made: what predicted, on what; None when the files do not say.

    Raises:
        InputError: there is none, one cannot be read, a part is missing, or they do not belong
            together.
    """

    def __init__(self, place: Path | str) -> None:
        self.paths = _paths(Path(place))
        schemas = [_read_schema(path) for path in self.paths]
        metadata = [schema.metadata or {} for schema in schemas]
        self.made = metadata[0].get(MADE_KEY)
        _check_parts(self.paths[0].parent, metadata)
        self.schema: pa.Schema = schemas[0]
        if len(self.paths) > 1:
            rows = united_rows(schemas)
            self.schema = schemas[0].with_metadata({} if rows is None else {ROWS_KEY: rows})

    def dataset(self) -> dataset.Dataset:
        """For queries; its schema is `schema`."""
        names = [str(path) for path in self.paths]
        return dataset.dataset(names, format="parquet").replace_schema(self.schema)

    def batches(self, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """All predictions, in the order of rows when each file is in that order.

        Raises:
            pa.ArrowException, OSError: a file is damaged.
        """
        if len(self.paths) == 1:
            with pq.ParquetFile(self.paths[0]) as file:
                yield from file.iter_batches(batch_rows, columns=PREDICTIONS.names)
            return
        groups = [_row_groups(path) for path in self.paths]
        for _, _, batch in heapq.merge(*groups, key=itemgetter(0, 1)):
            yield batch


def _row_groups(path: Path) -> Iterator[tuple[int, str, pa.RecordBatch]]:
    """(first row, path, batch) of each row group; one block of images is one group."""
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            for batch in file.iter_batches(row_groups=[number], columns=PREDICTIONS.names):
                if batch.num_rows:
                    yield batch["row"][0].as_py() or 0, str(path), batch


def _check_parts(folder: Path, metadata: list[dict[bytes, bytes]]) -> None:
    """Raise InputError when a part is missing, or files are not of one run."""
    parts = [Part.parse(said[PART_KEY].decode()) for said in metadata if PART_KEY in said]
    if not parts:
        return
    action = "name those of one run, such as predictions/p.*-of-8.parquet"
    if len({part.count for part in parts}) > 1 or len(set(parts)) < len(metadata):
        raise InputError(folder, "holds more than one set of predictions", action)
    if len({said.get(MADE_KEY) for said in metadata}) > 1:
        raise InputError(folder, "holds parts of different models or options", "predict again")
    if absent := missing(parts):
        listed = ", ".join(map(str, absent[:8])) + (", ..." if len(absent) > 8 else "")
        cause = f"{'parts' if len(absent) > 1 else 'part'} {listed} of the predictions missing"
        raise InputError(folder, cause, f"run: mlimages predict ... --part {absent[0]}")


def _read_schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(path, f"not a Parquet table ({error})", _ACTION) from None


@contextmanager
def prediction_writer(path: Path) -> Iterator[pq.ParquetWriter]:
    """Write predictions block by block; `add_key_value_metadata` sets the schema's metadata."""
    # Without Arrow's own copy of the schema, which would hide metadata that comes last.
    with pq.ParquetWriter(path, PREDICTIONS, compression="zstd", store_schema=False) as writer:
        yield writer


def merge_parts(out: Path) -> int:
    """Put the parts of the table at `out` together, in the order of rows, and remove them.

    Returns:
        the number of predictions.

    Raises:
        InputError: there are none, or one is missing.
        StorageError: the disk is full or not writable.
    """
    if not _parts_of(out):
        raise InputError(out, "has no parts", "run: mlimages predict ... --part 1/2, and so on")
    files = PredictionFiles(_pattern(out))
    count = 0
    with atomic_file(out) as temporary, prediction_writer(temporary) as writer:
        for batch in track(files.batches(1 << 20), "merging", unit="blocks"):
            writer.write_batch(batch)
            count += batch.num_rows
        writer.add_key_value_metadata(
            {ROWS_KEY: files.schema.metadata[ROWS_KEY], MADE_KEY: files.made or b""}
        )
    for path in files.paths:
        path.unlink()
    return count


def _paths(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    if place.is_dir():
        found = sorted(place.glob("*.parquet"))
    else:
        found = sorted(map(Path, glob.glob(str(place)))) if glob.has_magic(str(place)) else []
    if not found:
        cause = "holds no Parquet file" if place.is_dir() else "no such file"
        if _parts_of(place):
            raise InputError(
                place, "is still in parts", f"put them together: --merge --out {place}"
            )
        raise InputError(place, cause, _ACTION)
    return found


def _pattern(out: Path) -> Path:
    stem, suffix = glob.escape(out.stem), glob.escape(out.suffix)
    return Path(glob.escape(str(out.parent)), f"{stem}.*-of-*{suffix}")


def _parts_of(out: Path) -> list[str]:
    return glob.glob(str(_pattern(out)))
