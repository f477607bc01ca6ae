"""Batches of fetched images on disk, between the part that fetched them and who commits them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mlimages.errors import DatabaseError
from mlimages.images.fetching.shelves import ATTEMPTS, Batch
from mlimages.images.packing.staging import NO_BLOCK, SealedShard, load_shard
from mlimages.schemas import REJECTS, RIGHTS, SHARD_INDEX
from mlimages.storage import atomic_file, service_errors

if TYPE_CHECKING:
    from mlimages.storage import AnyPath

_TABLES = {"taken": ATTEMPTS, "rights": RIGHTS, "failures": ATTEMPTS}


def save_batch(batch: Batch, directory: AnyPath) -> str:
    """Write a batch beside its shard; returns the name by which `load_batch` finds it again."""
    nothing = SealedShard(None, NO_BLOCK, SHARD_INDEX.empty_table(), REJECTS.empty_table())
    name = (batch.shard or nothing).save(directory)
    for part in _TABLES:
        with atomic_file(directory / f"{name}.{part}.parquet") as temporary:
            pq.write_table(getattr(batch, part), temporary, compression="zstd")
    return name


def load_batch(directory: AnyPath, name: str) -> Batch:
    """The batch that `save_batch` wrote; raises DatabaseError when a file of it is damaged."""
    shard = load_shard(directory, name)
    tables = {}
    for part, schema in _TABLES.items():
        path = directory / f"{name}.{part}.parquet"
        try:
            with service_errors(path):
                tables[part] = pq.read_table(pa.BufferReader(path.read_bytes())).cast(schema)
        except (OSError, pa.ArrowException) as error:
            action = f"remove {directory} and run its part again"
            raise DatabaseError(path, f"missing or damaged ({error})", action) from None
    return Batch(shard if shard.path is not None else None, placeholders=[], **tables)


def only_rows(batch: Batch, wanted: NDArray[np.bool_]) -> Batch:
    """A batch without the images that are not wanted, bool [images]; bytes stay in the tar."""

    def chosen(table: pa.Table) -> pa.Table:
        return table.filter(pa.array(wanted[table["row"].to_numpy()]))

    shard = batch.shard
    return replace(
        batch,
        shard=None if shard is None else replace(shard, index=chosen(shard.index)),
        taken=chosen(batch.taken),
        rights=chosen(batch.rights),
        failures=chosen(batch.failures),
    )
