"""The journal: what became of URLs since the last commit, one record after another.

On this machine a journal is one file that is appended to: a record is in the hands of the operating
system before `append` returns, so that SIGKILL loses none, and on the disk after `sync`, so that a
power cut loses at most those since. In an object store, where nothing is appended to, every `sync`
puts the records since the last one as a small object of their own.

Journals are numbered. A commit folds them into the table `ledger` and says in `database.json` up to
which number: those are history, and later ones are replayed in order over the table.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlimages.images.ledger.records import MAGIC, RECORD, decode
from mlimages.storage import service_errors, storage_errors, sync, write_bytes

if TYPE_CHECKING:
    from mlimages.storage import AnyPath

FOLDER = "ledger"
_NAME = re.compile(r"journal-(\d{6,})(?:-(\d{6,}))?\.bin")


class FileJournal:
    """A journal that is one file on this machine."""

    def __init__(self, path: Path) -> None:
        """Start a new journal at `path`; raises StorageError where that cannot be written."""
        self._path = path
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            # O_EXCL: nobody else may be writing it, whoever held the lock before.
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        self._length = 0
        self.append(MAGIC)
        with storage_errors(path):
            sync(path.parent)

    def append(self, records: bytes) -> None:
        """Add records, all or none; raises StorageError when the disk is full."""
        with storage_errors(self._path):
            try:
                left = memoryview(records)
                while left:
                    left = left[os.write(self._file, left) :]
            except BaseException:
                # Half a record would put all later ones out of step.
                os.ftruncate(self._file, self._length)
                os.lseek(self._file, self._length, os.SEEK_SET)
                raise
        self._length += len(records)

    def sync(self) -> None:
        """Return when all records are on the disk."""
        with storage_errors(self._path):
            os.fsync(self._file)

    def close(self) -> None:
        """Sync and close."""
        try:
            self.sync()
        finally:
            os.close(self._file)


class ObjectJournal:
    """A journal that is a number of small objects in an object store."""

    def __init__(self, folder: AnyPath, number: int) -> None:
        self._folder, self._number, self._objects = folder, number, 0
        self._waiting = bytearray()

    def append(self, records: bytes) -> None:
        """Add records, to be stored at the next `sync`."""
        self._waiting += records

    def sync(self) -> None:
        """Store what is not yet stored; raises StorageError when the service does not answer."""
        if not self._waiting:
            return
        path = self._folder / f"journal-{self._number:06d}-{self._objects:06d}.bin"
        write_bytes(path, MAGIC + bytes(self._waiting))
        self._objects += 1
        self._waiting.clear()

    def close(self) -> None:
        """Store what is not yet stored."""
        self.sync()


def start_journal(root: AnyPath, number: int) -> FileJournal | ObjectJournal:
    """Begin the journal of a number in a database."""
    folder = root / FOLDER
    if isinstance(folder, Path):
        return FileJournal(folder / f"journal-{number:06d}.bin")
    return ObjectJournal(folder, number)


def journal_numbers(root: AnyPath) -> list[int]:
    """Numbers of the journals that are there, ascending."""
    return sorted({number for number, _, _ in _files(root)})


def read_journals(root: AnyPath, after: int) -> NDArray:
    """All intact records of journals with a number above `after`, in order; dtype RECORD."""
    found = [np.empty(0, RECORD)]
    for number, _, path in sorted(_files(root), key=lambda entry: entry[:2]):
        if number > after:
            try:
                with service_errors(root):
                    found.append(decode(path.read_bytes()))
            except FileNotFoundError:
                continue  # folded just now; the caller sees by `database.json` that it was
    return np.concatenate(found)


def remove_journals(root: AnyPath, up_to: int) -> None:
    """Remove the journals that a commit has folded into the table."""
    for number, _, path in _files(root):
        if number <= up_to:
            path.unlink(missing_ok=True)


def _files(root: AnyPath) -> list[tuple[int, int, AnyPath]]:
    """(number, part, path) of every file of a journal."""
    found = []
    with service_errors(root):
        for path in (root / FOLDER).glob("journal-*.bin"):
            name = _NAME.fullmatch(path.name)
            if name is not None:
                found.append((int(name[1]), int(name[2] or 0), path))
    return found
