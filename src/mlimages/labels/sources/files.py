"""Walking folders, lists and tars of photos, in a fixed order and without surprises."""

from __future__ import annotations

import functools
import io
import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from mlimages.errors import InputError
from mlimages.labels.sources.streams import read_lines

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm")
)
SPLIT_FOLDERS = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
_SPLIT_IN_NAME = re.compile(r"(?:^|[-_])(train|validation|val|test)(?=\d*[-_.])", re.ASCII)
_SPLIT_NAME = re.compile(r"(train|valid|validation|val|test)\d*(?:[_.-]|$)", re.IGNORECASE)


def require_folder(path: Path | str, expected: str) -> Path:
    """The absolute path of a folder that has to be there.

    Args:
        path: the folder.
        expected: what it should hold, for the error.

    Raises:
        InputError: it is missing, or a file.
    """
    path = Path(os.path.abspath(path))
    if path.is_dir():
        return path
    cause = "is a file, not a folder" if path.exists() else "no such folder"
    raise InputError(path, cause, f"name a folder that holds {expected}")


def entries(folder: Path) -> list[Path]:
    """What a folder holds, sorted by name, hidden entries left out."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def files_below(folder: Path) -> Iterator[Path]:
    """All files of a folder and its subfolders, sorted by name.

    A link to a folder that was entered before is not followed: links may form loops.
    """
    yield from _files_below(folder, {folder.resolve()})


def _files_below(folder: Path, entered: set[Path]) -> Iterator[Path]:
    for path in entries(folder):
        if not path.is_dir():
            yield path
        elif not path.is_symlink() or path.resolve() not in entered:
            entered.add(path.resolve())
            yield from _files_below(path, entered)


def has_image_name(name: str | Path) -> bool:
    """Whether a file's name says that it is an image."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def stem(name: str) -> str:
    """The last part of a path or URL without an image's suffix: `a/b.JPEG` -> `b`."""
    last = name.rpartition("/")[2].partition("?")[0]
    return os.path.splitext(last)[0] if has_image_name(last) else last


def split_of_name(name: str) -> str | None:
    """The split that a file or folder is called after: `train2017`, `val_urls.txt`, `test`."""
    found = _SPLIT_NAME.match(name)
    return SPLIT_FOLDERS[found[1].lower()] if found else None


def split_of_file(file: str) -> str | None:
    """The split in the name of a file, else its folder's: `oidv7-val-annotations.csv`."""
    folder, _, name = file.lower().rpartition("/")
    found = _SPLIT_IN_NAME.search(name)
    return SPLIT_FOLDERS[found[1]] if found else SPLIT_FOLDERS.get(folder.rpartition("/")[2])


def lines_of(path: Path) -> Iterator[tuple[str, str | None]]:
    """The lines of a text file as (file:line, text); the text is None where it is not UTF-8.

    Raises:
        InputError: the file cannot be opened.
    """
    for location, text, _ in read_lines(path):
        yield location, text


def parse_index(text: str) -> int | None:
    """A number of one to nine digits, or None: `int` refuses thousands of them."""
    return int(text) if 0 < len(text) < 10 and text.isascii() and text.isdigit() else None


class DamagedTarError(Exception):
    """A tar that cannot be read, or not to its end; the message says why."""


def tar_members(
    path: Path, offset: int = 0, length: int | None = None
) -> Iterator[tarfile.TarInfo]:
    """The members of an uncompressed tar but its folders, from its headers alone.

    Args:
        path: the tar, or a file in which it lies.
        offset: of its first byte; the members' `offset_data` count from there.
        length: of the tar; by default all of the file.

    Raises:
        DamagedTarError: after the members that could still be read.
    """
    try:
        with open(path, "rb") as file:
            window = _Window(file, offset, length)
            with tarfile.open(fileobj=window, mode="r:") as archive:
                yield from _members(archive, window)
    except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError) as error:
        raise DamagedTarError(str(error)) from None
    except RecursionError:  # tarfile follows a chain of extended headers by calling itself
        raise DamagedTarError("too many headers of one member") from None


def _members(archive: tarfile.TarFile, window: _Window) -> Iterator[tarfile.TarInfo]:
    """The members of an open tar; what tarfile overlooks raises ReadError."""
    size = window.seek(0, os.SEEK_END)
    while (member := archive.next()) is not None:
        archive.members = []  # type: ignore[attr-defined]  # else it keeps every header it has seen
        plain = member.isreg() and member.sparse is None
        if plain and member.offset_data + member.size > size:
            raise tarfile.ReadError(f"{member.name} is cut off")
        if not member.isdir():
            yield member
    end = archive.offset  # type: ignore[attr-defined]
    window.seek(end)
    if window.read(tarfile.BLOCKSIZE).strip(b"\0"):  # it takes any broken header for the end
        raise tarfile.ReadError(f"broken header at byte {end:,}")


class _Window(io.RawIOBase):
    """A piece of a file as a file of its own."""

    def __init__(self, file: BinaryIO, offset: int, length: int | None) -> None:
        self._file, self._offset, self._position = file, offset, 0
        size = file.seek(0, os.SEEK_END) - offset
        self._length = size if length is None else min(length, size)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the present position; fewer bytes only at the end."""
        self._file.seek(self._offset + self._position)
        wanted = max(0, min(len(buffer), self._length - self._position))
        read = self._file.readinto(memoryview(buffer)[:wanted])  # type: ignore[attr-defined]
        self._position += read
        return read

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position; none before the beginning."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}[whence]
        if base + position < 0:
            raise ValueError(f"position {base + position} is before the beginning")
        self._position = base + position
        return self._position

    def tell(self) -> int:
        """The present position."""
        return self._position


def tar_uri(archive: Path, member: str) -> str:
    """The URI of a member of a tar; the archive's path is absolute and has no `::/`."""
    return f"tar://{member}::{archive}"


def range_uri(offset: int, length: int, file: Path | str) -> str:
    """The URI of a piece of a file, given by its first byte and its length; the path is absolute.

    It is for photos inside a container without names of its own, or with two layers of them.
    """
    return f"range://{offset}+{length}::{file}"


class PhotoFinder:
    """Finds listed photos on this machine.

    Args:
        roots: folders to look in, in order of preference.
    """

    def __init__(self, roots: list[Path]) -> None:
        self.roots = roots

    def find(self, listed: str) -> str | None:
        """The absolute path of a photo listed by a path, or None.

        The path is tried below each root as it stands, then without its first folders one by one:
        lists are often written relative to another folder than where they lie.
        """
        if "\0" in listed:
            return None
        if os.path.isabs(listed):
            return listed if os.path.isfile(listed) else None
        parts = [part for part in listed.split("/") if part not in ("", ".")]
        if ".." in parts:
            return None
        for first in range(len(parts)):
            for root in self.roots:
                folder = os.path.join(root, *parts[first:-1])
                if parts[-1] in names_in(folder):
                    return os.path.join(folder, parts[-1])
        return None


@functools.lru_cache(maxsize=1024)
def names_in(folder: str) -> frozenset[str]:
    """Names of a folder's files: one listing instead of one look-up a photo."""
    try:
        with os.scandir(folder) as found:
            return frozenset(entry.name for entry in found if entry.is_file())
    except OSError:
        return frozenset()
