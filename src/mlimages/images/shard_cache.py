"""A bounded folder of blocks read from shards in an object store, shared by any processes.

A block is put in place by one rename, so that a reader finds all of it or none; two processes that
want the same one may both fetch it. The oldest are removed when the folder outgrows its limit. Only
files of this module's own names in its own subfolder are ever removed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import tempfile
import time
from pathlib import Path
from typing import Protocol

from mlimages.errors import InputError
from mlimages.storage import storage_errors

BLOCK_BYTES = 4 * 1024 * 1024
_FOLDER = "mlimages-shard-blocks"
_NAME = re.compile(r"[0-9a-f]{32}-[0-9]{6}(\.[a-z0-9_]{8}\.partial)?")
_PUTS_BETWEEN_SWEEPS = 8
_ABANDONED_SECONDS = 3600.0  # a half-written block this old was left by a killed process
_KEPT_SHARE = 0.9  # of the limit, after a sweep


class RangedFile(Protocol):
    """What a block is read from; see files.RemoteFile."""

    def read(self, offset: int, length: int) -> bytes: ...


class ShardCache:
    """Blocks of shards on this machine.

    Between two sweeps each process may add eight blocks (34 MB), by so much the limit may be
    exceeded.
    """

    def __init__(
        self, folder: Path | str, gigabytes: float, block_bytes: int = BLOCK_BYTES
    ) -> None:
        """Create the subfolder.

        Args:
            folder: on this machine; what else is in it is left alone.
            gigabytes: greatest size of all blocks, in 1e9 bytes.
            block_bytes: size of a block; the same for all processes that share the folder.

        Raises:
            InputError: the limit is below sixteen blocks.
            StorageError: the folder cannot be written to.
        """
        self._limit, self._block = round(gigabytes * 1e9), block_bytes
        if self._limit < 16 * block_bytes:
            raise InputError(
                f"a cache of {gigabytes:g} GB", "is too small to hold anything", "allow more"
            )
        self._folder = Path(folder) / _FOLDER
        with storage_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        self._puts = 0
        self._sweep()

    def read(self, name: str, file: RangedFile, offset: int, length: int) -> bytes:
        """Bytes of a file, from its blocks here or else fetched in whole blocks.

        Args:
            name: of the file, the same in every process.
            file: reads it where it is.
            offset: of the first byte.
            length: fewer are returned only at the end of the file.
        """
        first, last = offset // self._block, (offset + max(length, 1) - 1) // self._block
        parts = []
        for block in range(first, last + 1):
            start = max(offset - block * self._block, 0)
            stop = min(offset + length - block * self._block, self._block)
            parts.append(self._part(name, file, block, start, stop))
        return b"".join(parts)

    def forget(self, name: str, offset: int, length: int) -> None:
        """Remove the blocks of a range, so that they are fetched again."""
        for block in range(offset // self._block, (offset + length) // self._block + 1):
            self._path(name, block).unlink(missing_ok=True)

    def _part(self, name: str, file: RangedFile, block: int, start: int, stop: int) -> bytes:
        path = self._path(name, block)
        try:
            with open(path, "rb") as kept:
                os.utime(kept.fileno())  # the sweep removes what was not used for longest
                return os.pread(kept.fileno(), stop - start, start)
        except FileNotFoundError:
            data = file.read(block * self._block, self._block)
        self._put(path, data)
        return data[start:stop]

    def _path(self, name: str, block: int) -> Path:
        key = hashlib.blake2b(f"{self._block} {name}".encode(), digest_size=16).hexdigest()
        return self._folder / f"{key}-{block:06d}"

    def _put(self, path: Path, data: bytes) -> None:
        with storage_errors(path):
            descriptor, partial = tempfile.mkstemp(".partial", path.name + ".", self._folder)
            try:
                with open(descriptor, "wb") as file:
                    file.write(data)
                os.replace(partial, path)
            except BaseException:
                Path(partial).unlink(missing_ok=True)
                raise
        self._puts += 1
        if self._puts % _PUTS_BETWEEN_SWEEPS == 0:
            self._sweep()

    def _sweep(self) -> None:
        """Remove the blocks that were not used for longest, if there are too many."""
        with open(self._folder / "lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            blocks, abandoned = [], time.time() - _ABANDONED_SECONDS
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if _NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                        try:
                            status = entry.stat(follow_symlinks=False)
                        except FileNotFoundError:
                            continue  # another process has just put it into its place
                        if entry.name.endswith(".partial") and status.st_mtime > abandoned:
                            continue  # another process is writing it
                        blocks.append((status.st_mtime_ns, status.st_size, entry.path))
            total = sum(size for _, size, _ in blocks)
            if total <= self._limit - _PUTS_BETWEEN_SWEEPS * self._block:
                return
            for _, size, path in sorted(blocks):
                if total <= self._limit * _KEPT_SHARE - _PUTS_BETWEEN_SWEEPS * self._block:
                    return
                Path(path).unlink(missing_ok=True)
                total -= size
