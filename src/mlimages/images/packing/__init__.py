"""Packing: verified image bytes into tar shards, an index row for each, a reason for the rest.

A shard is a valid WebDataset tar that holds image bytes only, each member named ID.EXTENSION. Its
headers are canonical (ustar, no time, no owner), so the same images give the same shard, byte for
byte. Bytes are kept as they came; each was fully decoded first.
"""

from __future__ import annotations

import os
import re
import tarfile
import zlib
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa

from mlimages.errors import InputError
from mlimages.images.decoding import decode
from mlimages.images.headers import EXTENSIONS, sniff
from mlimages.images.packing.writer import shard_name
from mlimages.images.reading import open_uri
from mlimages.images.rejection import Reason, RejectedError
from mlimages.progress import track
from mlimages.schemas import REJECTS, SHARD_INDEX
from mlimages.storage import atomic_file, located, sha256_file

if TYPE_CHECKING:
    from mlimages.storage import AnyPath

SHARD_BYTES = 512_000_000
STAGE = "pack"
_SAFE_ID = re.compile(r"[a-z0-9_-]{1,64}")
_REJECTS_PER_BATCH = 4096


@dataclass(frozen=True)
class PackEntry:
    """An image to pack.

    Attributes:
        row: of the image in the database.
        id: `[a-z0-9_-]{1,64}`, unique.
        uris: where its bytes may be, in order of preference; the first usable one is taken.
        source: who named it, for the table of rejects.
    """

    row: int
    id: str
    uris: Sequence[str]
    source: str | None = None


@dataclass(frozen=True)
class PackedShard:
    """A sealed shard, and what was rejected since the one before.

    Attributes:
        path: the tar, synced and in place; None when only rejects are left.
        number: of the shard.
        index: schemas.SHARD_INDEX of its images, in the order of the entries.
        rejects: schemas.REJECTS. Over all shards, index + rejects = entries.
        size: of the tar in bytes.
        sha256: of the tar, hexadecimal.
    """

    path: AnyPath | None
    number: int
    index: pa.Table
    rejects: pa.Table
    size: int = 0
    sha256: str = ""


def pack_shards(
    entries: Iterable[PackEntry],
    directory: AnyPath | str,
    first_number: int = 0,
    *,
    shard_bytes: int = SHARD_BYTES,
    total: int | None = None,
    threads: int | None = None,
) -> Generator[PackedShard, None, None]:
    """Verify and pack images, yielding each shard once it is sealed.

    Whoever iterates commits a shard before asking for the next: then a run that is killed has lost
    no more than the shard it was writing. On an exception, Ctrl-C included, no half-written file
    stays.

    Args:
        entries: images, packed in this order.
        directory: where the shards go; made when missing.
        first_number: number of the first shard.
        shard_bytes: size at which a shard is sealed; a single larger image gets its own.
        total: number of entries, for the progress bar.
        threads: images verified at once; by default one per core.

    Raises:
        InputError: an id is unsafe or occurs twice in a shard.
        StorageError: the disk is full or not writable.
    """
    directory = located(directory)
    with _verified(entries, threads or os.cpu_count() or 1, total) as images:
        rejects = _Rejects()
        waiting = _next_good(images, rejects)
        number = first_number
        while waiting is not None:
            path = directory / shard_name(number)
            with atomic_file(path) as temporary:
                with open(temporary, "wb", buffering=1 << 20) as file:
                    shard = _ShardWriter(file, number)
                    while waiting is not None and shard.has_room(waiting, shard_bytes):
                        shard.add(waiting)
                        waiting = _next_good(images, rejects)
                    shard.close()
                size, sha256 = temporary.stat().st_size, sha256_file(temporary)
            # The image in hand belongs to the next shard, and no reject came after it.
            yield PackedShard(path, number, shard.index(), rejects.take(), size, sha256)
            number += 1
        if rejects:
            yield PackedShard(None, number, SHARD_INDEX.empty_table(), rejects.take())


@dataclass(frozen=True)
class _Verified:
    """An image that was read and decoded, or the reason why not."""

    entry: PackEntry
    data: bytes = b""
    extension: str = ""
    width: int = 0
    height: int = 0
    crc32: int = 0
    location: str = ""
    reason: Reason | None = None

    @property
    def member(self) -> str:
        return f"{self.entry.id}.{self.extension}"


