"""Walking folders, lists and tars of photos, in a fixed order and without surprises."""

from __future__ import annotations

import functools
import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

from mlimages.errors import InputError

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


def lines_of(path: Path) -> Iterator[tuple[str, str | None]]:
    """The lines of a text file as (file:line, text); the text is None where it is not UTF-8.

    Raises:
        InputError: the file cannot be opened.
    """
    if not path.is_file():
        cause = "is a folder" if path.is_dir() else "no such file"
        raise InputError(path, cause, "name an existing file")
    try:
        file = open(path, "rb")  # noqa: SIM115  closed below
    except OSError as error:
        cause = f"cannot be read ({error.strerror})"
        raise InputError(path, cause, "name a readable file") from None
    with file:
        for number, line in enumerate(file, 1):
            location = f"{path}:{number}"
            try:
                yield location, line.rstrip(b"\r\n").decode("utf-8")
            except UnicodeDecodeError:
                yield location, None


def parse_index(text: str) -> int | None:
    """A number of one to nine digits, or None: `int` refuses thousands of them."""
    return int(text) if 0 < len(text) < 10 and text.isascii() and text.isdigit() else None


class DamagedTarError(Exception):
    """A tar that cannot be read, or not to its end; the message says why."""


def tar_members(path: Path) -> Iterator[tarfile.TarInfo]:
    """The members of an uncompressed tar but its folders, from its headers alone.

    Raises:
        DamagedTarError: after the members that could still be read.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # else tarfile keeps every header it has seen
                if not member.isdir():
                    yield member
            _check_end(path, archive.offset)  # type: ignore[attr-defined]
    except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError) as error:
        raise DamagedTarError(str(error)) from None
    except RecursionError:  # tarfile follows a chain of extended headers by calling itself
        raise DamagedTarError("too many headers of one member") from None


def _check_end(path: Path, offset: int) -> None:
    """Raise unless the archive ends here: tarfile takes any broken header for the end."""
    with open(path, "rb") as file:
        file.seek(offset)
        if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise tarfile.ReadError(f"broken header at byte {offset:,}")


def tar_uri(archive: Path, member: str) -> str:
    """The URI of a member of a tar; the archive's path is absolute and has no `::/`."""
    return f"tar://{member}::{archive}"


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
