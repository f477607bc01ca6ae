"""A database's images into its shards, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlimages.checking import pack_rejects
from mlimages.errors import DatabaseError
from mlimages.images.packing.blocks import BlockSpec, Waiting, seal_block, waiting_images
from mlimages.images.packing.sealing import STAGE, PackEntry
from mlimages.images.packing.settings import PackSettings, agreed, record, recorded
from mlimages.images.packing.staging import SealedShard, adopt, discard, sweep
from mlimages.images.verification import SECONDS, Verifier
from mlimages.progress import track
from mlimages.reports import PackReport, first_rejects
from mlimages.store import Store

Blocks = Callable[[list[BlockSpec]], Iterable[SealedShard]]
"""Packs blocks somewhere, and gives their shards in the order of blocks."""
_INDEX_FILES = 8  # of a partition; more are made one at the end


def pack_store(
    store: Store,
    settings: PackSettings | None = None,
    *,
    workers: int | None = None,
    seconds: float = SECONDS,
    blocks: Blocks | None = None,
) -> PackReport:
    """Pack what is not packed yet; a commit a shard, so that it continues where it stopped.

    Images that were rejected before are tried again, and those that are only on the web are left to
    `mlimages fetch`.

    Args:
        store: of the database.
        settings: those recorded, or the defaults, without them.
        workers: processes that decode; one a core by default.
        seconds: that a single image may take.
        blocks: packs the blocks elsewhere; here by default.

    Raises:
        DatabaseError: there are no images, or they were packed in another form before.
        StorageError: the disk is full or not writable.
    """
    with store.writing(STAGE):
        if not store.num_rows("images"):
            raise DatabaseError(store.root, "holds no images", "run: mlimages import")
        settings = agreed(store, settings)
        sweep(store.root)
        begin(store, settings)
        waiting = waiting_images(store)
        specs = [
            BlockSpec(str(store.root), block, settings, seconds=seconds)
            for block in waiting.blocks(settings.block_rows)
        ]
        shards = blocks(specs) if blocks else _pack_here(store, specs, waiting, workers)
        packed = 0
        for shard in shards:
            with store.commit(STAGE) as commit:
                if adopt(commit, shard) is not None:
                    packed += shard.index.num_rows
            discard([shard])
        compact_index(store)
    return report_packing(store, waiting, packed)


def _pack_here(
    store: Store, specs: list[BlockSpec], waiting: Waiting, workers: int | None
) -> Iterator[SealedShard]:
    if not specs:
        return
    images, seconds = specs[0].settings.images, specs[0].seconds
    bar = track(range(int(np.count_nonzero(waiting.rows))), "packing", unit="images")

    def passing(entries: Iterable[PackEntry]) -> Iterator[PackEntry]:
        for entry in entries:
            next(bar, None)
            yield entry

    with Verifier(images, workers=workers, seconds=seconds, md5=False) as verifier, closing(bar):
        for spec in specs:
            yield from seal_block(store, spec, verifier, passing)


def compact_index(store: Store) -> None:
    """Make one sorted file of the many that a partition's index has grown into."""
    many = [
        partition
        for partition in store.partitions("shards/index")
        if len(store.entries("shards/index", partition)) > _INDEX_FILES
    ]
    if many:
        with store.commit("compact the index of shards") as commit:
            for partition in many:
                table = commit.table("shards/index", partition=partition)
                order = pa.array(np.argsort(table["row"].to_numpy(), kind="stable"))
                commit.replace("shards/index", table.take(order), partition)


def begin(store: Store, settings: PackSettings) -> None:
    """Record the settings, and forget the rejects of images that are tried again."""
    rejects = store.table("rejects")
    stays = rejects.filter(pc.not_equal(rejects["stage"], STAGE))
    if stays.num_rows < rejects.num_rows or recorded(store) != settings:
        with store.commit(STAGE) as commit:
            record(commit, settings)
            if stays.num_rows < rejects.num_rows:
                commit.replace("rejects", stays)


def report_packing(store: Store, waiting: Waiting, packed: int) -> PackReport:
    rejects = pack_rejects(store)
    images = store.num_rows("images")
    return PackReport(
        images=images,
        packed=packed,
        already_packed=waiting.packed,
        rejected=rejects.num_rows,
        shards=len(store.manifest.files.get("shards", [])),
        first_rejects=first_rejects(rejects),
        to_fetch=images - packed - waiting.packed - rejects.num_rows - waiting.left_out,
        left_out=waiting.left_out,
    )
