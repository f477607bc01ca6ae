"""Logical hashes: two people prove that they hold the same database, whatever order built it.

Each row in its canonical encoding (`canonical`) has a digest of 256 bits. A table's hash is BLAKE2b
over the sorted digests of its rows, preceded by their number: it depends on which rows there are,
and how often, not on where they are kept. Two different tables with one hash would give a
collision of BLAKE2b, of a row or of the list; there is no algebra to attack, as there is where
digests are added (a sum of 256 bits falls to Wagner's generalized birthday attack). The price is 32
bytes of memory an image while one table is hashed.

The database's hash covers all tables of labels. Postings are tags by category, and rejects are of
one machine: both are left out. The packed bytes have a hash apart, for not everyone holds them; its
checksums are CRC-32, which finds accidents and not forgery.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlimages.labels.hashing import image_rows, vocabulary_rows
from mlimages.labels.hashing.canonical import DIGEST_BYTES, Digests, Rows, joined
from mlimages.progress import track
from mlimages.store import Store

ENCODING = 1
"""Version of the canonical encoding: hashes of different versions say nothing about each other."""
LABEL_TABLES: dict[str, Callable[..., Rows]] = {
    "categories": vocabulary_rows.category_rows,
    "hierarchy": vocabulary_rows.hierarchy_rows,
    "sources": vocabulary_rows.source_rows,
    "images": image_rows.image_rows,
    "splits": image_rows.split_rows,
    "facts": image_rows.fact_rows,
    "tags": image_rows.tag_rows,
    "cooccurrence": vocabulary_rows.pair_rows,
}
BYTES = "bytes"
TABLES = {**LABEL_TABLES, BYTES: image_rows.byte_rows}
BY_IMAGE = ("images", "splits", "facts", "tags", BYTES)
SHOWN = 10


@dataclass(frozen=True)
class TableHash:
    """The hash of a table, and how many rows (facts, tags) it covers."""

    table: str
    rows: int
    hash: str


@dataclass(frozen=True)
class DatabaseHash:
    """The hash of all labels, of each table, and of the packed bytes."""

    hash: str
    encoding: int
    tables: list[TableHash]


@dataclass(frozen=True)
class TableDifference:
    """A table that two databases hold differently.

    Attributes:
        table: its name.
        ours, theirs: the hashes.
        first: (what, how) of the first rows that differ: an image's id or a category's key, and
            "differs", "only here" or "only there".
    """

    table: str
    ours: TableHash
    theirs: TableHash
    first: list[tuple[str, str]]


@dataclass(frozen=True)
class Comparison:
    """What two databases have in common.

    Attributes:
        same: whether all tables of labels are the same.
        ours, theirs: hashes of both.
        differences: the tables that differ, the bytes included.
    """

    same: bool
    ours: DatabaseHash
    theirs: DatabaseHash
    differences: list[TableDifference] = field(default_factory=list)


@dataclass(frozen=True)
class HashBlock:
    """The unit of work: a table, or the rows of one that are about a partition of images."""

    table: str
    partition: int | None

    def __str__(self) -> str:
        return self.table if self.partition is None else f"{self.table}-{self.partition:05d}"


def blocks_of(store: Store, table: str) -> list[HashBlock]:
    """The blocks of a table; every row is of one."""
    if table not in BY_IMAGE:
        return [HashBlock(table, None)]
    return [HashBlock(table, partition) for partition in store.partitions("images")]


def rows_digests(store: Store, block: HashBlock) -> tuple[Digests, int]:
    """The sorted digests of a block's rows, and how many rows (facts, tags) they stand for.

    Raises:
        DatabaseError: a file is damaged, or rows refer to images that are not there.
    """
    if block.partition is None:
        found = list(TABLES[block.table](store))
    else:
        found = list(TABLES[block.table](store, [block.partition]))
    digests = np.concatenate([joined([]), *(part for _, part, _ in found)])
    return np.sort(digests), sum(count for _, _, count in found)


def table_hash(name: str, parts: list[tuple[Digests, int]]) -> tuple[TableHash, Digests]:
    """A table's hash from those of its blocks, in any order, and all digests, sorted.

    Args:
        name: of the table.
        parts: results of `rows_digests`; the list is emptied.
    """
    rows = sum(count for _, count in parts)
    together = np.empty(sum(len(part) for part, _ in parts), dtype=f"S{DIGEST_BYTES}")
    begin = 0
    while parts:  # let each go: all rows twice would be the most memory of all
        part, _ = parts.pop()
        together[begin : begin + len(part)] = part
        begin += len(part)
    together.sort(kind="stable")  # merges what is sorted piece by piece
    state = blake2b(f"{name} {ENCODING} {len(together)}\n".encode(), digest_size=DIGEST_BYTES)
    state.update(together.view(np.uint8).data if len(together) else b"")
    return TableHash(name, rows, state.hexdigest()), together


def database_hash(tables: list[TableHash]) -> DatabaseHash:
    """The hash of all labels from those of all tables, in the order of TABLES."""
    state = blake2b(f"database {ENCODING}\n".encode(), digest_size=DIGEST_BYTES)
    for table in tables:
        if table.table in LABEL_TABLES:
            state.update(f"{table.table} {table.hash}\n".encode())
    return DatabaseHash(state.hexdigest(), ENCODING, tables)


def compare(store: Store, other: Store) -> Comparison:
    """Compare two databases table by table, naming the first rows that differ.

    Raises:
        DatabaseError: a file is damaged, or rows refer to images that are not there.
    """
    ours, theirs, differences = [], [], []
    for name in track(TABLES, "comparing", unit="tables"):
        mine, my_digests = _hash(name, store)
        yours, your_digests = _hash(name, other)
        ours.append(mine)
        theirs.append(yours)
        if mine.hash != yours.hash:
            here = _strangers(TABLES[name](store), your_digests)
            there = _strangers(TABLES[name](other), my_digests)
            first = _describe(here, there, _held(name, store, there), _held(name, other, here))
            differences.append(TableDifference(name, mine, yours, first))
    mine_total, your_total = database_hash(ours), database_hash(theirs)
    return Comparison(mine_total.hash == your_total.hash, mine_total, your_total, differences)


def _hash(name: str, store: Store) -> tuple[TableHash, Digests]:
    """A table's hash, and the sorted digests of its rows."""
    return table_hash(name, [rows_digests(store, block) for block in blocks_of(store, name)])


