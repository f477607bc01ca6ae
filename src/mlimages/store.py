"""A directory of generations: the commit, the writer's lock and the files of a database.

`database.json` names every file of the current generation with size and checksum. A command writes
new files, syncs them, and then replaces `database.json`: that one rename is the commit. Files are
never overwritten, so a reader that opened the old generation keeps reading it: replaced files stay
for RETIRED_FILES_STAY seconds. Then, as at once with what a killed command left, the next commit
sweeps them. Only files with names that this module gives are ever removed.

Tables of `schemas.PARTITIONED` are cut by image: partition k holds the rows from k * partition_rows
up to the next. What is derived of one partition needs no other in memory.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlimages.errors import DatabaseError
from mlimages.manifest import FORMAT_VERSION, MANIFEST, PARTITION_ROWS, Manifest, StoredFile
from mlimages.schemas import PARTITIONED, TABLES, WRITE_OPTIONS
from mlimages.storage import (
    PARTIAL,
    atomic_file,
    located,
    service_errors,
    sha256_file,
    storage_errors,
    write_text,
)
from mlimages.writer_lock import LOCK, WriterLock

if TYPE_CHECKING:
    from mlimages.storage import AnyPath

RETIRED_FILES_STAY = 3600.0
_FIRST = re.compile(r"[-/]000001-")
_WHOLE = "|".join(name for name in TABLES if name not in PARTITIONED)
_CUT = "|".join(PARTITIONED)
_OWN_NAME = re.compile(
    rf"({_WHOLE})-\d{{6}}-\d{{3,}}\.parquet|({_CUT})/\d{{6}}-\d{{5}}-\d{{3,}}\.parquet"
    r"|shards/\d{6}\.tar"
)


class Store:
    """One generation of a database directory, open for reading."""

    def __init__(self, root: AnyPath, manifest: Manifest) -> None:
        self.root, self.manifest = root, manifest
        self.lock: WriterLock | None = None  # while this store writes

    @classmethod
    def open(cls, root: AnyPath | str) -> Store:
        """Open the current generation.

        Raises:
            DatabaseError: there is no database at `root`, or it is damaged.
            StorageError: the service that holds it does not answer.
        """
        root = located(root)
        path = root / MANIFEST
        with service_errors(root):
            if not root.is_dir():
                raise DatabaseError(root, "no such folder", "create it with: mlimages import")
            if not path.is_file():
                cause = f"not a database ({MANIFEST} is missing)"
                raise DatabaseError(root, cause, "create one with: mlimages import")
            return cls(root, Manifest.read(path))

    @classmethod
    def exists(cls, root: AnyPath | str) -> bool:
        """Whether there is a database at `root`, whole or damaged."""
        root = located(root)
        with service_errors(root):
            return (root / MANIFEST).exists()

    @classmethod
    def create(cls, root: AnyPath | str, partition_rows: int = PARTITION_ROWS) -> Store:
        """Make an empty generation 0 in memory; the first commit creates `database.json`.

        Args:
            root: a new or empty folder.
            partition_rows: images of a partition.

        Raises:
            DatabaseError: `root` is a file, or a folder that holds something else.
        """
        root = located(root)
        with service_errors(root):
            if root.exists() and not root.is_dir():
                raise DatabaseError(root, "is a file", "name a new folder")
            if root.is_dir() and (root / MANIFEST).exists():
                raise DatabaseError(root, "is a database already", "open it, or choose a new one")
            if root.is_dir() and not _is_free(root):
                raise DatabaseError(root, "is not empty", "choose a new folder")
        return cls(root, Manifest(partition_rows=partition_rows))

    def refresh(self) -> None:
        """Move to the newest generation."""
        self.manifest = Store.open(self.root).manifest

    def partitions(self, name: str = "images") -> list[int]:
        """Numbers of the partitions of which a table of `schemas.PARTITIONED` has rows."""
        return sorted({entry.partition or 0 for entry in self.manifest.files.get(name, [])})

    def entries(self, name: str, partition: int | None = None) -> list[StoredFile]:
        """Files of a table, or of one partition of it, partition by partition, oldest first."""
        found = self.manifest.files.get(name, [])
        if partition is not None:
            return [entry for entry in found if entry.partition == partition]
        return sorted(found, key=lambda entry: entry.partition or 0)

    def num_rows(self, name: str) -> int:
        """Rows of a table, without opening a file."""
        return sum(entry.rows for entry in self.manifest.files.get(name, []))

    def table(
        self,
        name: str,
        columns: list[str] | None = None,
        partition: int | None = None,
        where: pc.Expression | None = None,
    ) -> pa.Table:
        """Read a table, or one partition of it (empty when nothing was written yet).

        Args:
            name: of the table.
            columns: those to read; all by default.
            partition: the one to read; all by default.
            where: only the rows for which this holds; most of the others are not even decoded.

        Raises:
            DatabaseError: a file is missing or damaged.
        """
        schema = TABLES[name]
        parts = []
        for entry in self.entries(name, partition):
            path = self.root / entry.path
            try:
                if path.stat().st_size != entry.size:
                    raise DatabaseError(path, "damaged (size differs)", "run: mlimages check")
                local = isinstance(path, Path)
                filesystem = None if local else path.fs  # type: ignore[union-attr]
                place = path if local else path.path  # type: ignore[union-attr]
                parts.append(
                    pq.read_table(
                        place, columns=columns, schema=schema, filters=where, filesystem=filesystem
                    )
                )
            except (OSError, pa.ArrowException) as error:
                raise DatabaseError(
                    path, f"cannot be read ({error})", "run: mlimages check"
                ) from None
        if parts:
            return pa.concat_tables(parts)
        empty = schema.empty_table()
        return empty.select(columns) if columns is not None else empty

    def damaged_files(self) -> list[tuple[str, str]]:
        """Every file whose size or checksum differs from the manifest, with the difference."""
        damaged = []
        for entry in (entry for entries in self.manifest.files.values() for entry in entries):
            path = self.root / entry.path
            if not path.is_file():
                damaged.append((entry.path, "missing"))
            elif path.stat().st_size != entry.size:
                damaged.append((entry.path, f"{path.stat().st_size} bytes, not {entry.size}"))
            elif sha256_file(path) != entry.sha256:
                damaged.append((entry.path, "checksum differs"))
        return damaged

    @contextmanager
    def writing(self, purpose: str) -> Iterator[None]:
        """Hold the writer's lock over several commits; a command of one commit needs only that.

        Raises:
            DatabaseError: another writer holds the lock.
            StorageError: the disk is full or not writable.
        """
        if self.lock is not None:
            yield
            return
        with storage_errors(self.root):
            if isinstance(self.root, Path):
                self.root.mkdir(parents=True, exist_ok=True)
            with WriterLock(self.root, purpose) as lock:
                if (self.root / MANIFEST).exists():
                    if self.manifest.generation == 0:
                        raise DatabaseError(self.root, "is a database already", "open it")
                    self.refresh()
                _sweep(self.root, self.manifest)
                self.lock = lock
                try:
                    yield
                finally:
                    self.lock = None

    @contextmanager
    def commit(self, purpose: str) -> Iterator[Commit]:
        """Write a new generation: everything done inside the block becomes visible at its end.

        An exception inside leaves the old generation, and none of the new files. Raises as
        `writing` does.
        """
        with self.writing(purpose):
            commit = Commit(self)
            try:
                yield commit
                commit.publish()
            except BaseException:
                commit.abandon()
                raise


class Commit:
    """The files of a generation in the making; see `Store.commit`.

    Several threads may append and replace at once, each its own table or partition.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        old = store.manifest
        self._next = Manifest(
            old.generation + 1,
            FORMAT_VERSION,
            {name: list(entries) for name, entries in old.files.items()},
            json.loads(json.dumps(old.info)),
            dict(old.retired),
            old.partition_rows,
        )
        self._written: list[AnyPath] = []
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()  # files written, by what their names begin with

    @property
    def root(self) -> AnyPath:
        """The directory of the database."""
        return self._store.root

    @property
    def info(self) -> dict[str, Any]:
        """Free-form JSON of the new generation: inputs, rules, counts. Change it in place."""
        return self._next.info

    @property
    def manifest(self) -> Manifest:
        """The manifest of the new generation, as far as it is written."""
        return self._next

    def table(
        self, name: str, columns: list[str] | None = None, partition: int | None = None
    ) -> pa.Table:
        """A table, or one partition of it, as it will be after this commit."""
        return Store(self._store.root, self._next).table(name, columns, partition)

    def replace(self, name: str, table: pa.Table, partition: int | None = None) -> None:
        """Replace all rows of a table, or of one partition of it."""
        with self._lock:
            kept = self._next.files.get(name, []) if partition is not None else []
            self._next.files[name] = [entry for entry in kept if entry.partition != partition]
        self.append(name, table, partition)

    def append(self, name: str, table: pa.Table, partition: int | None = None) -> None:
        """Add rows to a table as new files: one, or one a partition that the rows are of.

        Args:
            name: of the table.
            table: its rows, in any order.
            partition: the one that all rows are of, when that is known.
        """
        parts: list[tuple[int | None, pa.Table]] = [(partition, table)]
        if name in PARTITIONED and partition is None:
            parts = _cut(table, self._next.partition_rows)
        written = [self._write(name, part, number) for number, part in parts if part.num_rows]
        with self._lock:
            entries = [*self._next.files.get(name, []), *written]
            # Threads end in any order; files of one partition stay oldest first.
            self._next.files[name] = sorted(entries, key=lambda entry: entry.partition or 0)

    def add_shard(self, path: AnyPath, images: int, size: int, sha256: str) -> None:
        """Take a finished shard, already at its place under `shards/`, into the generation."""
        self._written.append(path)
        entry = StoredFile(f"shards/{path.name}", images, size, sha256)
        self._next.files.setdefault("shards", []).append(entry)

    def publish(self) -> None:
        """Replace `database.json`: the commit itself."""
        now = time.time()
        for path in _paths(self._store.manifest) - _paths(self._next):
            self._next.retired[path] = now
        if self._store.lock is not None:
            self._store.lock.verify()
        write_text(self._store.root / MANIFEST, self._next.to_json())
        self._store.manifest = self._next
        self._written.clear()

    def abandon(self) -> None:
        """Remove what was written for a generation that will not be."""
        manifest = self._store.root / MANIFEST
        if manifest.exists() and Manifest.read(manifest).generation == self._next.generation:
            return  # interrupted after the rename: the generation is there
        for path in self._written:
            path.unlink(missing_ok=True)
        self._written.clear()

    def _write(self, name: str, table: pa.Table, partition: int | None) -> StoredFile:
        generation = f"{self._next.generation:06d}"
        cut = f"-{generation}" if partition is None else f"/{generation}-{partition:05d}"
        with self._lock:
            relative = f"{name}{cut}-{self._counts[name + cut]:03d}.parquet"
            self._counts[name + cut] += 1
        path = self._store.root / relative
        with atomic_file(path) as temporary:
            self._written.append(path)
            options = WRITE_OPTIONS.get(name, {})
            table = table.cast(TABLES[name])
            with open(temporary, "wb") as file:
                pq.write_table(table, file, compression="zstd", compression_level=1, **options)
            size, sha256 = temporary.stat().st_size, sha256_file(temporary)
        return StoredFile(relative, table.num_rows, size, sha256, partition)


