"""The table `hashes`: two hashes of every packed image, computed once for the same bytes."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.images.duplicates.fingerprints import Fingerprint, fingerprint
from mlimages.images.rejection import BadImageError
from mlimages.images.shards import ShardReader
from mlimages.progress import track
from mlimages.schemas import HASHES
from mlimages.store import Store

FEWEST_SURE = 24
"""Bits of the perceptual hash above the noise; a picture with fewer is flat: nothing is known."""
_IMAGES_A_COMMIT = 1 << 17
_AT_ONCE = 64


class Hashed(NamedTuple):
    """Hashes of images whose pictures say something.

    Attributes:
        rows: int32 [n], ascending.
        perceptual, gradient: uint64 [n].
        flat: number of images left out because they are flat, or cannot be decoded.
    """

    rows: NDArray[np.int32]
    perceptual: NDArray[np.uint64]
    gradient: NDArray[np.uint64]
    flat: int


def hash_rows(reader: ShardReader, rows: NDArray[np.int32], threads: int | None = None) -> pa.Table:
    """schemas.HASHES of some packed images; the part of the work that needs the pixels.

    Raises:
        DatabaseError: a shard is missing or damaged.
    """
    checksums = reader.checksums(rows)
    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        prints = _ahead(pool, reader, rows.tolist())
        found = list(track(prints, "hashing pictures", total=len(rows), unit="images"))
    columns = list(zip(*found, strict=True)) or [(), (), ()]
    arrays = [pa.array(rows, pa.int32())]
    arrays += [pa.array(c, f.type) for c, f in zip(columns, list(HASHES)[1:4], strict=True)]
    return pa.table([*arrays, pa.array(checksums, pa.uint32())], schema=HASHES)


def update_hashes(store: Store, reader: ShardReader, threads: int | None = None) -> int:
    """Hash the images whose bytes are new; one commit a partition, or every 131,072 images.

    Returns:
        The number of images hashed.

    Raises:
        DatabaseError: a shard is missing or damaged.
        StorageError: the disk is full or not writable.
    """
    size, hashed = store.manifest.partition_rows, 0
    with store.writing("hash pictures"):
        for number in range(-(-store.num_rows("images") // size)):
            first, last = np.searchsorted(reader.rows, (number * size, (number + 1) * size))
            rows = reader.rows[first:last]
            known = _current(store.table("hashes", partition=number), rows, reader)
            waiting = rows[~np.isin(rows, known["row"].to_numpy())]
            if known.num_rows < store.table("hashes", ["row"], number).num_rows:
                with store.commit("hash pictures") as commit:
                    commit.replace("hashes", known, number)
            for start in range(0, len(waiting), _IMAGES_A_COMMIT):
                new = hash_rows(reader, waiting[start : start + _IMAGES_A_COMMIT], threads)
                with store.commit("hash pictures") as commit:
                    held = commit.table("hashes", partition=number)
                    whole = pa.concat_tables([held, new]).sort_by("row")
                    commit.replace("hashes", whole, number)
            hashed += len(waiting)
    return hashed


def read_hashes(store: Store) -> Hashed:
    """The hashes of all images but the flat ones."""
    tables = [
        store.table("hashes", ["row", "perceptual", "gradient", "sure"], number)
        for number in store.partitions("hashes")
    ]
    return useful(pa.concat_tables([HASHES.empty_table().select(range(4)), *tables]))


def useful(hashes: pa.Table) -> Hashed:
    """Those of schemas.HASHES, by row, that say something."""
    good = hashes["sure"].to_numpy() >= FEWEST_SURE
    rows, perceptual, gradient = (
        hashes[name].to_numpy()[good] for name in ("row", "perceptual", "gradient")
    )
    return Hashed(rows, perceptual, gradient, int(np.count_nonzero(~good)))


def fingerprint_or_nothing(data: bytes) -> Fingerprint:
    """The hashes of an image file; of one that cannot be decoded, hashes without a sure bit."""
    try:
        return fingerprint(data)
    except BadImageError:
        return Fingerprint(0, 0, 0)


def _current(table: pa.Table, rows: NDArray[np.int32], reader: ShardReader) -> pa.Table:
    """Those hashes that are of the bytes that are packed now."""
    held = table["row"].to_numpy()
    packed = np.isin(held, rows)
    same = np.zeros(len(held), dtype=bool)
    same[packed] = table["crc32"].to_numpy()[packed] == reader.checksums(held[packed])
    return table.filter(pa.array(same))


def _ahead(pool: ThreadPoolExecutor, reader: ShardReader, rows: list[int]) -> Iterator[Fingerprint]:
    """The hashes of some rows in their order, computed a few tasks ahead of what is taken."""

    def hash_some(some: list[int]) -> list[Fingerprint]:
        return [fingerprint_or_nothing(reader.read(row)) for row in some]

    tasks = iter([rows[start : start + _AT_ONCE] for start in range(0, len(rows), _AT_ONCE)])
    waiting = deque(pool.submit(hash_some, some) for some in islice(tasks, 16))
    while waiting:
        yield from waiting.popleft().result()
        waiting += [pool.submit(hash_some, some) for some in islice(tasks, 1)]
