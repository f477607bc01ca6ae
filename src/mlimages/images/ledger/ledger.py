"""The ledger of a database: what became of every candidate URL, at any instant.

    with store.writing("fetch"):
        ledger = Ledger.open(store)
        for work in ledger.to_try():
            ledger.record(row, candidate, UrlState.TIMEOUT)          # durable before it returns
            with store.commit("fetch") as commit:
                ...adopt a sealed shard...
                ledger.commit_ok(commit, rows, candidates, rights)   # true once the commit is

A URL without a row in the table `ledger` is pending, so the states always sum to the candidates. A
failure goes to the journal at once and into the table with the next commit. `ok` goes the one way
only: in the commit that makes its shard part of the database, and here when that is published.
`removed` is not stored: it is the state of all URLs of a removed image, for as long as it is one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from mlimages.errors import DatabaseError
from mlimages.images.fetching.states import UrlState
from mlimages.images.ledger.columns import Columns, Slots
from mlimages.images.ledger.journal import (
    FileJournal,
    ObjectJournal,
    remove_journals,
    start_journal,
)
from mlimages.images.ledger.loading import Loaded, folded_up_to, load, placed
from mlimages.images.ledger.records import RECORD, encode, encode_many
from mlimages.images.ledger.work import Work, find_work
from mlimages.images.ledger.writing import write_hosts, write_states
from mlimages.labels.lookup import removed

if TYPE_CHECKING:
    from mlimages.store import Commit, Store

SYNC_SECONDS = 1.0
"""Records wait this long at most for the disk, as long as more are made."""
FOLD_RECORDS = 1 << 20
"""A journal of so many records is worth a commit of its own; see `Ledger.fold`."""
_MOST_ATTEMPTS = 255


@dataclass
class _Fold:
    """What a commit holds that is not yet published."""

    commit: Commit
    number: int  # of the last journal that it holds
    recorded: dict[int, int]  # by partition, slots of `Ledger._dirty` that it holds
    changes: dict[int, tuple[Slots, NDArray]] = field(default_factory=dict)  # by partition


class Ledger:
    """The states of all candidate URLs. Opened by the holder of the writer's lock, it may write.

    Threads may share one; only one of them commits at a time.
    """

    def __init__(self, store: Store, loaded: Loaded) -> None:
        self.store, self.hosts = store, loaded.hosts
        self._parts = loaded.parts
        self._size = store.manifest.partition_rows
        self._removed = removed(store)
        self._number = max(loaded.last_journal, folded_up_to(store.manifest))
        self._dirty = loaded.dirty  # slots recorded since the last commit, in order
        self._journal: FileJournal | ObjectJournal | None = None
        self._fold: _Fold | None = None
        self._synced = time.monotonic()
        self._lock = threading.RLock()

    @classmethod
    def open(cls, store: Store) -> Ledger:
        """Load the states of all URLs, with what the journal adds to them.

        Without the writer's lock the ledger is that of the newest generation, as it was at one
        instant, and can only be read.

        Raises:
            DatabaseError: a file is missing or damaged.
        """
        store, loaded = load(store)
        if store.lock is not None:
            remove_journals(store.root, folded_up_to(store.manifest))
        return cls(store, loaded)

    def __len__(self) -> int:
        """Number of candidate URLs."""
        return sum(len(part) for part in self._parts.values())

    @property
    def journalled(self) -> int:
        """Records in the journal; from FOLD_RECORDS on a commit is due, see `fold`."""
        return sum(map(len, self._dirty.values()))

    def partitions(self) -> dict[int, Columns]:
        """The columns of every partition, as stored: without `removed`."""
        self._settle()
        return self._parts

    def states(self, partition: int) -> NDArray[np.uint8]:
        """uint8 [candidates]: numbers of UrlState of a partition's URLs."""
        self._settle()
        part = self._parts[partition]
        gone = self.removed_images(partition)
        if not gone.any():
            return part.state
        shown = part.state.copy()
        shown[part.slots_of_images(gone)] = UrlState.REMOVED
        return shown

    def removed_images(self, partition: int) -> NDArray[np.bool_]:
        """bool [images of the partition]: removed on request."""
        first = partition * self._size
        return self._removed[first : first + self._parts[partition].images]

    def state_of(self, row: int, candidate: int) -> UrlState:
        """The state of one URL; raises KeyError when there is none at that place."""
        self._settle()
        part = self._part(row, candidate)
        slot = part.slot(row, candidate)
        return UrlState.REMOVED if self._removed[row] else UrlState(int(part.state[slot]))

    def counts(self) -> dict[UrlState, int]:
        """Number of URLs in each state, every state included; they sum to `len(self)`."""
        totals = np.zeros(256, np.int64)
        for number in self._parts:
            totals += np.bincount(self.states(number), minlength=256)
        return {state: int(totals[state]) for state in UrlState}

    def to_try(
        self,
        retry: Collection[UrlState] = (),
        *,
        block_rows: int = 1 << 14,
        most_attempts: int = _MOST_ATTEMPTS,
        columns: Collection[str] = (),
    ) -> Iterator[Work]:
        """Images whose bytes are wanted, with their URLs to try; see `work.find_work`."""
        return find_work(self, retry, block_rows, most_attempts, columns)

    def record(
        self,
        row: int,
        candidate: int,
        state: UrlState,
        status: int = 0,
        when: float | None = None,
    ) -> None:
        """Write down why a URL gave no image. It outlives SIGKILL once this returns.

        Args:
            row: of the image.
            candidate: position of the URL in the image's uris.
            state: any but `ok` and `removed`.
            status: of HTTP; 0 without an answer.
            when: seconds since 1970; now by default.

        Raises:
            KeyError: there is no such URL.
            ValueError: the state is one that is not recorded.
            DatabaseError: the store is not open for writing.
            StorageError: the disk is full; the ledger is as before.
        """
        _refuse(state)
        with self._lock:
            self._settle()
            part = self._part(row, candidate)
            slot = part.slot(row, candidate)
            attempts = min(int(part.attempts[slot]) + 1, _MOST_ATTEMPTS)
            seconds = int(time.time() if when is None else when)
            self._append(encode(row, candidate, state, status, attempts, seconds))
            part.state[slot], part.status[slot] = state, status
            part.attempts[slot], part.when[slot] = attempts, seconds
            self._dirty[row // self._size].append(slot)
            if time.monotonic() - self._synced >= SYNC_SECONDS:
                self.sync()

    def record_many(
        self,
        rows: ArrayLike,
        candidates: ArrayLike,
        states: ArrayLike,
        statuses: ArrayLike = 0,
        when: ArrayLike | None = None,
    ) -> None:
        """Write down the states of different URLs at once, in one piece; see `record`."""
        rows, candidates = np.asarray(rows, np.int64), np.asarray(candidates, np.int64)
        for state in np.unique(np.asarray(states)).tolist():
            _refuse(UrlState(state))
        seconds = np.asarray(time.time() if when is None else when).astype(np.int64)
        with self._lock:
            self._settle()
            records = np.zeros(len(rows), RECORD)
            records["row"], records["candidate"], records["state"] = rows, candidates, states
            records["status"], records["when"] = statuses, seconds
            places = self._placed(rows, candidates)
            for number, chosen, slots in places:
                attempts = self._parts[number].attempts[slots].astype(np.int64) + 1
                records["attempts"][chosen] = np.minimum(attempts, _MOST_ATTEMPTS)
            self._append(encode_many(records))
            for number, chosen, slots in places:
                self._parts[number].put(slots, records[chosen])
                self._dirty[number].frombytes(slots.tobytes())
            self.sync()

    def sync(self) -> None:
        """Return when every record is on the disk."""
        with self._lock:
            self._synced = time.monotonic()
            if self._journal is not None:
                self._journal.sync()

    def close(self) -> None:
        """Sync and close the journal. The ledger can go on: it begins another one."""
        with self._lock:
            if self._journal is not None:
                journal, self._journal = self._journal, None
                journal.close()

    def fold(self) -> None:
        """Commit what the journal holds, in a commit of its own."""
        with self.store.commit("ledger") as commit:
            self.commit_states(commit, [], [], UrlState.OK)
        self._settle()

    def commit_ok(
        self,
        commit: Commit,
        rows: ArrayLike,
        candidates: ArrayLike,
        rights: pa.Table | None = None,
        *,
        statuses: ArrayLike = 200,
        when: ArrayLike | None = None,
    ) -> None:
        """Make URLs ok in the commit that adopts the shard with their images.

        The journal so far goes into the commit too. Nothing of it is true in this ledger before the
        commit is published; where it is abandoned, nothing has happened. It may be called several
        times for one commit.

        Args:
            commit: of `self.store`.
            rows: int [n], of the images.
            candidates: int [n], the URL that gave each image's bytes.
            rights: schemas.RIGHTS of these images, see `rights.rights_table`.
            statuses: of HTTP.
            when: seconds since 1970; now by default.

        Raises:
            KeyError: there is no such URL.
            DatabaseError: the store is not open for writing.
            StorageError: the disk is full.
        """
        self.commit_states(commit, rows, candidates, UrlState.OK, statuses=statuses, when=when)
        if rights is not None and rights.num_rows:
            commit.append("rights", rights)

    def commit_states(
        self,
        commit: Commit,
        rows: ArrayLike,
        candidates: ArrayLike,
        states: ArrayLike,
        *,
        statuses: ArrayLike = 0,
        when: ArrayLike | None = None,
    ) -> None:
        """Change states in a commit, so that they become true together with what else it does.

        As `commit_ok`, for any states but `removed`: dropping an image from the index of shards and
        saying that its URL has opted out is one commit, for instance.
        """
        rows, candidates = np.asarray(rows, np.int64), np.asarray(candidates, np.int64)
        with self._lock:
            self._settle()
            fold = self._begin(commit)
            touched = set(fold.recorded) if not fold.changes else set()
            values = np.zeros(len(rows), RECORD)
            values["state"], values["status"] = states, statuses
            values["when"] = np.asarray(time.time() if when is None else when).astype(np.int64)
            for number, chosen, slots in self._placed(rows, candidates):
                attempts = self._parts[number].attempts[slots].astype(np.int64) + 1
                values["attempts"][chosen] = np.minimum(attempts, _MOST_ATTEMPTS)
                mine = (slots, values[chosen])
                before = fold.changes.get(number, (slots[:0], values[:0]))
                fold.changes[number] = (
                    np.concatenate([before[0], mine[0]]),
                    np.concatenate([before[1], mine[1]]),
                )
                touched.add(number)
            for number in sorted(touched):
                slots, values_of = fold.changes.get(number, (np.empty(0, np.int64), values[:0]))
                after = self._parts[number].changed(slots, values_of)
                recorded = np.array(self._dirty[number][: fold.recorded.get(number, 0)], np.int64)
                write_states(commit, number, after, np.union1d(recorded, slots))
            write_hosts(commit, self._parts, self.hosts)
            commit.info.setdefault("ledger", {})["folded"] = fold.number

    def _begin(self, commit: Commit) -> _Fold:
        """The fold of a commit: all that was recorded so far; what comes goes to a new journal."""
        self._writable()
        if self._fold is None or self._fold.commit is not commit:
            self.close()
            self._number += 1
            recorded = {number: len(slots) for number, slots in self._dirty.items() if slots}
            self._fold = _Fold(commit, self._number, recorded)
        return self._fold

    def _settle(self) -> None:
        """Take in what a commit changed, once it is published."""
        with self._lock:
            fold = self._fold
            if fold is None or folded_up_to(self.store.manifest) < fold.number:
                return
            for number, count in fold.recorded.items():
                del self._dirty[number][:count]
            for number, (slots, values) in fold.changes.items():
                # What was recorded while the commit was being written is newer.
                stays = ~np.isin(slots, np.array(self._dirty[number], np.int64))
                self._parts[number].put(slots[stays], values[stays])
            self._fold = None
            remove_journals(self.store.root, fold.number)

    def _append(self, records: bytes) -> None:
        self._writable()
        if self._journal is None:
            self._number += 1
            self._journal = start_journal(self.store.root, self._number)
        self._journal.append(records)

    def _writable(self) -> None:
        if self.store.lock is None:
            raise DatabaseError(self.store.root, "not open for writing", "take its lock first")

    def _part(self, row: int, candidate: int) -> Columns:
        part = self._parts.get(row // self._size)
        if part is None:
            raise KeyError((row, candidate))
        return part

    def _placed(
        self, rows: NDArray[np.int64], candidates: NDArray[np.int64]
    ) -> list[tuple[int, NDArray[np.int64], Slots]]:
        found = placed(self._parts, self._size, rows, candidates)
        lost = np.ones(len(rows), bool)
        for _, chosen, slots in found:
            lost[chosen] = slots < 0
        if lost.any():
            first = int(np.argmax(lost))
            raise KeyError((int(rows[first]), int(candidates[first])))
        return found


def _refuse(state: UrlState) -> None:
    """Raise ValueError for the states that are never journalled."""
    if state in (UrlState.OK, UrlState.REMOVED):
        raise ValueError(f"{state!r} is not recorded: it is so once a commit makes it so")
