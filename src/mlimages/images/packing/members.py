"""Reading shards in one pass: every header, every image, every byte between them."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlimages.images.packing.writer import BLOCK, member_header, padded

if TYPE_CHECKING:
    from mlimages.storage import AnyPath

_BUFFER = 1 << 20


@dataclass(frozen=True)
class Member:
    """An image in a tar.

    Attributes:
        id: of the image.
        offset: of its first byte.
        data: its bytes.
    """

    id: str
    offset: int
    data: bytes


class ShardScan:
    """A shard that is read from its beginning to its end, and hashed on the way."""

    def __init__(self, path: AnyPath) -> None:
        self._path, self._digest = path, hashlib.sha256()
        self.position = 0

    def __enter__(self) -> ShardScan:
        self._file = self._path.open("rb", buffering=_BUFFER)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, length: int) -> bytes:
        """The next bytes; fewer only at the end of the file."""
        data = self._file.read(length) if length > 0 else b""
        self._digest.update(data)
        self.position += len(data)
        return data

    def zeros(self) -> tuple[int, bool]:
        """Read all that is left: its length, and whether it is nothing but zeros."""
        length, empty = 0, True
        while data := self.read(_BUFFER):
            length += len(data)
            empty &= not data.strip(b"\0")
        return length, empty

    def sha256(self) -> str:
        """Of what was read, hexadecimal."""
        return self._digest.hexdigest()


def scan_members(path: AnyPath) -> Iterator[Member]:
    """The images of a shard whose headers are as written, and which are whole.

    Behind a damaged header the next good one is found: none of them is likely to be a picture's.
    """
    with ShardScan(path) as scan:
        while header := scan.read(BLOCK):
            name, size = _parsed(header)
            if name is None:
                continue
            offset, data = scan.position, scan.read(size)
            if len(data) == size:
                scan.read(padded(size) - size)
                yield Member(name.partition(".")[0], offset, data)


def _parsed(header: bytes) -> tuple[str | None, int]:
    """Name and size in a header, if it is one that `writer` wrote."""
    try:
        info = tarfile.TarInfo.frombuf(header, "ascii", "strict")
        good = header == member_header(info.name, info.size)
    except (tarfile.TarError, UnicodeError, ValueError):
        good = False
    return (info.name, info.size) if good else (None, 0)
