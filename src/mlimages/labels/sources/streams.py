"""Opening annotation files: local or behind an fsspec address, plain, gzip or zstd, as streams.

Nothing is held but a buffer. What is wrong with a file (a line without end, a cut archive, bytes
that are no text) spoils the line where it is met, with its place, and not the program.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import pyarrow as pa

from mlimages.errors import InputError

MAXIMUM_LINE = 1 << 20
"""Bytes of the longest line that is read; a longer one is skipped and named."""
BUFFER_BYTES = 1 << 20
_DAMAGED_BYTES = 1 << 16  # of an archive that are lost before damage
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
COMPRESSED = (".gz", ".zst", ".zstd")

Place = str | Path
"""A path, or an address such as s3://bucket/labels.csv."""


class Line(NamedTuple):
    """A line of a text file.

    Attributes:
        location: file:line.
        text: without its line feed; None when it cannot be used.
        wrong: why not; empty otherwise.
    """

    location: str
    text: str | None
    wrong: str


def is_remote(place: Place) -> bool:
    """Whether a place is an fsspec address and not a path of this machine."""
    return "://" in str(place)


def absolute(place: Place) -> str:
    """A path made absolute; an address as it is."""
    return str(place) if is_remote(place) else os.path.abspath(place)


def name_of(place: Place) -> str:
    """The last part of a place."""
    return str(place).rstrip("/").rpartition("/")[2]


def stem_of(place: Place) -> str:
    """The last part of a place without its suffixes: `data/mine.csv.gz` -> `mine`."""
    name = name_of(place)
    stem, suffix = os.path.splitext(name)
    return os.path.splitext(stem if suffix.lower() in COMPRESSED else name)[0]


def suffix_of(place: Place) -> str:
    """The suffix of a file in lower case, below that of its compression: `a.CSV.gz` -> `.csv`."""
    stem, suffix = os.path.splitext(name_of(place).lower())
    return os.path.splitext(stem)[1] if suffix in COMPRESSED else suffix


def is_folder(place: Place) -> bool:
    """Whether a place is a folder.

    Raises:
        InputError: there is nothing there, or it cannot be reached.
    """
    if not is_remote(place):
        if not os.path.exists(place):
            raise InputError(place, "no such file or folder", "check the path")
        return os.path.isdir(place)
    filesystem, path = _remote(place)
    with _named(place):
        if filesystem.isdir(path):
            return True
        if not filesystem.exists(path):
            raise InputError(place, "no such file or folder", "check the address")
        return False


def files_of(place: Place) -> list[str]:
    """The file itself, or all files of a folder and its subfolders, sorted by name.

    Files and folders whose names begin with a dot are passed over.

    Raises:
        InputError: there is nothing there, or it cannot be reached.
    """
    if not is_folder(place):
        return [absolute(place)]
    if not is_remote(place):
        root = absolute(place)
        found = [os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names]
    else:
        filesystem, path = _remote(place)
        with _named(place):
            root = filesystem.unstrip_protocol(path)
            found = [filesystem.unstrip_protocol(file) for file in filesystem.find(path)]
    hidden = len(root.rstrip("/"))
    return sorted(file for file in found if "/." not in file[hidden:])


def size_of(place: Place) -> int:
    """Length of a file in bytes, as it is stored.

    Raises:
        InputError: it cannot be reached.
    """
    if not is_remote(place):
        with _named(place):
            return os.path.getsize(place)
    filesystem, path = _remote(place)
    with _named(place):
        return filesystem.size(path)


def open_stream(place: Place) -> BinaryIO:
    """Open a file for reading from front to back, decompressed when its first bytes say so.

    A damaged archive raises OSError while it is read.

    Raises:
        InputError: it is missing, a folder, or cannot be opened.
    """
    raw = open_raw(place)
    with _named(place):
        start = raw.peek(4)
    for magic, codec in _MAGIC.items():
        if start.startswith(magic):
            inner = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), codec)
            return cast(BinaryIO, io.BufferedReader(cast(Any, inner), _DAMAGED_BYTES))
    return cast(BinaryIO, raw)


def open_raw(place: Place) -> io.BufferedReader:
    """Open a file as it is; what comes back can be read and, where the store allows it, sought.

    Raises:
        InputError: it is missing, a folder, or cannot be opened.
    """
    if not is_remote(place):
        if not os.path.isfile(place):
            cause = "is a folder" if os.path.isdir(place) else "no such file"
            raise InputError(place, cause, "name an existing file")
        with _named(place):
            return cast(io.BufferedReader, open(place, "rb", buffering=BUFFER_BYTES))
    filesystem, path = _remote(place)
    with _named(place):
        return io.BufferedReader(filesystem.open(path, "rb"), BUFFER_BYTES)


def read_lines(place: Place, maximum: int | None = None) -> Iterator[Line]:
    """The lines of a text file (UTF-8, ended by LF or CRLF), and what is wrong with them.

    Args:
        place: the file.
        maximum: bytes of the longest line; by default MAXIMUM_LINE.

    Raises:
        InputError: it cannot be opened. What is met later is a line with its reason.
    """
    maximum = MAXIMUM_LINE if maximum is None else maximum
    limit = maximum + 2  # room for the line's end
    with open_stream(place) as stream:
        number = 0
        while True:
            number += 1
            location = f"{place}:{number}"
            try:
                data = stream.readline(limit)
                if not data:
                    return
                if len(data) == limit and not data.endswith(b"\n"):
                    _skip_line(stream, limit)
            except OSError as error:
                yield Line(location, None, damage(error))
                return
            if number == 1:
                data = data.removeprefix(b"\xef\xbb\xbf")  # the mark some editors put first
            data = data.rstrip(b"\r\n")
            if len(data) > maximum:
                yield Line(location, None, f"longer than {maximum:,} bytes")
                continue
            try:
                yield Line(location, data.decode("utf-8"), "")
            except UnicodeDecodeError:
                yield Line(location, None, "not UTF-8 text")


def damage(error: OSError) -> str:
    """What an error in the midst of a file means for the rest of it."""
    return f"the rest of the file cannot be read ({error.strerror or error})"


def _skip_line(stream: BinaryIO, limit: int) -> None:
    """Read to the end of a line, no more than `limit` bytes at once."""
    while (piece := stream.readline(limit)) and not piece.endswith(b"\n"):
        pass


def _remote(place: Place) -> tuple[Any, str]:
    import fsspec

    with _named(place):
        return fsspec.core.url_to_fs(str(place))


class _named:  # noqa: N801  reads like a keyword
    """Turn whatever a store raises into one line that names the place."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, InputError) or not isinstance(error, Exception):
            return
        if isinstance(error, ImportError):  # fsspec says which package the scheme needs
            raise InputError(self.place, str(error), "install that package") from None
        if isinstance(error, FileNotFoundError):
            raise InputError(self.place, "no such file", "check the address") from None
        # Each store has exceptions of its own; a missing permission is none of ours to trace.
        cause = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InputError(self.place, f"cannot be read ({cause})", "name a readable file") from None