def _strangers(rows: Rows, known: Digests) -> list[str]:
    """Labels of the first rows whose digest is not among `known` (ascending)."""
    found: list[str] = []
    for labels, digests, _ in rows:
        place = np.minimum(np.searchsorted(known, digests), max(len(known) - 1, 0))
        strange = known[place] != digests if len(known) else np.ones(len(digests), dtype=bool)
        found += [labels[i] for i in np.flatnonzero(strange)[: SHOWN - len(found)].tolist()]
        if len(found) >= SHOWN:
            break
    return found


def _held(name: str, store: Store, labels: list[str]) -> set[str]:
    """Which of some labels a table of the store has a row for."""
    if name not in BY_IMAGE:
        wanted = set(labels)
        return {label for held, _, _ in TABLES[name](store) for label in held if label in wanted}
    found: set[str] = set()
    for partition in store.partitions("images"):
        ids = store.table("images", ["id"], partition)["id"]
        among = pc.filter(ids, pc.is_in(ids, pa.array(labels, pa.string())))
        found |= set(among.to_pylist())
    return found


def _describe(
    here: list[str], there: list[str], mine: set[str], yours: set[str]
) -> list[tuple[str, str]]:
    """(label, how it differs), those of ours first."""
    found = {label: "differs" if label in yours else "only here" for label in here}
    for label in there:
        found.setdefault(label, "differs" if label in mine else "only there")
    return list(found.items())[:SHOWN]
