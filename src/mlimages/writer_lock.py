"""The only writer of a database: who it is, and how others are kept away.

On this machine the operating system holds the lock, and drops it when the writer dies. In an object
store the lock is an object that only one writer can create; one that was left by a process of this
machine that has ended is taken over, any other has to be removed by hand, and the error says so.
"""

from __future__ import annotations

import fcntl
import os
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlimages.errors import DatabaseError

if TYPE_CHECKING:
    from mlimages.storage import AnyPath

LOCK = ".lock"
_OWNER = re.compile(r"process (\d+) on (\S+) ")


class WriterLock:
    """A context manager that holds the lock of a database, or raises DatabaseError."""

    def __init__(self, root: AnyPath, purpose: str) -> None:
        self._root, self._path = root, root / LOCK
        self._file: Any = None
        self._text = f"process {os.getpid()} on {os.uname().nodename} ({purpose})"
        if not isinstance(root, Path):
            self._text += f" {uuid.uuid4().hex}"  # a process may have held it before

    def __enter__(self) -> WriterLock:
        if isinstance(self._path, Path):
            self._lock_file(self._path)
        else:
            self._create_object()
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.truncate(0)
            self._file.close()
        elif self._read() == self._text:
            self._path.unlink(missing_ok=True)

    def verify(self) -> None:
        """Raise DatabaseError when somebody removed the lock and another writer has it."""
        if self._file is None and self._read() != self._text:
            raise DatabaseError(self._root, "another writer has taken its lock", "run again")

    def _lock_file(self, path: Path) -> None:
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115  closed when the lock is let go
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "another process"
            file.close()
            raise DatabaseError(
                self._root, f"locked by {owner}", "wait until it has ended"
            ) from None
        self._file = file
        file.truncate(0)
        file.write(self._text)
        file.flush()

    def _create_object(self) -> None:
        filesystem, place = self._path.fs, self._path.path  # type: ignore[union-attr]
        for _ in range(2):
            try:
                filesystem.pipe_file(place, self._text.encode(), mode="create")
                return
            except FileExistsError:
                owner = self._read()
            if not _has_ended(owner):
                break
            self._path.unlink(missing_ok=True)
        who = owner.rpartition(" ")[0] or "another process"
        raise DatabaseError(
            self._root, f"locked by {who}", f"wait, or if that was killed, remove {self._path}"
        )

    def _read(self) -> str:
        try:
            return self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""


def _has_ended(owner: str) -> bool:
    """Whether the owner was a process of this machine that is no more."""
    if not owner:  # it let go just now
        return True
    found = _OWNER.match(owner)
    if found is None or found[2] != os.uname().nodename:
        return False
    return not _is_alive(int(found[1]))


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
