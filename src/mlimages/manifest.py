"""`database.json`: the files of a generation, with what was done to make them."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlimages.errors import DatabaseError

if TYPE_CHECKING:
    from mlimages.storage import AnyPath

FORMAT_VERSION = 3
MANIFEST = "database.json"
PARTITION_ROWS = 1 << 20
"""Images of a partition, unless a database was made with another number."""


@dataclass(frozen=True)
class StoredFile:
    """A file of one generation; `path` is relative to the database."""

    path: str
    rows: int
    size: int
    sha256: str
    partition: int | None = None  # of a partitioned table: all its rows are of this partition


@dataclass
class Manifest:
    """What `database.json` holds."""

    generation: int = 0
    format_version: int = FORMAT_VERSION
    files: dict[str, list[StoredFile]] = field(default_factory=dict)  # by table; and "shards"
    info: dict[str, Any] = field(default_factory=dict)  # inputs, rules, counts
    retired: dict[str, float] = field(default_factory=dict)  # replaced files, and since when
    partition_rows: int = PARTITION_ROWS

    def to_json(self) -> str:
        """The text of `database.json`."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def read(cls, path: AnyPath) -> Manifest:
        """Parse `database.json`; raises DatabaseError when it is damaged or of another version."""
        try:
            content = json.loads(path.read_bytes())
            version = content["format_version"]
            if version != FORMAT_VERSION:
                raise DatabaseError(
                    path,
                    f"format version {version}, this program reads {FORMAT_VERSION}",
                    "use the version of mlimages that wrote it",
                )
            files = {
                table: [StoredFile(**entry) for entry in entries]
                for table, entries in content["files"].items()
            }
            for entry in (entry for entries in files.values() for entry in entries):
                if os.path.isabs(entry.path) or ".." in Path(entry.path).parts:
                    raise ValueError(f"names a file outside, {entry.path}")
            retired = {
                str(name): float(since) for name, since in content.get("retired", {}).items()
            }
            partition_rows = int(content.get("partition_rows", PARTITION_ROWS))
            if partition_rows < 1:
                raise ValueError(f"partitions of {partition_rows} rows")
            generation, info = int(content["generation"]), dict(content["info"])
            return cls(generation, version, files, info, retired, partition_rows)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DatabaseError(
                path, f"damaged ({error})", "restore it from a copy or build the database again"
            ) from None
