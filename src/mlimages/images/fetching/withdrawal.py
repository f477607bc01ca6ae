"""Images that were fetched and may not stay: placeholders found late, and those that opted out.

First the address that gave the bytes changes its state in the ledger, then the next commit drops
the image from the index of shards; a crash between both is made good by the next command. The bytes
lie unused in their shard until `mlimages shards rewrite` leaves them out.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike

from mlimages.images.fetching.states import UrlState
from mlimages.images.ledger.ledger import Ledger
from mlimages.images.ledger.work import images_with
from mlimages.store import Commit, Store

WITHDRAWN = (UrlState.PLACEHOLDER, UrlState.OPTED_OUT)


def withdraw(store: Store, ledger: Ledger, rows: ArrayLike, state: UrlState) -> None:
    """Give the addresses that are ok of some packed images, of one partition, another state."""
    rows = np.asarray(rows, np.int64)
    if not len(rows):
        return
    number = int(rows[0]) // store.manifest.partition_rows
    part = ledger.partitions()[number]
    chosen = np.zeros(part.images, bool)
    chosen[rows - part.first_row] = True
    slots = part.slots_of_images(chosen)
    slots = slots[part.state[slots] == UrlState.OK]
    if len(slots):
        states = np.full(len(slots), state, np.uint8)
        ledger.record_many(part.rows(slots), part.candidate[slots], states, part.status[slots])


def withdrawn_rows(tables: Commit | Store, ledger: Ledger, number: int) -> np.ndarray:
    """Rows of a partition that are packed though the address that gave them is withdrawn."""
    part = ledger.partitions()[number]
    suspect = images_with(part, np.isin(part.state, WITHDRAWN))
    suspect &= ~images_with(part, part.state == UrlState.OK)
    rows = np.flatnonzero(suspect) + part.first_row
    if not len(rows):
        return rows
    # An image whose bytes came from a file of this machine has no address that is ok either.
    rights = tables.table("rights", ["row", "uri"], number)
    web = pc.match_substring_regex(rights["uri"], "^(?i)https?://")
    fetched = rights.filter(web)["row"].to_numpy()
    return rows[np.isin(rows, fetched)]


def drop_withdrawn(commit: Commit, ledger: Ledger) -> int:
    """Drop withdrawn images from the index of shards and from the rights; how many there were."""
    dropped = 0
    for number in ledger.partitions():
        rows = withdrawn_rows(commit, ledger, number)
        if len(rows):
            found = pa.array(rows, pa.int32())
            for name in ("shards/index", "rights"):
                table = commit.table(name, partition=number)
                kept = table.filter(pc.invert(pc.is_in(table["row"], found)))
                dropped += (table.num_rows - kept.num_rows) * (name == "rights")
                if kept.num_rows < table.num_rows:
                    commit.replace(name, kept, number)
    return dropped
