"""Where fetched images go: into shards, sealed one after another, each with what is told of it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlimages.images.fetching.candidates import is_web
from mlimages.images.fetching.client import Answer
from mlimages.images.fetching.fetching import Trial
from mlimages.images.fetching.placeholders import taken_before
from mlimages.images.fetching.states import UrlState
from mlimages.images.packing.staging import SealedShard, StagedShard
from mlimages.images.preparation import Verified
from mlimages.schemas import LEDGER, RIGHTS

if TYPE_CHECKING:
    from mlimages.storage import AnyPath

SEAL_SECONDS = 900.0
"""After which a shard is sealed however small it is: what a kill may cost."""

ATTEMPTS = pa.schema([field for field in LEDGER if field.name != "attempts"])
"""What became of addresses: row, candidate, state, status, when."""


@dataclass(frozen=True)
class Batch:
    """A sealed shard with what is told of its images, and the failures since the one before.

    Attributes:
        shard: None when there are only failures.
        taken: ATTEMPTS of the addresses on the web that gave its images.
        rights: schemas.RIGHTS of its images.
        failures: ATTEMPTS of addresses that gave none, unless they were journalled at once.
        placeholders: (host, MD5) found since the batch before.
    """

    shard: SealedShard | None
    taken: pa.Table
    rights: pa.Table
    failures: pa.Table
    placeholders: list[tuple[str, str]]


Columns = defaultdict[str, list[Any]]


class ShardShelf:
    """Collects images in a staged shard and hands each on once it is sealed; a context manager."""

    def __init__(
        self,
        directory: AnyPath,
        shard_bytes: int,
        deliver: Callable[[Batch], None],
        journal: Callable[[int, int, UrlState, int], None] | None = None,
        seal_seconds: float = SEAL_SECONDS,
    ) -> None:
        """Start empty.

        Args:
            directory: the staging folder.
            shard_bytes: size at which a shard is sealed.
            deliver: is given each batch.
            journal: writes down failures at once: row, place of the address, state, HTTP status;
                without it they come with the batches.
            seal_seconds: after which a shard is sealed however small it is.
        """
        self._directory, self._shard_bytes = directory, shard_bytes
        self._deliver, self._journal, self._seal_seconds = deliver, journal, seal_seconds
        self.images = self.bytes = 0
        self._shard: StagedShard | None = None
        self._begun = time.monotonic()
        self._start_columns()

    def __enter__(self) -> ShardShelf:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        """Seal what is there, also after Ctrl-C; after any other failure drop it."""
        if kind is None or issubclass(kind, KeyboardInterrupt):
            self.seal()
        elif self._shard is not None:
            self._shard.__exit__(kind, error, trace)

    def fail(self, trial: Trial, state: UrlState, answer: Answer) -> None:
        """Note why an address gave no image; files of this machine have no state."""
        if not is_web(trial.address):
            return
        if self._journal is not None:
            self._journal(trial.image.row, trial.place, state, answer.status)
        else:
            self._note(self._failures, trial.image.row, trial.place, state, answer.status)

    def take(self, trial: Trial, answer: Answer, verified: Verified) -> None:
        """Append an image to the shard; seal that first when it is full.

        Raises:
            StorageError: the disk is full or not writable.
        """
        if self._shard is not None and not self._shard.writer.has_room(
            len(verified.data), self._shard_bytes
        ):
            self.seal()
        if self._shard is None:
            self._shard = StagedShard(self._directory).__enter__()
            self._begun = time.monotonic()
        image = trial.image
        self._shard.add(image.row, image.id, verified)
        self.images += 1
        self.bytes += len(answer.data)
        if is_web(trial.address):
            self._note(self._taken, image.row, trial.place, UrlState.OK, answer.status)
        rights = (
            *(image.row, trial.address, answer.final_url, answer.address, int(time.time())),
            *(verified.md5, len(answer.data), list(answer.signals), image.licence, image.author),
        )
        for name, value in zip(RIGHTS.names, rights, strict=True):
            self._rights[name].append(value)

    def distrust(self, host: str, md5: str) -> None:
        """Have a placeholder taken back with the next batch."""
        self._placeholders.append((host, md5))

    def tick(self) -> None:
        """Seal a shard that has been open for long."""
        if time.monotonic() - self._begun > self._seal_seconds:
            self.seal()

    def seal(self) -> None:
        """Finish the shard, and hand on everything.

        Raises:
            StorageError: the disk is full or not writable.
        """
        self._begun = time.monotonic()
        shard, self._shard = self._shard, None
        if shard is None and not self._failures["row"] and not self._placeholders:
            return
        sealed = shard.seal() if shard is not None else None
        batch = Batch(
            sealed,
            _table(self._taken, ATTEMPTS),
            _table(self._rights, RIGHTS),
            _table(self._failures, ATTEMPTS),
            self._placeholders,
        )
        self._start_columns()
        self._deliver(without_placeholders(batch))

    def _start_columns(self) -> None:
        self._taken, self._failures = Columns(list), Columns(list)
        self._rights = Columns(list)
        self._placeholders: list[tuple[str, str]] = []

    def _note(self, columns: Columns, row: int, place: int, state: UrlState, status: int) -> None:
        values = (row, place, int(state), status, int(time.time()))
        for name, value in zip(ATTEMPTS.names, values, strict=True):
            columns[name].append(value)


def without_placeholders(batch: Batch) -> Batch:
    """A batch whose placeholders are failures; their bytes stay in the tar, but nothing says so."""
    rows = taken_before(batch.rights, batch.placeholders)
    if batch.shard is None or not len(rows):
        return batch
    found = pa.array(rows)
    back = batch.taken.filter(pc.is_in(batch.taken["row"], found))
    states = pa.array(np.full(back.num_rows, UrlState.PLACEHOLDER, np.uint8))
    back = back.set_column(back.schema.get_field_index("state"), "state", states)
    return replace(
        batch,
        shard=replace(batch.shard, index=_but(batch.shard.index, found)),
        taken=_but(batch.taken, found),
        rights=_but(batch.rights, found),
        failures=pa.concat_tables([batch.failures, back]),
    )


def _but(table: pa.Table, rows: pa.Array) -> pa.Table:
    return table.filter(pc.invert(pc.is_in(table["row"], rows)))


def _table(columns: Columns, schema: pa.Schema) -> pa.Table:
    arrays = [pa.array(columns[field.name], _storage(field.type)) for field in schema]
    return pa.table(arrays, names=schema.names).cast(schema)


def _storage(kind: pa.DataType) -> pa.DataType:
    return pa.int64() if pa.types.is_timestamp(kind) else kind