def _cut(table: pa.Table, partition_rows: int) -> list[tuple[int | None, pa.Table]]:
    """The rows of each partition, in their order."""
    numbers = table["row"].to_numpy() // partition_rows
    found = np.unique(numbers)
    if len(found) == 1:  # nothing to copy
        return [(int(found[0]), table)]
    return [(int(number), table.filter(pa.array(numbers == number))) for number in found]


def _paths(manifest: Manifest) -> set[str]:
    return {entry.path for entries in manifest.files.values() for entry in entries}


def _own_files(root: AnyPath) -> Iterator[tuple[str, AnyPath]]:
    """Files whose names this module gives, whole or half-written, by name within the database."""
    for path in root.glob("*"):
        if path.name == MANIFEST or path.name == MANIFEST + PARTIAL or _is_own(path.name):
            yield path.name, path
    for folder in (*PARTITIONED, "shards"):
        for path in (root / folder).glob("*"):
            if _is_own(f"{folder}/{path.name}"):
                yield f"{folder}/{path.name}", path


def _is_own(name: str) -> bool:
    return _OWN_NAME.fullmatch(name.removesuffix(PARTIAL)) is not None


def _is_free(root: AnyPath) -> bool:
    """Whether a folder without a manifest is empty, or was left by a killed first commit.

    Where a first commit was killed, a database that lost its manifest would look the same but for
    its lock file: the lock is there in both, so more than a first generation is left alone.
    """
    own = {path for _, path in _own_files(root)}
    others = {path for path in root.rglob("*") if path.is_file()} - own - {root / LOCK}
    first = all(_FIRST.search(name) or name.endswith(PARTIAL) for name, _ in _own_files(root))
    return not others and first and (not own or (root / LOCK).exists())


def _sweep(root: AnyPath, manifest: Manifest) -> None:
    """Remove half-written files, those of killed commands, and what was replaced long ago."""
    kept = _paths(manifest) | {MANIFEST}
    now = time.time()
    for name, since in list(manifest.retired.items()):
        if 0 <= now - since < RETIRED_FILES_STAY:
            kept.add(name)
        else:
            del manifest.retired[name]
    for name, path in _own_files(root):
        if name not in kept:
            path.unlink(missing_ok=True)
