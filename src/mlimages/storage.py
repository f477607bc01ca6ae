"""Writing files so that a crash, Ctrl-C or a full disk leaves the old state, whole.

Every output of the project goes through `atomic_file` or `atomic_directory`: written aside, synced,
then renamed. A half-written temporary is removed on failure; one left by SIGKILL ends in `.partial`
and is removed by the next writer of the same path.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlimages.errors import InputError, StorageError

PARTIAL = ".partial"


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an operating system's write error into one line that names the place and the way out."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
        if full:
            free = _free_bytes(path)
            raise StorageError(
                path, f"no space left ({free:,} bytes free)", "free some space and run again"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StorageError(
                path, "not writable", "choose another place or change its permissions"
            ) from error
        if error.errno in (
            errno.EIO,
            errno.EEXIST,
            errno.ENAMETOOLONG,
            errno.ENOTDIR,
            errno.EISDIR,
        ):
            cause = f"cannot write ({error.strerror})"
            raise StorageError(path, cause, "choose another place") from error
        raise


@contextmanager
def atomic_file(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success sync it and rename it into place.

    Raises:
        StorageError: the disk is full or not writable; `path` keeps its old content.
    """
    path = _named(path)
    temporary = path.with_name(path.name + PARTIAL)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            sync(temporary)
            os.replace(temporary, path)
            sync(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextmanager
def atomic_directory(path: Path | str) -> Iterator[Path]:
    """Yield a temporary directory beside `path`; on success sync it and rename it into place.

    `path` must not exist. Files are synced by this function, once, at the end.

    Raises:
        InputError: `path` exists.
        StorageError: the disk is full or not writable.
    """
    path = _named(path)
    temporary = path.with_name(path.name + PARTIAL)
    with storage_errors(path):
        if path.exists():
            raise InputError(path, "exists already", "choose a new folder")
        if temporary.exists():
            shutil.rmtree(temporary)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            for folder, _, names in os.walk(temporary):
                for name in names:
                    sync(Path(folder, name))
                sync(Path(folder))
            os.replace(temporary, path)
            sync(path.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def write_text(path: Path | str, text: str) -> None:
    """Write a text file atomically (UTF-8)."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write a binary file atomically."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


def sync(path: Path) -> None:
    """fsync a file or a directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _named(path: Path | str) -> Path:
    path = Path(path)
    if not path.name:
        raise InputError(repr(str(path)), "names no file", "give the output a name")
    return path


def _free_bytes(path: Path) -> int:
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free
