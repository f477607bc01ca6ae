"""Finding copies and leaks in a database, and committing what follows."""

from __future__ import annotations

import pyarrow as pa

from mlimages.images.duplicates import (
    Closeness,
    DuplicatesReport,
    find_duplicates,
    leaks,
    merge_duplicates,
    report_duplicates,
    update_hashes,
)
from mlimages.images.duplicates.outside import Outside
from mlimages.images.shards import open_reader
from mlimages.schemas import DUPLICATES, LEAKS
from mlimages.store import Store


def merge_copies(
    store: Store, undo: bool = False, closeness: Closeness | None = None
) -> DuplicatesReport:
    """Let one image stand for its copies; see `Database.merge_duplicates`."""
    # Of removed images too: where one of several of the same photo is removed, all are.
    reader = open_reader(store, with_removed=True)
    with store.writing("duplicates"):
        if closeness is not None and not undo:
            update_hashes(store, reader)
        with store.commit("duplicates") as commit:
            found, searched = DUPLICATES.empty_table(), None
            if not undo:
                found, searched = find_duplicates(store, reader, closeness)
            added = merge_duplicates(commit, found)
    return report_duplicates(store, found, added, searched)


def find_leaks(
    store: Store,
    outside: Outside,
    closeness: Closeness | None = None,
    split: str = leaks.TRAIN,
    remove: bool = False,
) -> tuple[pa.Table, leaks.LeaksReport]:
    """Find pictures of another set among a database's images; see `Database.find_leaks`."""
    reader = open_reader(store)
    with store.writing("duplicates leak"):
        update_hashes(store, reader)
        found = leaks.find_leaks(store, reader, outside, closeness or Closeness(), split)
        if remove:
            with store.commit("duplicates leak") as commit:
                commit.replace("leaks", leaks.put_aside(commit.table("leaks"), found))
    return found, leaks.report_leaks(store, outside, found, split)


def restore_leaks(store: Store) -> int:
    """Bring back every image that was put aside as a leak; returns how many."""
    count = store.num_rows("leaks")
    with store.commit("duplicates leak") as commit:
        commit.replace("leaks", LEAKS.empty_table())
    return count
