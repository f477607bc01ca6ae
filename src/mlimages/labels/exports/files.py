"""Files of an export: names made of splits, and series that begin a new file when one is full."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from mlimages.errors import InputError

SHARD_BYTES = 256_000_000
IMAGE_SUFFIXES = ("jpg", "png", "webp", "gif")
"""Of images that are files of their own in an export."""


@dataclass(frozen=True)
class PublishedFile:
    """A file of an export; `path` is relative to its folder."""

    path: str
    size: int
    sha256: str


def part_name(split: str) -> str:
    """The name of a split as part of a file's name; different splits give different names."""
    return re.sub(
        r"[^A-Za-z0-9_-]", lambda found: "".join(f"%{b:02X}" for b in found[0].encode()), split
    )


def count_files(folder: Path) -> tuple[int, int]:
    """(files, bytes) below a folder."""
    count = size = 0
    for parent, _, names in os.walk(folder):
        count += len(names)
        size += sum(os.path.getsize(os.path.join(parent, name)) for name in names)
    return count, size


def published_files(folder: Path) -> list[PublishedFile]:
    """The files below a folder but images, with size and checksum, sorted by path."""
    paths = []
    for parent, _, names in os.walk(folder):
        paths += [Path(parent, name) for name in names if not _is_image(name)]
    found = []
    for path in sorted(paths):
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        relative = path.relative_to(folder).as_posix()
        found.append(PublishedFile(relative, path.stat().st_size, digest))
    return found


def _is_image(name: str) -> bool:
    return name.rpartition(".")[2] in IMAGE_SUFFIXES


def json_text(value: object) -> str:
    """Compact JSON, the same for the same value."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Series:
    """Files SPLIT-00000.SUFFIX, SPLIT-00001.SUFFIX, ...: a new one when one has reached its size.

    Args:
        folder: where they go.
        suffix: of their names, without the dot.
        limit: bytes after which a file is closed.
        start: makes a writer of an open file; it has `close()`.
    """

    def __init__(
        self, folder: Path, suffix: str, limit: int, start: Callable[[BinaryIO], Writer]
    ) -> None:
        if limit < 1:
            raise InputError("shard size", f"{limit} bytes is too small", "use more")
        self._folder, self._suffix, self._limit, self._start = folder, suffix, limit, start
        self._open: dict[str, tuple[BinaryIO, Writer]] = {}
        self._numbers: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for split in list(self._open):
            self._close(split, whole=kind is None)

    def writer(self, split: str) -> Writer:
        """The writer of the split's file in the making."""
        if split in self._open and self._open[split][0].tell() >= self._limit:
            self._close(split)
        if split not in self._open:
            number = self._numbers.get(split, 0)
            self._numbers[split] = number + 1
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{part_name(split)}-{number:05d}.{self._suffix}"
            file = open(path, "wb", buffering=1 << 20)  # noqa: SIM115  closed by `_close`
            self._open[split] = (file, self._start(file))
        return self._open[split][1]

    def _close(self, split: str, whole: bool = True) -> None:
        file, writer = self._open.pop(split)
        with file:
            if whole:
                writer.close()
                return
            # What was being written goes; a writer left open would complain when it is collected.
            with suppress(OSError, ValueError):
                writer.close()


class Writer:
    """Writes samples into an open file; `close` finishes the file but does not close it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def close(self) -> None:
        """Write what belongs at the end."""


class TarWriter(Writer):
    """A tar with canonical headers (ustar, no time, no owner): the same members, the same bytes."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self._archive = tarfile.open(fileobj=file, mode="w|", format=tarfile.USTAR_FORMAT)  # noqa: SIM115

    def add(self, name: str, data: bytes) -> None:
        """Append a member."""
        header = tarfile.TarInfo(name)
        header.size = len(data)
        self._archive.addfile(header, io.BytesIO(data))

    def close(self) -> None:
        """Write the end of the archive."""
        self._archive.close()
