"""Feature vectors of photos: the network's representation before its classifier."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mlimages.errors import InputError, nearest
from mlimages.images.photos import PhotoReject, PhotoStream, none_readable
from mlimages.models.interface import Model, run_batches
from mlimages.storage import atomic_file

FORMATS = (".parquet", ".npz")


class Features(NamedTuple):
    """Features of photos in memory.

    Attributes:
        paths: the photos that could be read, in order.
        features: float32 [photos, feature_dim].
        rejects: the files that could not, and why.
    """

    paths: list[Path]
    features: np.ndarray
    rejects: list[PhotoReject]


@dataclass(frozen=True)
class FeatureReport:
    """What `write_features` wrote.

    Attributes:
        output: the file.
        photos: rows in it.
        dimension: length of each vector.
        rejects: files that could not be read as photos, and why.
    """

    output: Path
    photos: int
    dimension: int
    rejects: list[PhotoReject]


def extract(model: Model, photos: Sequence[Path | str], batch_size: int = 64) -> Features:
    """Features of photo files, held in memory.

    Args:
        model: from `load_model`.
        photos: files; broken ones are listed in the result, never fatal.
        batch_size: photos given to the network at a time.
    """
    stream = PhotoStream([Path(photo) for photo in photos], model.minimum_side, "features")
    empty = np.zeros((0, model.feature_dim), np.float32)
    vectors = np.concatenate([empty, *run_batches(model, stream, model.features, batch_size)])
    return Features(stream.kept, vectors, stream.rejects)


def write_features(
    model: Model, photos: Sequence[Path | str], output: Path | str, batch_size: int = 64
) -> FeatureReport:
    """Write the features of photo files, whole or not at all.

    `.parquet` has the columns `path` (string) and `feature` (fixed-size list of float32) and is
    written batch by batch; `.npz` holds the arrays `path` and `feature`.

    Raises:
        InputError: another suffix, or none of the files is a photo.
        StorageError: the disk is full or not writable.
    """
    output = check_format(output)
    stream = PhotoStream([Path(photo) for photo in photos], model.minimum_side, "features")
    batches = _batches(model, stream, batch_size)
    with atomic_file(output) as temporary:
        # The first batch comes before the file: a run over no photo at all leaves nothing behind.
        first = next(batches, None)
        if first is None:
            raise none_readable(stream.rejects)
        write = _write_parquet if output.suffix == ".parquet" else _write_npz
        write(temporary, itertools.chain([first], batches), model)
    return FeatureReport(output, len(stream.kept), model.feature_dim, stream.rejects)


def check_format(output: Path | str) -> Path:
    """Make sure that features can be written under this name, before any work is done.

    Raises:
        InputError: the suffix is neither `.parquet` nor `.npz`.
    """
    output = Path(output)
    if output.suffix not in FORMATS:
        cause = f"unknown format {output.suffix!r}"
        raise InputError(output, cause, nearest(output.suffix, FORMATS))
    return output


Batch = tuple[list[str], np.ndarray]


def _batches(model: Model, stream: PhotoStream, batch_size: int) -> Iterator[Batch]:
    done = 0
    for vectors in run_batches(model, stream, model.features, batch_size):
        # The stream may be ahead of the batch, never behind it.
        yield [str(path) for path in stream.kept[done : done + len(vectors)]], vectors
        done += len(vectors)


def _write_parquet(path: Path, batches: Iterable[Batch], model: Model) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    vector = pa.list_(pa.float32(), model.feature_dim)
    schema = pa.schema([("path", pa.string()), ("feature", vector)], metadata={"model": model.name})
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for paths, vectors in batches:
            flat = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
            column = pa.FixedSizeListArray.from_arrays(flat, model.feature_dim)
            writer.write_table(pa.table([pa.array(paths, pa.string()), column], schema=schema))


def _write_npz(path: Path, batches: Iterable[Batch], model: Model) -> None:
    paths: list[str] = []
    vectors = []
    for batch_paths, batch in batches:
        paths += batch_paths
        vectors.append(batch)
    with open(path, "wb") as file:  # given a name, numpy would add a suffix to it
        np.savez(file, path=np.array(paths), feature=np.concatenate(vectors), model=model.name)
