"""The one writer of shards: valid WebDataset tars with canonical headers.

A shard holds image bytes only, each member named ID.EXTENSION. Headers are ustar, without time or
owner, so the same images in the same order are the same shard, byte for byte.
"""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa

from mlimages.errors import InputError
from mlimages.images.headers import EXTENSIONS
from mlimages.schemas import SHARD_INDEX

if TYPE_CHECKING:
    from mlimages.images.preparation import Verified

SHARD_BYTES = 512_000_000
UNNUMBERED = -1
"""Number of a shard that no database has adopted yet."""
BLOCK = tarfile.BLOCKSIZE
# Written and hashed in large pieces, of which so many wait at most.
_PIECE, _WAITING = 1 << 20, 8
# Bytes after which the disk is set to work, so that little is left to be synced at the end.
_SYNCED = 64 << 20
_SAFE_ID = re.compile(r"[a-z0-9_-]{1,64}")
_SIZE, _CHECKSUM = slice(124, 136), slice(148, 156)


def shard_name(number: int) -> str:
    """File name of a shard."""
    return f"{number:06d}.tar"


def member_name(image: str, format_name: str) -> str:
    """Name of an image in a shard; the extension follows the content."""
    return f"{image}.{EXTENSIONS[format_name]}"


def check_id(image: str) -> None:
    """Raise InputError unless an id may name a member."""
    if _SAFE_ID.fullmatch(image) is None:
        raise InputError(repr(image), "not a safe image id", "use 1 to 64 of a-z, 0-9, _ and -")


def member_header(name: str, size: int) -> bytes:
    """What `tarfile` writes for a ustar member of mode 0644 without time or owner."""
    encoded, digits = name.encode("ascii"), b"%011o\0" % size
    checksum = _EMPTY_SUM + sum(encoded) + sum(digits)
    return b"".join(
        (
            encoded.ljust(100, b"\0"),
            _EMPTY[100 : _SIZE.start],
            digits,
            _EMPTY[_SIZE.stop : _CHECKSUM.start],
            b"%06o\0 " % checksum,
            _EMPTY[_CHECKSUM.stop :],
        )
    )


class ShardWriter:
    """Appends images to an open tar and remembers where their bytes are.

    A thread of its own writes and hashes, a second one syncs now and then; a full disk shows a few
    images later, or in `close`. End with `close` or `abandon`.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._digest = file, hashlib.sha256()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="shard")
        self._waiting: deque[Future[None]] = deque()
        self._syncing = ThreadPoolExecutor(1, thread_name_prefix="sync")
        self._unsynced = 0
        self.size = 0  # bytes so far
        self._parts: list[bytes] = []
        self._held = 0  # bytes of these
        self._columns: dict[str, list[int]] = {name: [] for name in SHARD_INDEX.names}
        self._ids: set[str] = set()

    def __len__(self) -> int:
        return len(self._ids)

    def has_room(self, length: int, shard_bytes: int) -> bool:
        """Whether an image of `length` bytes fits; the first one always does."""
        return self.size == 0 or self.size + BLOCK + padded(length) <= shard_bytes

    def add(self, row: int, image: str, verified: Verified) -> None:
        """Append a member.

        Raises:
            InputError: the id is unsafe, or taken.
            OSError: the disk is full.
        """
        check_id(image)
        if image in self._ids:
            raise InputError(image, "two images have this id", "give each its own")
        self._ids.add(image)
        length = len(verified.data)
        offset = self.size + BLOCK
        header = member_header(member_name(image, verified.format), length)
        self._write(header, verified.data, bytes(padded(length) - length))
        values = (
            *(row, UNNUMBERED, offset, length, verified.crc32),
            *(verified.width, verified.height),
        )
        for column, value in zip(self._columns.values(), values, strict=True):
            column.append(value)

    def close(self) -> None:
        """Write the end of the archive: two empty blocks, filled up to a record.

        Raises:
            OSError: the disk is full.
        """
        self._write(bytes(archive_size(self.size) - self.size))
        self._flush()
        self._wait(0)
        self.abandon()

    def abandon(self) -> None:
        """Write no more; then the file may be closed."""
        self._thread.shutdown(cancel_futures=True)
        self._syncing.shutdown(cancel_futures=True)

    def index(self) -> pa.Table:
        """schemas.SHARD_INDEX of all members, in a shard not numbered yet."""
        return pa.table(self._columns, schema=SHARD_INDEX)

    def sha256(self) -> str:
        """Of the whole tar once it is closed, hexadecimal."""
        return self._digest.hexdigest()

    def _write(self, *parts: bytes) -> None:
        self._parts += parts
        length = sum(map(len, parts))
        self.size += length
        self._held += length
        if self._held >= _PIECE:
            self._flush()

    def _flush(self) -> None:
        self._wait(_WAITING - 1)
        self._waiting.append(self._thread.submit(self._write_out, self._parts))
        self._parts, self._held = [], 0

    def _wait(self, most: int) -> None:
        while len(self._waiting) > most:
            self._waiting.popleft().result()

    def _write_out(self, parts: list[bytes]) -> None:
        piece = b"".join(parts)
        self._file.write(piece)
        self._digest.update(piece)
        self._unsynced += len(piece)
        if self._unsynced >= _SYNCED:
            self._unsynced = 0
            self._file.flush()
            self._syncing.submit(os.fsync, self._file.fileno())


def padded(length: int, block: int = BLOCK) -> int:
    """Length filled up to whole blocks."""
    return -(-length // block) * block


def archive_size(members: int) -> int:
    """Size of a tar whose members, with their headers, take so many bytes."""
    return padded(members + 2 * BLOCK, tarfile.RECORDSIZE)


def _empty_header() -> bytes:
    info = tarfile.TarInfo("")
    return info.tobuf(tarfile.USTAR_FORMAT)


_EMPTY = _empty_header()
# The checksum counts its own field as spaces; name and size are added for each member.
_EMPTY_SUM = sum(_EMPTY) - sum(_EMPTY[_SIZE]) - sum(_EMPTY[_CHECKSUM]) + 8 * ord(" ")
