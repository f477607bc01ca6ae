"""Writing a ledger's tables in a commit, and keeping them in few files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mlimages.images.fetching.states import UrlState
from mlimages.images.ledger.candidates import fingerprint, is_kept
from mlimages.images.ledger.columns import Columns, Slots
from mlimages.schemas import HOSTS, LEDGER
from mlimages.store import Store

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlimages.store import Commit

COMPACT_FILES = 8
"""A partition in so many files is written anew as one."""


def write_states(commit: Commit, number: int, after: Columns, slots: Slots) -> None:
    """Add the states of some slots of a partition to the table `ledger`.

    Args:
        commit: the generation in the making.
        number: of the partition.
        after: its columns as they are to be.
        slots: those that may have changed.
    """
    files = commit.manifest.files.get("ledger", [])
    if sum(entry.partition == number for entry in files) + 1 >= COMPACT_FILES:
        commit.replace("ledger", after.table(after.told()), number)
    else:
        commit.append("ledger", after.table(slots), number)


def write_hosts(commit: Commit, parts: dict[int, Columns], hosts: list[str]) -> None:
    """Keep the hosts of all URLs whose partition has new images since; see `candidates`."""
    store = Store(commit.root, commit.manifest)
    missing = [number for number in parts if not is_kept(store, number)]
    if not missing:
        return
    for number in missing:
        commit.replace("hosts", _hosts_table(parts[number], hosts), number)
    kept = commit.info.setdefault("ledger", {}).setdefault("hosts", {})
    kept |= {str(number): fingerprint(store, number) for number in missing}


def erase(commit: Commit, rows: NDArray[np.integer]) -> None:
    """Note in the commit that drops images from the shards that their URLs are ok no longer.

    They are pending again: `removed` for as long as they are in the list of removals, and to be
    fetched again when that is undone.

    Args:
        commit: the generation in the making.
        rows: int [n], of the images.
    """
    size = commit.manifest.partition_rows
    rows = np.unique(rows)
    held = {entry.partition for entry in commit.manifest.files.get("ledger", [])}
    for number in np.unique(rows // size).tolist():
        if number not in held:
            continue
        told = commit.table("ledger", partition=number)
        chosen = np.isin(told["row"].to_numpy(), rows)
        # Of a URL that comes more than once, the last row is the one that counts; and so it stays.
        told = told.filter(pa.array(chosen))
        was_ok = told["state"].to_numpy() == UrlState.OK
        state = np.where(was_ok, UrlState.PENDING, told["state"].to_numpy()).astype(np.uint8)
        column = LEDGER.get_field_index("state")
        commit.append("ledger", told.set_column(column, "state", pa.array(state)), number)


def _hosts_table(part: Columns, names: list[str]) -> pa.Table:
    used, codes = np.unique(part.host, return_inverse=True)
    dictionary = pa.array([names[code] for code in used.tolist()], pa.string())
    host = pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), dictionary)
    rows = pa.array(part.rows(np.arange(len(part))))
    return pa.table([rows, pa.array(part.candidate), host], schema=HOSTS)
