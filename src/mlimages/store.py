"""A directory of generations: the commit, the writer's lock and the files of a database.

`database.json` names every file of the current generation with size and checksum. A command writes
new files, syncs them, and then replaces `database.json`: that one rename is the commit. Files are
never overwritten, so a reader that opened the old generation keeps reading it; files that no
generation names (older ones, or those of a killed command) are swept by the next commit.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mlimages.errors import DatabaseError
from mlimages.schemas import TABLES
from mlimages.storage import PARTIAL, atomic_file, sha256_file, storage_errors, write_text

FORMAT_VERSION = 1
MANIFEST = "database.json"
LOCK = ".lock"


@dataclass(frozen=True)
class StoredFile:
    """A file of one generation; `path` is relative to the database."""

    path: str
    rows: int
    size: int
    sha256: str


@dataclass
class Manifest:
    """What `database.json` holds."""

    generation: int = 0
    format_version: int = FORMAT_VERSION
    files: dict[str, list[StoredFile]] = field(default_factory=dict)  # by table; and "shards"
    info: dict[str, Any] = field(default_factory=dict)  # inputs, rules, counts

    def to_json(self) -> str:
        """The text of `database.json`."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str, path: Path) -> Manifest:
        """Parse `database.json`; raises DatabaseError when it is damaged or of another version."""
        try:
            content = json.loads(text)
            version = content["format_version"]
            files = {
                table: [StoredFile(**entry) for entry in entries]
                for table, entries in content["files"].items()
            }
            manifest = cls(int(content["generation"]), version, files, dict(content["info"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DatabaseError(
                path, f"damaged ({error})", "restore it from a copy or build the database again"
            ) from None
        if version != FORMAT_VERSION:
            raise DatabaseError(
                path,
                f"format version {version}, this program reads {FORMAT_VERSION}",
                "use the version of mlimages that wrote it",
            )
        for entry in (entry for entries in files.values() for entry in entries):
            if os.path.isabs(entry.path) or ".." in Path(entry.path).parts:
                raise DatabaseError(path, f"names a file outside ({entry.path})", "do not use it")
        return manifest


class Store:
    """One generation of a database directory, open for reading."""

    def __init__(self, root: Path, manifest: Manifest) -> None:
        self.root, self.manifest = root, manifest
        self._writing = False

    @classmethod
    def open(cls, root: Path | str) -> Store:
        """Open the current generation.

        Raises:
            DatabaseError: there is no database at `root`, or it is damaged.
        """
        root = Path(root)
        path = root / MANIFEST
        if not root.is_dir():
            raise DatabaseError(root, "no such folder", "create it with: mlimages import")
        if not path.is_file():
            raise DatabaseError(
                root, f"not a database ({MANIFEST} is missing)", "create one with: mlimages import"
            )
        return cls(root, Manifest.from_json(path.read_text(encoding="utf-8"), path))

    @classmethod
    def create(cls, root: Path | str) -> Store:
        """Make an empty generation 0 in memory; the first commit creates `database.json`.

        Raises:
            DatabaseError: `root` is a file, or a folder that holds something else.
        """
        root = Path(root)
        if root.exists() and not root.is_dir():
            raise DatabaseError(root, "is a file", "name a new folder")
        if root.is_dir() and (root / MANIFEST).exists():
            raise DatabaseError(root, "is a database already", "open it, or choose a new folder")
        if root.is_dir() and not _is_ours(root):
            raise DatabaseError(root, "is not empty", "choose a new folder")
        return cls(root, Manifest())

    def refresh(self) -> None:
        """Move to the newest generation."""
        self.manifest = Store.open(self.root).manifest

    def table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Read a table (empty when nothing was written yet).

        Raises:
            DatabaseError: a file is missing or damaged.
        """
        schema = TABLES[name]
        parts = []
        for entry in self.manifest.files.get(name, []):
            path = self.root / entry.path
            try:
                if path.stat().st_size != entry.size:
                    raise DatabaseError(path, "damaged (size differs)", "run: mlimages check")
                parts.append(pq.read_table(path, columns=columns, schema=schema))
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
        if self._writing:
            yield
            return
        with storage_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            with _writer_lock(self.root, purpose):
                if (self.root / MANIFEST).exists():
                    self.refresh()
                _sweep(self.root, self.manifest)
                self._writing = True
                try:
                    yield
                finally:
                    self._writing = False

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
    """The files of a generation in the making; see `Store.commit`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        old = store.manifest
        self._next = Manifest(
            old.generation + 1,
            FORMAT_VERSION,
            {name: list(entries) for name, entries in old.files.items()},
            json.loads(json.dumps(old.info)),
        )
        self._written: list[Path] = []

    @property
    def info(self) -> dict[str, Any]:
        """Free-form JSON of the new generation: inputs, rules, counts. Change it in place."""
        return self._next.info

    def table(self, name: str) -> pa.Table:
        """A table as it will be after this commit."""
        return Store(self._store.root, self._next).table(name)

    def replace(self, name: str, table: pa.Table) -> None:
        """Replace all rows of a table."""
        self._next.files[name] = [self._write(name, table, 0)] if table.num_rows else []

    def append(self, name: str, table: pa.Table) -> None:
        """Add rows to a table as a new file."""
        if table.num_rows:
            entries = self._next.files.setdefault(name, [])
            entries.append(self._write(name, table, len(entries)))

    def add_shard(self, path: Path, images: int) -> None:
        """Take a finished shard, already at its place under `shards/`, into the generation."""
        self._written.append(path)
        relative = path.relative_to(self._store.root).as_posix()
        size = path.stat().st_size
        entry = StoredFile(relative, images, size, sha256_file(path))
        self._next.files.setdefault("shards", []).append(entry)

    def publish(self) -> None:
        """Replace `database.json`: the commit itself."""
        write_text(self._store.root / MANIFEST, self._next.to_json())
        self._store.manifest = self._next
        self._written.clear()

    def abandon(self) -> None:
        """Remove what was written for a generation that will not be."""
        for path in self._written:
            path.unlink(missing_ok=True)
        self._written.clear()

    def _write(self, name: str, table: pa.Table, part: int) -> StoredFile:
        relative = f"{name}-{self._next.generation:06d}-{part:03d}.parquet"
        path = self._store.root / relative
        with atomic_file(path) as temporary, open(temporary, "wb") as file:
            self._written.append(path)
            pq.write_table(table.cast(TABLES[name]), file, compression="zstd")
        return StoredFile(relative, table.num_rows, path.stat().st_size, sha256_file(path))


def _is_ours(root: Path) -> bool:
    """Whether a folder without a manifest is empty or left by a killed first commit."""
    suffixes = (".parquet", PARTIAL, ".tar")
    return all(
        path.is_dir() or path.name == LOCK or path.name.endswith(suffixes)
        for path in root.rglob("*")
    )


def _sweep(root: Path, manifest: Manifest) -> None:
    """Remove the files of older generations and of killed commands."""
    named = {root / entry.path for entries in manifest.files.values() for entry in entries}
    for path in (*root.rglob("*.parquet"), *root.glob("shards/*.tar"), *root.rglob("*" + PARTIAL)):
        if path not in named and path.is_file():
            path.unlink(missing_ok=True)


@contextmanager
def _writer_lock(root: Path, purpose: str) -> Iterator[None]:
    """Hold the database's only writer lock; the operating system drops it when the owner dies."""
    path = root / LOCK
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "another process"
            raise DatabaseError(root, f"locked by {owner}", "wait until it has ended") from None
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {os.uname().nodename} ({purpose})")
        file.flush()
        yield
        file.seek(0)
        file.truncate()
