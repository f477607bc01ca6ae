"""A bounded set of open files, read by position: safe among threads and after a fork."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upath import UPath

    from mlimages.storage import AnyPath


class OpenFile:
    """A read-only file whose reads carry their position, so that nothing is shared but bytes."""

    def __init__(self, path: Path | str) -> None:
        self._descriptor = -1
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self, offset: int, length: int) -> bytes:
        """Bytes at an offset; fewer than `length` only at the end of the file."""
        data = os.pread(self._descriptor, length, offset)
        while 0 < len(data) < length:  # a signal or a network drive may return less
            more = os.pread(self._descriptor, length - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def size(self) -> int:
        """Length of the file in bytes."""
        return os.fstat(self._descriptor).st_size

    def __del__(self) -> None:
        # Closing belongs here: a thread may still read a file that the cache has let go, and a
        # closed descriptor's number is soon that of another file.
        if self._descriptor >= 0:
            os.close(self._descriptor)


class RemoteFile:
    """An object of an object store, read by ranges."""

    def __init__(self, path: UPath) -> None:
        # A path keeps its client, which a forked process must not use; this one has its own.
        self._path = path = type(path)(str(path), **path.storage_options)
        self._size = int(path.stat().st_size)

    def read(self, offset: int, length: int) -> bytes:
        """Bytes at an offset; fewer than `length` only at the end of the object."""
        end = min(offset + length, self._size)
        return (
            self._path.fs.cat_file(self._path.path, start=offset, end=end) if offset < end else b""
        )

    def size(self) -> int:
        """Length of the object in bytes."""
        return self._size


_CACHES: weakref.WeakSet[OpenFiles] = weakref.WeakSet()


class OpenFiles:
    """The most recently used open files; pickling keeps none of them."""

    def __init__(self, limit: int = 128) -> None:
        self._limit = limit
        self._files: OrderedDict[AnyPath, OpenFile | RemoteFile] = OrderedDict()
        self.renew_lock()
        _CACHES.add(self)

    def renew_lock(self) -> None:
        """Replace the lock: in a forked process nobody is left to release it."""
        self._lock = threading.Lock()

    def drop_files(self) -> None:
        """Forget all open files; they are opened again when they are asked for."""
        self._files.clear()

    def get(self, path: AnyPath) -> OpenFile | RemoteFile:
        """The open file at `path`; raises OSError when it cannot be opened."""
        with self._lock:
            file = self._files.get(path)
            if file is not None:
                self._files.move_to_end(path)
                return file
        file = OpenFile(path) if isinstance(path, Path) else RemoteFile(path)
        with self._lock:
            file = self._files.setdefault(path, file)
            while len(self._files) > self._limit:
                self._files.popitem(last=False)
        return file

    def __getstate__(self) -> int:
        return self._limit

    def __setstate__(self, limit: int) -> None:
        self.__init__(limit)  # type: ignore[misc]


def _start_anew() -> None:
    for cache in _CACHES:
        cache.renew_lock()
        cache.drop_files()  # the client of an object store does not outlive a fork


os.register_at_fork(after_in_child=_start_anew)
