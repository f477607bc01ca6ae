"""The unit of work of packing: a block of image rows, and its shards.

Block k holds the rows from k * block_rows up to the next. Its images are packed in the order of
rows into shards of their own, so the same images give the same shards whether one process packs all
blocks or many machines pack some each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.images.packing.sealing import PackEntry, seal_shards
from mlimages.images.packing.settings import PackSettings
from mlimages.images.packing.staging import STAGING, SealedShard
from mlimages.images.verification import SECONDS, Verifier
from mlimages.labels.identity import is_url
from mlimages.labels.lookup import left_out
from mlimages.storage import located
from mlimages.store import Store


@dataclass(frozen=True)
class BlockSpec:
    """A block to pack, as it is told to another process.

    Attributes:
        root: of the database: a path, or the URL of an object store.
        block: its number.
        settings: of the database.
        staging: folder for the sealed shards, within the database.
        workers: processes that decode.
        seconds: that a single image may take.
    """

    root: str
    block: int
    settings: PackSettings
    staging: str = STAGING
    workers: int = 1
    seconds: float = SECONDS

    def __str__(self) -> str:
        return f"block {self.block} of {self.root}"


def pack_block(spec: BlockSpec) -> list[SealedShard]:
    """Pack what is not packed yet of a block into sealed shards; adopts none of them.

    Raises:
        DatabaseError: the database is missing or damaged.
        StorageError: the disk is full or not writable.
    """
    store = Store.open(spec.root)
    with Verifier(
        spec.settings.images, workers=spec.workers, seconds=spec.seconds, md5=False
    ) as verifier:
        return list(seal_block(store, spec, verifier))


def seal_block(
    store: Store,
    spec: BlockSpec,
    verifier: Verifier,
    passing: Callable[[Iterable[PackEntry]], Iterable[PackEntry]] = iter,
) -> Iterator[SealedShard]:
    """As `pack_block`, shard by shard, with a verifier and an open generation.

    Args:
        store: at a generation in which the block is not packed further than it is.
        spec: the block.
        verifier: made for the same settings.
        passing: sees the images pass by, to count them.
    """
    entries = passing(_entries(store, spec.block, spec.settings.block_rows))
    return seal_shards(
        entries,
        located(spec.root) / spec.staging,
        verifier,
        block=spec.block,
        shard_bytes=spec.settings.shard_bytes,
    )


@dataclass(frozen=True)
class Waiting:
    """What is left to pack.

    Attributes:
        rows: bool [images]: neither packed nor left out.
        packed: number of images that are.
        left_out: images that are removed, or that another one stands for, and are not packed.
    """

    rows: NDArray[np.bool_]
    packed: int
    left_out: int

    def blocks(self, block_rows: int) -> list[int]:
        """Blocks of which an image waits."""
        if not len(self.rows):
            return []
        starts = np.arange(0, len(self.rows), block_rows)
        return np.flatnonzero(np.add.reduceat(self.rows, starts)).tolist()


def waiting_images(store: Store) -> Waiting:
    """Which images are to be packed; one byte an image."""
    rows = np.ones(store.num_rows("images"), dtype=bool)
    for partition in store.partitions("shards/index"):
        rows[store.table("shards/index", ["row"], partition)["row"].to_numpy()] = False
    packed = len(rows) - int(np.count_nonzero(rows))
    away = rows & left_out(store)
    return Waiting(rows & ~away, packed, int(np.count_nonzero(away)))


def block_of_table(
    store: Store, name: str, block: int, block_rows: int, columns: list[str]
) -> pa.Table:
    """Some columns, `row` among them, of the rows of a block, in the order of rows.

    The partition that was read last is kept: blocks come in order.
    """
    first, size = block * block_rows, store.manifest.partition_rows
    parts = []
    for partition in range(first // size, (first + block_rows - 1) // size + 1):
        table = _partition(store, name, partition, columns)
        begin, end = np.searchsorted(table["row"].to_numpy(), (first, first + block_rows))
        parts.append(table.slice(begin, end - begin))
    return pa.concat_tables(parts)


_kept: dict[str, tuple[object, pa.Table]] = {}


def _partition(store: Store, name: str, partition: int, columns: list[str]) -> pa.Table:
    entries = store.entries(name, partition)
    key = (str(store.root), partition, tuple(columns), tuple(entry.sha256 for entry in entries))
    kept = _kept.get(name)
    if kept is not None and kept[0] == key:
        return kept[1]
    table = store.table(name, columns, partition)
    rows = table["row"].to_numpy()
    if np.any(rows[1:] < rows[:-1]):
        table = table.take(pa.array(np.argsort(rows, kind="stable")))
    _kept[name] = (key, table)
    return table


def _entries(store: Store, block: int, block_rows: int) -> Iterator[PackEntry]:
    """The images of a block that have an address to read from and are not packed."""
    table = block_of_table(store, "images", block, block_rows, ["row", "id", "uris", "sources"])
    packed = block_of_table(store, "shards/index", block, block_rows, ["row"])
    away = np.flatnonzero(left_out(store)[block * block_rows : (block + 1) * block_rows])
    done = {*packed["row"].to_pylist(), *(away + block * block_rows).tolist()}
    for batch in table.to_batches(max_chunksize=1024):
        for record in batch.to_pylist():
            if record["row"] not in done and not _only_on_the_web(record["uris"]):
                yield PackEntry(
                    record["row"], record["id"], record["uris"], (record["sources"] or [None])[0]
                )


def _only_on_the_web(uris: list[str]) -> bool:
    """Whether an image is nothing to pack, but to fetch."""
    return bool(uris) and all(is_url(uri.lower()) for uri in uris)
