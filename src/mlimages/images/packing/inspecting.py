"""Every byte of every shard against the index, the ids and the manifest."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlimages.errors import DatabaseError
from mlimages.images.headers import sniff
from mlimages.images.packing.members import ShardScan
from mlimages.images.packing.writer import (
    BLOCK,
    archive_size,
    member_header,
    member_name,
    padded,
    shard_name,
)
from mlimages.images.rejection import BadImageError
from mlimages.manifest import StoredFile
from mlimages.progress import track
from mlimages.schemas import SHARD_INDEX
from mlimages.storage import service_errors, sha256_file
from mlimages.store import Store

SHOWN_FAULTS = 20


class Fault(StrEnum):
    """What can be wrong with a shard, or with an image in it."""

    MISSING = "shard is missing"
    CUT = "shard is cut short"
    BYTES = "bytes of the image differ"
    HEADER = "header of the image differs"
    GAP = "bytes between images are not in the index"
    PADDING = "filling bytes are not empty"
    CHECKSUM = "checksum of the shard differs"


@dataclass(frozen=True)
class Finding:
    """A fault, and where.

    Attributes:
        shard: its number.
        fault: what is wrong.
        row: of the image; -1 when it is about no single one.
        id: likewise; empty.
    """

    shard: int
    fault: Fault
    row: int = -1
    id: str = ""


@dataclass(frozen=True)
class VerifyReport:
    """What an inspection saw."""

    shards: int
    images: int
    bytes: int
    damaged_shards: int
    damaged_images: int
    findings: list[Finding] = field(default_factory=list)


def verify_shards(store: Store, threads: int = 2) -> VerifyReport:
    """Read all shards once, and hold them against index and manifest.

    Args:
        store: of the database.
        threads: shards read at once.

    Raises:
        DatabaseError: the index itself is missing or damaged.
    """
    if index_is_damaged(store):
        place = store.root / "shards" / "index"
        raise DatabaseError(place, "missing or damaged", "run: mlimages shards repair DB")
    entries = shard_entries(store)
    findings = [finding for found in inspect(store, threads) for finding in found]
    missing = [f.shard for f in findings if f.fault is Fault.MISSING]
    return VerifyReport(
        shards=len(entries),
        images=store.num_rows("shards/index"),
        bytes=sum(entry.size for entry in entries.values()),
        damaged_shards=len({finding.shard for finding in findings}),
        damaged_images=len({finding.row for finding in findings if finding.row >= 0})
        + sum(entries[number].rows for number in missing),
        findings=findings,
    )


def index_is_damaged(store: Store) -> bool:
    """Whether a file of the index is missing or damaged, or the index itself is."""
    for entry in store.entries("shards/index"):
        path = store.root / entry.path
        if not path.is_file() or sha256_file(path) != entry.sha256:
            return True
    held = sum(entry.rows for entry in shard_entries(store).values())
    return store.num_rows("shards/index") == 0 < held


def shard_entries(store: Store) -> dict[int, StoredFile]:
    """The shards of a generation by number."""
    return {
        int(PurePosixPath(entry.path).stem): entry
        for entry in store.manifest.files.get("shards", [])
    }


def inspect(store: Store, threads: int = 2) -> Iterator[list[Finding]]:
    """The findings of each shard, in order of their numbers; most are empty."""
    entries, ids = shard_entries(store), ImageIds(store)
    index = ShardIndex(store)

    def one(number: int) -> list[Finding]:
        table = index.of_shard(number)
        return inspect_shard(store, number, entries[number], table, ids.of_rows(table["row"]))

    strays = sorted(index.numbers - entries.keys())
    if strays:
        raise DatabaseError(
            store.root / "shards" / shard_name(strays[0]),
            "the index names it, and the database does not",
            "run: mlimages check DB",
        )
    with ThreadPoolExecutor(threads, thread_name_prefix="inspect") as pool:
        numbers = sorted(entries)
        yield from track(pool.map(one, numbers), "verifying", total=len(numbers), unit="shards")


class ShardIndex:
    """The index by shard, of which only the partitions that a shard is in are ever read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._partitions: dict[int, list[int]] = {}
        for partition in store.partitions("shards/index"):
            shards = store.table("shards/index", ["shard"], partition)["shard"].to_numpy()
            for number in np.unique(shards).tolist():
                self._partitions.setdefault(number, []).append(partition)
        self.numbers = set(self._partitions)

    def of_shard(self, number: int) -> pa.Table:
        """schemas.SHARD_INDEX of a shard, in the order of the tar."""
        parts = [
            self._store.table(
                "shards/index", partition=partition, where=pc.field("shard") == number
            )
            for partition in self._partitions.get(number, [])
        ]
        return pa.concat_tables([SHARD_INDEX.empty_table(), *parts]).sort_by("offset")


class ImageIds:
    """Ids by row, as Arrow, of the partitions that were asked for."""

    def __init__(self, store: Store) -> None:
        self._store, self._size = store, store.manifest.partition_rows
        self._known: dict[int, pa.Array] = {}

    def of_rows(self, rows: pa.ChunkedArray) -> list[str]:
        """The ids of some images, in the order of `rows`."""
        wanted = rows.to_numpy()
        found = np.empty(len(wanted), dtype=object)
        for partition in np.unique(wanted // self._size).tolist():
            own = wanted // self._size == partition
            places = pa.array(wanted[own] - partition * self._size)
            found[own] = self._partition(partition).take(places).to_pylist()
        return found.tolist()

    def _partition(self, partition: int) -> pa.Array:
        ids = self._known.get(partition)
        if ids is None:
            table = self._store.table("images", ["row", "id"], partition).sort_by("row")
            ids = self._known[partition] = table["id"].combine_chunks()
        return ids


def inspect_shard(
    store: Store, number: int, entry: StoredFile, index: pa.Table, ids: list[str]
) -> list[Finding]:
    """All faults of one shard.

    Args:
        store: of the database.
        number: of the shard.
        entry: what the manifest says of it.
        index: of its images, in the order of the tar.
        ids: of the same images.
    """
    path = store.root / entry.path
    try:
        with service_errors(path), ShardScan(path) as scan:
            findings = list(_faults(scan, number, index, ids))
            if scan.position < entry.size:
                return [Finding(number, Fault.CUT), *findings]
            if not findings and scan.sha256() != entry.sha256:
                findings.append(Finding(number, Fault.CHECKSUM))
            return findings
    except FileNotFoundError:
        return [Finding(number, Fault.MISSING)]


def _faults(scan: ShardScan, number: int, index: pa.Table, ids: list[str]) -> Iterator[Finding]:
    columns = (index[name].to_pylist() for name in ("row", "offset", "length", "crc32"))
    for row, offset, length, crc32, image in zip(*columns, ids, strict=True):
        between = offset - BLOCK - scan.position
        if between:
            yield Finding(number, Fault.GAP)
            scan.read(between)
        header, data = scan.read(BLOCK), scan.read(length)
        filling = scan.read(padded(length) - length)
        if len(data) != length or zlib.crc32(data) != crc32:
            yield Finding(number, Fault.BYTES, row, image)
        elif header != _expected_header(image, data):
            yield Finding(number, Fault.HEADER, row, image)
        if filling.strip(b"\0"):
            yield Finding(number, Fault.PADDING, row, image)
    end = archive_size(scan.position) - scan.position
    length, empty = scan.zeros()
    if not empty or length > end:
        yield Finding(number, Fault.PADDING if length <= end else Fault.GAP)


def _expected_header(image: str, data: bytes) -> bytes:
    try:
        return member_header(member_name(image, sniff(data)), len(data))
    except BadImageError:
        return b""
