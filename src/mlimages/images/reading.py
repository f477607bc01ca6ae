"""The bytes behind an image's address: a local file, a member of a local tar, or a piece of a file.

ImageNet comes as one tar per synset. Members are read in place: an archive is listed once, its
names are only ever compared, and nothing is extracted to disk.
"""

from __future__ import annotations

import os
import re
import stat
import tarfile
import threading
from collections import OrderedDict
from dataclasses import dataclass

from mlimages.images.decoding import MAXIMUM_BYTES
from mlimages.images.files import OpenFile
from mlimages.images.rejection import Reason, UnreadableError

ARCHIVES_KEPT = 64
_TAR = "tar://"
_RANGE = re.compile(r"range://(\d{1,18})\+(\d{1,18})::(/.+)", re.ASCII | re.DOTALL)


def open_uri(uri: str) -> bytes:
    """Read the bytes of an image.

    Args:
        uri: a path, "tar://MEMBER::/path/of/archive.tar", "range://OFFSET+LENGTH::/path/of/file",
            or an http(s) address, which is never fetched here.

    Raises:
        UnreadableError: "missing file", "missing in archive", "damaged archive", "not fetched",
            "unreadable", "too many bytes" or "unknown kind of address".
    """
    if uri.startswith(_TAR):
        return _read_member(uri)
    if uri.lower().startswith(("http://", "https://")):
        raise UnreadableError(Reason.NOT_FETCHED, uri)
    if piece := _RANGE.fullmatch(uri):
        return _read_piece(uri, int(piece[1]), int(piece[2]), piece[3])
    if "://" in uri:
        raise UnreadableError(Reason.UNKNOWN_ADDRESS, uri)
    return _read_file(uri)


def tar_uri(member: str, archive: str | os.PathLike[str]) -> str:
    """Address of a member of a tar; `archive` is an absolute path without `::/`."""
    return f"{_TAR}{member}::{os.fspath(archive)}"


def _read_file(path: str) -> bytes:
    try:
        if _stat_file(path).st_size > MAXIMUM_BYTES:
            raise UnreadableError(Reason.TOO_MANY_BYTES, path)
        with open(path, "rb") as file:
            return file.read(MAXIMUM_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise UnreadableError(Reason.MISSING_FILE, path) from None
    except (OSError, ValueError):  # ValueError: a zero byte in the name
        raise UnreadableError(Reason.UNREADABLE, path) from None


def _read_piece(uri: str, offset: int, length: int, path: str) -> bytes:
    if length > MAXIMUM_BYTES:
        raise UnreadableError(Reason.TOO_MANY_BYTES, uri)
    try:
        _stat_file(path)
        data = OpenFile(path).read(offset, length)
    except (FileNotFoundError, NotADirectoryError):
        raise UnreadableError(Reason.MISSING_FILE, uri) from None
    except (OSError, ValueError):
        raise UnreadableError(Reason.UNREADABLE, uri) from None
    if len(data) < length:
        raise UnreadableError(Reason.DAMAGED_ARCHIVE, uri)
    return data


def _stat_file(path: str) -> os.stat_result:
    # Opening a named pipe would wait for ever, and a device may never end.
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(f"{path} is not a regular file")
    return found


def _read_member(uri: str) -> bytes:
    # An archive's path is absolute; "::" may be in it, and in the member's name.
    member, separator, archive = uri.removeprefix(_TAR).rpartition("::/")
    if not separator or not member:
        raise UnreadableError(Reason.UNKNOWN_ADDRESS, uri)
    archive = f"/{archive}"
    try:
        index = _ARCHIVES.get(archive)
        place = index.members.get(member)
        if place is None:
            reason = Reason.MISSING_MEMBER if index.intact else Reason.DAMAGED_ARCHIVE
            raise UnreadableError(reason, uri)
        offset, length = place
        if length > MAXIMUM_BYTES:
            raise UnreadableError(Reason.TOO_MANY_BYTES, uri)
        return index.file.read(offset, length)
    except (FileNotFoundError, NotADirectoryError):
        raise UnreadableError(Reason.MISSING_FILE, uri) from None
    except (OSError, ValueError):
        raise UnreadableError(Reason.UNREADABLE, uri) from None


@dataclass(frozen=True)
class _Archive:
    """An open tar with the places of its files."""

    file: OpenFile
    members: dict[str, tuple[int, int]]  # name -> offset of the first byte, length
    intact: bool


class _Archives:
    """The most recently used archives, each listed once as long as it does not change."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: OrderedDict[tuple[str, int, int], _Archive] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: str) -> _Archive:
        found = _stat_file(path)
        key = (path, found.st_size, found.st_mtime_ns)
        # Listing happens under the lock: its neighbours in a list ask for the same archive.
        with self._lock:
            archive = self._known.get(key)
            if archive is None:
                archive = _list_archive(path)
                self._known[key] = archive
                while len(self._known) > self._limit:
                    self._known.popitem(last=False)
            else:
                self._known.move_to_end(key)
            return archive

    def forget(self) -> None:
        """Drop everything, also a lock that another thread held when this process was forked."""
        self.__init__(self._limit)  # type: ignore[misc]


def _list_archive(path: str) -> _Archive:
    file = OpenFile(path)
    size, end, members, intact = file.size(), 0, {}, True
    try:
        with tarfile.open(path, mode="r:") as archive:
            for entry in archive:
                complete = entry.offset_data + entry.size <= size
                intact &= complete
                end = entry.offset_data + -(-entry.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
                # A link has no bytes of its own, and those of a sparse file are not in one piece.
                if entry.isreg() and entry.sparse is None and complete:
                    members[entry.name] = (entry.offset_data, entry.size)
    # A damaged header may hold any number; tarfile follows a chain of headers by calling itself.
    except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError):
        intact = False
    # tarfile takes a damaged header inside an archive for its end; the true end is zeros.
    intact &= not file.read(end, tarfile.BLOCKSIZE).strip(b"\0")
    return _Archive(file, members, intact)


_ARCHIVES = _Archives(ARCHIVES_KEPT)
os.register_at_fork(after_in_child=_ARCHIVES.forget)
