"""Writing files so that a crash, Ctrl-C or a full disk leaves the old state, whole.

Every output of the project goes through `atomic_file` or `atomic_directory`: written aside, synced,
then renamed. A half-written temporary is removed on failure; one left by SIGKILL ends in `.partial`
and is removed by the next writer of the same path. In an object store, where nothing is renamed, a
file is written on this machine and then put into its place at once.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mlimages.errors import InputError, StorageError

if TYPE_CHECKING:
    from upath import UPath

    AnyPath = Path | UPath  # on this machine, or in an object store
    T = TypeVar("T", Path, UPath, AnyPath)

PARTIAL = ".partial"
SYNCED_AT_ONCE = 16
_CLIENTS = frozenset(("botocore", "aiobotocore", "aiohttp", "gcsfs", "google", "adlfs", "azure"))


def located(place: str | AnyPath) -> AnyPath:
    """The path of a place: on this machine, or behind a URL that fsspec opens, such as `s3://`.

    Raises:
        InputError: nothing that is installed opens such a URL.
    """
    if not isinstance(place, str):
        return place
    if "://" not in place:
        return Path(place)
    from upath import UPath

    try:
        # What other machines write has to be seen at once, so no listing is kept.
        path = UPath(place.rstrip("/"), use_listings_cache=False)
        _ = path.fs
    except (ValueError, ImportError) as error:
        cause = " ".join(str(error).split())
        raise InputError(
            place, f"cannot be opened ({cause})", "install the fsspec package of its scheme"
        ) from None
    return path


def everywhere(place: AnyPath) -> str:
    """The name of a place for a process that works in another folder: a whole path, or a URL."""
    return str(place.absolute() if isinstance(place, Path) else place)


@contextmanager
def service_errors(place: AnyPath) -> Iterator[None]:
    """Turn what the client of a storage service raises into one line that names the place."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _CLIENTS:
            raise
        cause = " ".join(str(error).split()) or type(error).__name__
        raise StorageError(
            place, f"the storage service failed ({cause})", "check its address and your credentials"
        ) from error


@contextmanager
def storage_errors(path: AnyPath) -> Iterator[None]:
    """Turn a system's write error into one line that names the place and the way out."""
    try:
        with service_errors(path):
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
def atomic_file(path: AnyPath | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success sync it and rename it into place.

    For a `path` in an object store the temporary one is on this machine, and is put there.

    Raises:
        StorageError: the disk is full or not writable; `path` keeps its old content.
    """
    path = _named(located(path))
    if not isinstance(path, Path):
        with storage_errors(path), tempfile.TemporaryDirectory(prefix="mlimages-") as folder:
            temporary = Path(folder, path.name)
            yield temporary
            path.fs.put_file(str(temporary), path.path)
        return
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
    path = _named(Path(path))
    temporary = path.with_name(path.name + PARTIAL)
    with storage_errors(path):
        if path.exists():
            raise InputError(path, "exists already", "choose a new folder")
        if temporary.exists():
            shutil.rmtree(temporary)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            _sync_below(temporary)
            os.replace(temporary, path)
            sync(path.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def write_text(path: AnyPath | str, text: str) -> None:
    """Write a text file atomically (UTF-8)."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: AnyPath | str, data: bytes) -> None:
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


def _sync_below(folder: Path) -> None:
    """Sync all files of a folder, several at once: a disk writes many in the time of one."""
    folders, files = [], []
    for parent, _, names in os.walk(folder):
        folders.append(Path(parent))
        files += [Path(parent, name) for name in names]
    with ThreadPoolExecutor(SYNCED_AT_ONCE) as pool:
        for paths in (files, folders):
            list(pool.map(sync, paths))


def sha256_file(path: AnyPath) -> str:
    """SHA-256 of a file's bytes, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def _named(path: T) -> T:
    if not path.name:
        raise InputError(repr(str(path)), "names no file", "give the output a name")
    return path


def _free_bytes(path: AnyPath) -> int:
    if not isinstance(path, Path):
        path = Path(tempfile.gettempdir())
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free
