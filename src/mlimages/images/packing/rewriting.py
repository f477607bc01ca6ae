"""Re-sharding: the canonical shards of a database, without the images that are left out.

The canonical shards of a block hold its images in the order of rows, each shard filled as far as
its size allows. They do not depend on the order in which images were packed or fetched. Blocks that
have them already stay; each other block is a commit, so an interrupted run goes on behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.errors import DatabaseError
from mlimages.images.headers import sniff
from mlimages.images.ledger.writing import erase
from mlimages.images.packing.blocks import block_of_table
from mlimages.images.packing.inspecting import shard_entries
from mlimages.images.packing.packing import compact_index
from mlimages.images.packing.settings import altered, record, recorded
from mlimages.images.packing.staging import (
    STAGING,
    SealedShard,
    StagedShard,
    adopt,
    discard,
    drop_rows,
    drop_shards,
    sweep,
)
from mlimages.images.packing.writer import BLOCK, archive_size, padded
from mlimages.images.shards import ShardReader
from mlimages.images.verification import Verified
from mlimages.labels.lookup import left_out
from mlimages.manifest import StoredFile
from mlimages.progress import track
from mlimages.schemas import SHARD_INDEX
from mlimages.store import Store


@dataclass(frozen=True)
class RewriteReport:
    """Counts of one re-sharding; blocks = rewritten + kept."""

    blocks: int
    rewritten: int
    kept: int
    images: int  # that were written anew
    left_out: int  # that were in shards, and are no more
    shards: int


def rewrite_shards(store: Store, shard_bytes: int | None = None) -> RewriteReport:
    """Bring all shards into their canonical form.

    Replaced shards stay on disk for an hour, for those who read them, and are then removed by the
    next command that writes.

    Args:
        store: of the database.
        shard_bytes: a new size of shards; the recorded one by default.

    Raises:
        DatabaseError: nothing is packed, or an image that is needed is damaged.
        StorageError: the disk is full or not writable.
    """
    with store.writing("rewrite shards"):
        before = recorded(store)
        if before is None or not store.num_rows("shards/index"):
            raise DatabaseError(store.root, "has no shards", "run: mlimages pack DB")
        settings = altered(before, {}, shard_bytes=shard_bytes)
        sweep(store.root)
        if settings != before:
            with store.commit("rewrite shards") as commit:
                record(commit, settings)
        rewriting = _Rewriting(store, settings.block_rows, settings.shard_bytes)
        blocks = -(-store.num_rows("images") // settings.block_rows)
        for block in track(range(blocks), "rewriting", unit="blocks"):
            rewriting.block(block)
        rewriting.drop_empty_shards()
        compact_index(store)
    return RewriteReport(
        blocks=blocks,
        rewritten=rewriting.rewritten,
        kept=blocks - rewriting.rewritten,
        images=rewriting.images,
        left_out=rewriting.dropped,
        shards=len(shard_entries(store)),
    )


class _Rewriting:
    """The state of a run: which images are left out, and how many each shard still holds."""

    def __init__(self, store: Store, block_rows: int, shard_bytes: int) -> None:
        self._store, self._block_rows, self._shard_bytes = store, block_rows, shard_bytes
        self._away = left_out(store)
        self._holds = np.bincount(store.table("shards/index", ["shard"])["shard"].to_numpy())
        self.rewritten = self.images = self.dropped = 0

    def block(self, block: int) -> None:
        """Write the canonical shards of a block, unless it has them."""
        index = block_of_table(
            self._store, "shards/index", block, self._block_rows, SHARD_INDEX.names
        )
        kept = index.filter(pa.array(~self._away[index["row"].to_numpy()]))
        entries = shard_entries(self._store)
        if not len(index):
            return
        if len(kept) == len(index) and self._is_canonical(index, entries):
            return
        shards = list(self._seal(block, kept))
        numbers, counts = np.unique(index["shard"].to_numpy(), return_counts=True)
        rows = index["row"].to_numpy()
        with self._store.commit("rewrite shards") as commit:
            drop_rows(commit, rows)
            erase(commit, rows[self._away[rows]])
            self._holds[numbers] -= counts
            drop_shards(commit, [n for n in numbers.tolist() if not self._holds[n]])
            for shard in shards:
                adopt(commit, shard)
        discard(shards)
        self.rewritten += 1
        self.images += len(kept)
        self.dropped += len(index) - len(kept)

    def drop_empty_shards(self) -> None:
        """Let go of shards of which the index names no image: they may hold removed ones."""
        named = np.unique(self._store.table("shards/index", ["shard"])["shard"].to_numpy())
        empty = shard_entries(self._store).keys() - set(named.tolist())
        if empty:
            with self._store.commit("rewrite shards") as commit:
                drop_shards(commit, sorted(empty))

    def _is_canonical(self, index: pa.Table, entries: dict[int, StoredFile]) -> bool:
        shards, offsets = index["shard"].to_numpy(), index["offset"].to_numpy()
        pieces, places, sizes = canonical_places(index["length"].to_numpy(), self._shard_bytes)
        first = np.flatnonzero(np.append(True, pieces[1:] != pieces[:-1])[: len(pieces)])
        own = shards[first]  # one shard a piece, if it is as it should be
        if not (np.array_equal(own[pieces], shards) and np.array_equal(offsets, places)):
            return False
        counts = np.bincount(pieces, minlength=len(own)).tolist()
        return all(
            entries[number].size == size and entries[number].rows == count == self._holds[number]
            for number, size, count in zip(own.tolist(), sizes, counts, strict=True)
        )

    def _seal(self, block: int, index: pa.Table) -> Iterator[SealedShard]:
        store = self._store
        reader = ShardReader(store.root / "shards", index)
        images = block_of_table(store, "images", block, self._block_rows, ["row", "id"])
        chosen = np.searchsorted(images["row"].to_numpy(), index["row"].to_numpy())
        ids = images["id"].take(pa.array(chosen)).to_pylist()
        columns = (
            index[name].to_pylist() for name in ("row", "length", "crc32", "width", "height")
        )
        records = list(zip(*columns, ids, strict=True))
        done = 0
        while done < len(records):
            with StagedShard(store.root / STAGING, block) as shard:
                while done < len(records):
                    row, length, crc32, width, height, image = records[done]
                    if not shard.writer.has_room(length, self._shard_bytes):
                        break
                    data = reader.read(row)
                    shard.add(row, image, Verified(data, sniff(data), width, height, crc32))
                    done += 1
                yield shard.seal()


def canonical_places(
    lengths: NDArray[np.integer], shard_bytes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[int]]:
    """Where images lie in canonical shards.

    Args:
        lengths: of the images in bytes, in the order of rows.
        shard_bytes: size at which a shard is sealed.

    Returns:
        the shard of each image, counted from 0; its offset; and the size of each shard's tar.
    """
    pieces = np.zeros(len(lengths), np.int64)
    offsets = np.zeros(len(lengths), np.int64)
    sizes: list[int] = []
    position = 0
    for number, length in enumerate(lengths.tolist()):
        takes = BLOCK + padded(length)
        if position and position + takes > shard_bytes:
            sizes.append(archive_size(position))
            position = 0
        pieces[number], offsets[number] = len(sizes), position + BLOCK
        position += takes
    return pieces, offsets, [*sizes, archive_size(position)] if len(lengths) else sizes
