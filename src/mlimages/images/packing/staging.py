"""Sealed shards on their way into a database.

Any worker, here or elsewhere, writes sealed tars under DB/staging/ and describes each by a
`SealedShard`. Whoever holds the writer's lock adopts them: a shard gets its number, a hard link (in
an object store: a copy made by the store) under DB/shards/, and its rows in the index, all in the
commit that makes it visible. A shard that was adopted before is recognised by its checksum.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mlimages.errors import DatabaseError
from mlimages.images.packing.writer import ShardWriter, shard_name
from mlimages.schemas import REJECTS, SHARD_INDEX
from mlimages.storage import PARTIAL, atomic_file, storage_errors, sync

if TYPE_CHECKING:
    from mlimages.images.preparation import Verified
    from mlimages.storage import AnyPath
    from mlimages.store import Commit

STAGING = "staging"
_BUFFER = 1 << 20
NO_BLOCK = -1
"""Block of a shard whose images came in the order in which they arrived."""
_SUFFIX, _INDEX, _REJECTS = ".tar", ".index.parquet", ".rejects.parquet"


@dataclass(frozen=True)
class SealedShard:
    """A tar that is complete and synced, and what was rejected since the one before.

    Attributes:
        path: in a staging folder; None when only rejects are left.
        block: that its images are of, or NO_BLOCK.
        index: schemas.SHARD_INDEX of its images, in the order of the tar; `shard` is UNNUMBERED.
        rejects: schemas.REJECTS.
        size: of the tar in bytes.
        sha256: of the tar, hexadecimal.
    """

    path: AnyPath | None
    block: int
    index: pa.Table
    rejects: pa.Table
    size: int = 0
    sha256: str = ""

    def save(self, directory: AnyPath) -> str:
        """Describe the shard beside it; returns the name by which `load_shard` finds it again."""
        name = self.path.name if self.path else f"{_unique(self.block)}{_SUFFIX}"
        about = {"block": self.block, "size": self.size, "sha256": self.sha256}
        about["path"] = name if self.path else ""
        stem = name.removesuffix(_SUFFIX)
        _write_table(self.rejects, directory / f"{stem}{_REJECTS}")
        index = self.index.replace_schema_metadata({"shard": json.dumps(about)})
        _write_table(index, directory / f"{stem}{_INDEX}")
        return stem


def load_shard(directory: AnyPath, name: str) -> SealedShard:
    """The shard that `SealedShard.save` described under a name in a folder.

    Raises:
        DatabaseError: the description or its tar is missing or damaged.
    """
    path = directory / f"{name}{_INDEX}"
    try:
        index = _read_table(path)
        about = json.loads((index.schema.metadata or {})[b"shard"])
        rejects = _read_table(directory / f"{name}{_REJECTS}")
        tar = directory / about["path"] if about["path"] else None
        if tar is not None and tar.stat().st_size != about["size"]:
            raise ValueError("its tar was cut")
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        action = f"remove {directory} and run its part again"
        raise DatabaseError(path, f"missing or damaged ({error})", action) from None
    return SealedShard(
        *(tar, about["block"], index.cast(SHARD_INDEX), rejects.cast(REJECTS)),
        *(about["size"], about["sha256"]),
    )


class StagedShard:
    """A shard in the making: a context manager that leaves nothing unless it was sealed."""

    def __init__(self, directory: AnyPath, block: int = NO_BLOCK) -> None:
        self.path = directory / f"{_unique(block)}{_SUFFIX}"
        self.block = block
        self._stack = ExitStack()

    def __enter__(self) -> StagedShard:
        temporary = self._stack.enter_context(atomic_file(self.path))
        file: BinaryIO = open(temporary, "wb", buffering=_BUFFER)
        self._file = self._stack.enter_context(file)
        self.writer = ShardWriter(self._file)
        self._stack.callback(self.writer.abandon)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        if kind is None:  # left without sealing
            kind, error = _UnsealedError, _UnsealedError()
        try:
            return self._stack.__exit__(kind, error, trace)
        except _UnsealedError:
            return None

    def add(self, row: int, image: str, verified: Verified) -> None:
        """Append an image; see `ShardWriter.add`."""
        self.writer.add(row, image, verified)

    def seal(self, rejects: pa.Table | None = None) -> SealedShard:
        """Finish, sync and name the tar.

        Raises:
            StorageError: the disk is full or not writable.
        """
        with storage_errors(self.path):
            try:
                self.writer.close()
                self._file.close()
            except BaseException as error:
                self.__exit__(type(error), error, error.__traceback__)
                raise
            self._stack.close()
        nothing = REJECTS.empty_table()
        return SealedShard(
            *(self.path, self.block, self.writer.index()),
            *(nothing if rejects is None else rejects, self.writer.size, self.writer.sha256()),
        )


class _UnsealedError(Exception):
    """Makes `atomic_file` remove what was written."""


def adopt(commit: Commit, shard: SealedShard) -> int | None:
    """Take a sealed shard into the generation that is being written.

    Call `discard` once the commit is done.

    Args:
        commit: of a store whose lock is held.
        shard: under the staging folder of the same database.

    Returns:
        the number of the shard; None when it is there already, or holds no image.

    Raises:
        DatabaseError: the tar is not in the staging folder any more.
        StorageError: the disk is full or not writable.
    """
    known = {entry.sha256 for entry in commit.manifest.files.get("shards", [])}
    number = None
    if shard.path is not None and shard.sha256 not in known:
        number = next_number(commit)
        target = commit.root / "shards" / shard_name(number)
        with storage_errors(target):
            _place(shard.path, target)
        commit.add_shard(target, shard.index.num_rows, shard.size, shard.sha256)
        place = shard.index.schema.get_field_index("shard")
        numbers = pa.array([number] * shard.index.num_rows, pa.int32())
        commit.append("shards/index", shard.index.set_column(place, "shard", numbers))
    if shard.path is None or number is not None:
        commit.append("rejects", shard.rejects)
    return number


def discard(shards: Iterable[SealedShard]) -> None:
    """Remove the staging files of shards, once they are committed or not wanted."""
    for shard in shards:
        if shard.path is not None:
            stem = shard.path.name.removesuffix(_SUFFIX)
            for suffix in (_SUFFIX, _INDEX, _REJECTS):
                shard.path.with_name(stem + suffix).unlink(missing_ok=True)


def sweep(root: AnyPath) -> None:
    """Remove what killed commands left directly in the staging folder; the lock must be held.

    What the parts of a divided run keep in folders of their own stays.
    """
    for path in (root / STAGING).glob("*"):
        if path.name.removesuffix(PARTIAL).endswith((_SUFFIX, ".parquet")):
            path.unlink(missing_ok=True)


def drop_rows(commit: Commit, rows: NDArray[np.integer]) -> None:
    """Take images out of the index."""
    size = commit.manifest.partition_rows
    for partition in np.unique(rows // size).tolist():
        table = commit.table("shards/index", partition=partition)
        stays = ~np.isin(table["row"].to_numpy(), rows)
        commit.replace("shards/index", table.filter(pa.array(stays)), partition)


def drop_shards(commit: Commit, numbers: list[int]) -> None:
    """Take shards out of the generation."""
    names = {f"shards/{shard_name(number)}" for number in numbers}
    files = commit.manifest.files
    files["shards"] = [entry for entry in files.get("shards", []) if entry.path not in names]


def next_number(commit: Commit) -> int:
    """The number of the next shard: behind all that readers may still hold open."""
    manifest = commit.manifest
    names = [entry.path for entry in manifest.files.get("shards", [])]
    names += [name for name in manifest.retired if name.endswith(_SUFFIX)]
    return 1 + max((int(Path(name).stem) for name in names), default=-1)


def _unique(block: int) -> str:
    return f"{max(block, 0):06d}-{uuid.uuid4().hex}"


def _place(source: AnyPath, target: AnyPath) -> None:
    target.unlink(missing_ok=True)  # of a commit that never came to be
    try:
        if not isinstance(target, Path) or not isinstance(source, Path):
            target.fs.cp_file(source.path, target.path)  # type: ignore[union-attr]
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EXDEV, errno.ENOTSUP, errno.EMLINK):
                raise
            shutil.copyfile(source, target)
            sync(target)
        sync(target.parent)
    except FileNotFoundError:
        raise DatabaseError(source, "is no longer there", "run the command again") from None


def _write_table(table: pa.Table, path: AnyPath) -> None:
    with atomic_file(path) as temporary, open(temporary, "wb") as file:
        pq.write_table(table, file, compression="zstd", compression_level=1)


def _read_table(path: AnyPath) -> pa.Table:
    with path.open("rb") as file:
        return pq.read_table(pa.BufferReader(file.read()))