def verify(entry: PackEntry) -> _Verified:
    """Read and fully decode an image from the first of its places that works."""
    failures: list[tuple[str, Reason]] = []
    for uri in entry.uris:
        try:
            data = open_uri(uri)
            height, width, _ = decode(data).shape
        except RejectedError as error:
            failures.append((uri, error.reason))
            continue
        extension = EXTENSIONS[sniff(data)]
        return _Verified(entry, data, extension, width, height, zlib.crc32(data))
    # A file that is there but broken says more than an address that was never fetched.
    failures.sort(key=lambda failure: failure[1] is Reason.NOT_FETCHED)
    location, reason = failures[0] if failures else (entry.id, Reason.MISSING_FILE)
    return _Verified(entry, location=location, reason=reason)


@contextmanager
def _verified(
    entries: Iterable[PackEntry], threads: int, total: int | None
) -> Iterator[Iterator[_Verified]]:
    """Verify entries in several threads, giving out the results in the entries' order."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="verify")

    def results() -> Iterator[_Verified]:
        # Few in flight: each may hold a large photo's bytes.
        pending: deque[Future[_Verified]] = deque()
        for entry in entries:
            if _SAFE_ID.fullmatch(entry.id) is None:
                raise InputError(
                    repr(entry.id), "not a safe image id", "use 1 to 64 of a-z, 0-9, _ and -"
                )
            pending.append(pool.submit(verify, entry))
            if len(pending) > 4 * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

    try:
        yield iter(track(results(), "packing", total=total, unit="images"))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _next_good(images: Iterator[_Verified], rejects: _Rejects) -> _Verified | None:
    for image in images:
        if image.reason is None:
            return image
        rejects.add(image)
    return None


class _ShardWriter:
    """Appends images to an open tar and remembers where their bytes are."""

    def __init__(self, file: BinaryIO, number: int) -> None:
        self._file, self._number, self._position = file, number, 0
        self._columns: dict[str, list[int]] = {name: [] for name in SHARD_INDEX.names}
        self._members: set[str] = set()

    def has_room(self, image: _Verified, shard_bytes: int) -> bool:
        """Whether the image fits; the first one always does."""
        blocks = tarfile.BLOCKSIZE + _padded(len(image.data), tarfile.BLOCKSIZE)
        return self._position == 0 or self._position + blocks <= shard_bytes

    def add(self, image: _Verified) -> None:
        """Append a member; raises InputError when its id is taken."""
        if image.entry.id in self._members:
            raise InputError(image.entry.id, "two images have this id", "give each its own")
        self._members.add(image.entry.id)
        header = tarfile.TarInfo(image.member)  # mode 0644, and neither time nor owner
        header.size = len(image.data)
        self._file.write(header.tobuf(tarfile.USTAR_FORMAT))
        self._file.write(image.data)
        padded = _padded(header.size, tarfile.BLOCKSIZE)
        self._file.write(bytes(padded - header.size))
        values = (
            *(image.entry.row, self._number, self._position + tarfile.BLOCKSIZE, header.size),
            *(image.crc32, image.width, image.height),
        )
        for column, value in zip(self._columns.values(), values, strict=True):
            column.append(value)
        self._position += tarfile.BLOCKSIZE + padded

    def close(self) -> None:
        """Write the end of the archive: two empty blocks, filled up to a record."""
        end = _padded(self._position + 2 * tarfile.BLOCKSIZE, tarfile.RECORDSIZE)
        self._file.write(bytes(end - self._position))

    def index(self) -> pa.Table:
        """schemas.SHARD_INDEX of all members."""
        return pa.table(self._columns, schema=SHARD_INDEX)


@dataclass
class _Rejects:
    """Rejects gathered for the next commit, as Arrow: there may be millions."""

    _batches: list[pa.RecordBatch] = field(default_factory=list)
    _recent: list[dict[str, object]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self._batches or self._recent)

    def add(self, image: _Verified) -> None:
        self._recent.append(
            {
                "source": image.entry.source,
                "stage": STAGE,
                "location": image.location,
                "reason": str(image.reason),
                "row": image.entry.row,
            }
        )
        if len(self._recent) >= _REJECTS_PER_BATCH:
            self._compact()

    def take(self) -> pa.Table:
        self._compact()
        table = pa.Table.from_batches(self._batches, schema=REJECTS)
        self._batches = []
        return table

    def _compact(self) -> None:
        if self._recent:
            self._batches.append(pa.RecordBatch.from_pylist(self._recent, schema=REJECTS))
            self._recent = []


def _padded(length: int, block: int) -> int:
    return -(-length // block) * block
