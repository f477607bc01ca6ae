"""Hashing a database on several workers, or part by part; the hash is the same.

Blocks are hashed anywhere; their sorted digests meet here, one table at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import groupby

import numpy as np

from mlimages.errors import DatabaseError
from mlimages.execution.parts import Part
from mlimages.execution.run import Engine, run
from mlimages.labels.hashing.canonical import DIGEST_BYTES, Digests
from mlimages.labels.hashing.hashes import (
    ENCODING,
    TABLES,
    DatabaseHash,
    HashBlock,
    blocks_of,
    database_hash,
    rows_digests,
    table_hash,
)
from mlimages.part_results import PartFolder, all_parts, fingerprint
from mlimages.reports import PartReport
from mlimages.storage import write_bytes
from mlimages.store import Store

STAGE = "hash"
_UNIT = "blocks"


def hash_store(
    store: Store,
    *,
    engine: Engine = "local",
    workers: int | None = None,
    address: str | None = None,
) -> DatabaseHash:
    """Hash every table of a generation.

    Args:
        store: at that generation.
        engine, workers, address: what does the work; see `execution.run`.

    Raises:
        DatabaseError: a file is damaged, or rows refer to images that are not there.
    """
    results = run(
        partial(rows_digests, store),
        _blocks(store),
        engine=engine,
        workers=workers,
        address=address,
        ordered=True,
        description="hashing",
        unit=_UNIT,
    )
    return _joined(results)


def hash_part(
    store: Store,
    part: Part,
    *,
    engine: Engine = "local",
    workers: int | None = None,
    address: str | None = None,
) -> PartReport:
    """Hash one part's blocks and keep their digests in the database's staging folder.

    A part that was interrupted goes on with its next block.

    Raises:
        DatabaseError: a file is damaged, or rows refer to images that are not there.
        StorageError: the database cannot be written to.
    """
    blocks = [block for number, block in enumerate(_blocks(store)) if part.takes(number)]
    folder = PartFolder(store.root, STAGE, part)
    folder.begin(_inputs(store))
    left = [block for block in blocks if str(block) not in folder.done]
    results = run(
        partial(rows_digests, store),
        left,
        engine=engine,
        workers=workers,
        address=address,
        description="hashing",
        unit=_UNIT,
    )
    for block, (digests, rows) in results:
        write_bytes(folder.path / f"{block}.digests", digests.tobytes())
        folder.mark(str(block), rows)
    folder.finish()
    return PartReport(STAGE, str(part), len(blocks), len(blocks) - len(left))


def merge_hash_parts(store: Store) -> DatabaseHash:
    """The hash of a database from what its parts left, which is then removed.

    Raises:
        DatabaseError: a part is missing, or the database has changed since.
    """
    command = f"mlimages hash {store.root}"
    with all_parts(store.root, STAGE, [_inputs(store)["database"]], command) as folders:

        def results() -> Iterator[tuple[HashBlock, tuple[Digests, int]]]:
            for number, block in enumerate(_blocks(store)):
                yield block, _kept(folders[number % len(folders)], block)

        return _joined(results())


def _blocks(store: Store) -> list[HashBlock]:
    return [block for name in TABLES for block in blocks_of(store, name)]


def _inputs(store: Store) -> dict[str, str]:
    return {"database": fingerprint(store.manifest, TABLES), "encoding": str(ENCODING)}


def _joined(results: Iterator[tuple[HashBlock, tuple[Digests, int]]]) -> DatabaseHash:
    tables = {}
    for name, found in groupby(results, key=lambda entry: entry[0].table):
        tables[name] = table_hash(name, [digests for _, digests in found])[0]
    # A table about images has no block when there are none.
    return database_hash([tables.get(name) or table_hash(name, [])[0] for name in TABLES])


def _kept(folder: PartFolder, block: HashBlock) -> tuple[Digests, int]:
    path = folder.path / f"{block}.digests"
    try:
        digests = np.frombuffer(path.read_bytes(), dtype=f"S{DIGEST_BYTES}")
        return digests, int(folder.done[str(block)])
    except (OSError, ValueError, KeyError) as error:
        action = f"remove {folder.path} and run its part again"
        raise DatabaseError(path, f"cannot be read ({error})", action) from None
