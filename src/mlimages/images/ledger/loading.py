"""Reading a ledger: the table, then over it what the journal says since the last commit."""

from __future__ import annotations

from array import array
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.images.ledger.candidates import candidates_of
from mlimages.images.ledger.columns import Columns
from mlimages.images.ledger.journal import journal_numbers, read_journals
from mlimages.store import Store

if TYPE_CHECKING:
    from mlimages.manifest import Manifest


@dataclass
class Loaded:
    """A ledger's content.

    Attributes:
        parts: the columns of each partition.
        hosts: names, by `Columns.host`.
        dirty: by partition, slots that the journal speaks of, in its order.
        replayed: records that were read from journals.
        last_journal: the highest number of a journal; 0 without any.
    """

    parts: dict[int, Columns]
    hosts: list[str]
    dirty: defaultdict[int, array[int]]
    replayed: int
    last_journal: int


def folded_up_to(manifest: Manifest) -> int:
    """Number of the last journal that the table holds; 0 without any."""
    return int(manifest.info.get("ledger", {}).get("folded", 0))


def load(store: Store) -> tuple[Store, Loaded]:
    """The content of a ledger, and the generation that it is of.

    A reader may see a commit happen between two looks at the files. Journals that were folded by it
    may be gone, so it looks again until both are of one instant.
    """
    while True:
        folded = folded_up_to(store.manifest)
        numbers = journal_numbers(store.root)
        records = read_journals(store.root, folded)
        if store.lock is not None:
            break
        newest = Store.open(store.root)
        same = folded_up_to(newest.manifest) == folded
        store = newest
        if same:
            break
    parts, hosts = _read_parts(store)
    dirty = _replay(parts, records, store.manifest.partition_rows)
    return store, Loaded(parts, hosts, dirty, len(records), max(numbers, default=0))


def _read_parts(store: Store) -> tuple[dict[int, Columns], list[str]]:
    codes: dict[str, int] = {}
    parts = {}
    for number in store.partitions("images"):
        candidates = candidates_of(store, number)
        images = sum(entry.rows for entry in store.entries("images", number))
        first = number * store.manifest.partition_rows
        part = Columns.of(first, images, candidates, _codes(candidates, codes))
        del candidates
        told = store.table("ledger", partition=number)
        if told.num_rows:
            slots = part.slots(told["row"].to_numpy(), told["candidate"].to_numpy())
            known = slots >= 0
            if not known.all():  # `mlimages check` names them
                slots, told = slots[known], told.filter(pa.array(known))
            part.put(slots, told)
        parts[number] = part
    return parts, list(codes)


def _codes(candidates: pa.Table, codes: dict[str, int]) -> NDArray[np.int32]:
    """int32 [candidates]: the number of each one's host, new hosts numbered on."""
    column: Any = candidates["host"].combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0)
    mine = [codes.setdefault(name, len(codes)) for name in column.dictionary.to_pylist()]
    return np.array(mine, np.int32)[column.indices.to_numpy()]


def _replay(parts: dict[int, Columns], records: NDArray, size: int) -> defaultdict[int, array[int]]:
    dirty: defaultdict[int, array[int]] = defaultdict(lambda: array("q"))
    for number, chosen, slots in placed(parts, size, records["row"], records["candidate"]):
        known = slots >= 0
        parts[number].put(slots[known], records[chosen[known]])
        dirty[number].frombytes(slots[known].tobytes())
    return dirty


def placed(
    parts: dict[int, Columns],
    size: int,
    rows: NDArray[np.integer],
    candidates: NDArray[np.integer],
) -> list[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    """(partition, positions of its rows among those given, slot of each or -1), by partition."""
    found = []
    numbers = rows // size
    for number in np.unique(numbers).tolist():
        if number in parts:
            chosen = np.flatnonzero(numbers == number)
            slots = parts[number].slots(rows[chosen], candidates[chosen])
            found.append((number, chosen, slots))
    return found
