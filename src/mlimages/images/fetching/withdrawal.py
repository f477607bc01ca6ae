"""Images that were fetched and may not stay: placeholders found late, and those that opted out.

In one commit the address that gave the bytes changes its state, and the image leaves the index of
shards. Its bytes lie unused in their shard until `mlimages shards rewrite` leaves them out.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike

from mlimages.images.fetching.states import UrlState
from mlimages.images.ledger.ledger import Ledger
from mlimages.store import Commit


def withdraw(commit: Commit, ledger: Ledger, rows: ArrayLike, states: ArrayLike | UrlState) -> None:
    """Drop fetched images, and give the address of each that was `ok` another state.

    Call it before anything is added to the commit.

    Args:
        commit: of the ledger's store.
        ledger: the ledger.
        rows: int [n], of images, each once.
        states: one for all, or one an image.
    """
    rows = np.asarray(rows, np.int64)
    states = np.broadcast_to(np.asarray(states, np.uint8), rows.shape)
    numbers = rows // commit.manifest.partition_rows
    for number in np.unique(numbers).tolist():
        own = numbers == number
        _change_states(commit, ledger, number, rows[own], states[own])
        found = pa.array(rows[own], pa.int32())
        for name in ("shards/index", "rights"):
            table = commit.table(name, partition=number)
            kept = table.filter(pc.invert(pc.is_in(table["row"], found)))
            if kept.num_rows < table.num_rows:
                commit.replace(name, kept, number)


def _change_states(
    commit: Commit, ledger: Ledger, number: int, rows: np.ndarray, states: np.ndarray
) -> None:
    part = ledger.partitions()[number]
    chosen = np.zeros(part.images, bool)
    chosen[rows - part.first_row] = True
    slots = part.slots_of_images(chosen)
    slots = slots[part.state[slots] == UrlState.OK]
    owners = part.rows(slots)
    order = np.argsort(rows)
    new = states[order][np.searchsorted(rows[order], owners)]
    statuses = part.status[slots]
    ledger.commit_states(commit, owners, part.candidate[slots], new, statuses=statuses)
