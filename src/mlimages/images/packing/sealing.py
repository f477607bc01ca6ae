"""Images to sealed shards: read from the first place that works, checked, written in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from mlimages.images.packing.staging import NO_BLOCK, SealedShard, StagedShard
from mlimages.images.packing.writer import SHARD_BYTES, check_id
from mlimages.images.reading import open_uri
from mlimages.images.rejection import Reason, UnreadableError
from mlimages.images.verification import Verified, Verifier
from mlimages.schemas import REJECTS, SHARD_INDEX

if TYPE_CHECKING:
    from mlimages.storage import AnyPath

Item = TypeVar("Item")

STAGE = "pack"
# Photos lie on disks and network drives that answer several readers sooner than one after another.
_READERS, _CHUNK = 4, 16
_IMAGES_IN_FLIGHT, _BYTES_IN_FLIGHT = 1024, 64 << 20
_REJECTS_PER_BATCH = 4096


@dataclass(frozen=True)
class PackEntry:
    """An image to pack.

    Attributes:
        row: of the image in the database.
        id: `[a-z0-9_-]{1,64}`, unique.
        uris: where its bytes may be, in order of preference; the first usable one is taken.
        source: who named it, for the table of rejects.
    """

    row: int
    id: str
    uris: Sequence[str]
    source: str | None = None


def seal_shards(
    entries: Iterable[PackEntry],
    directory: AnyPath,
    verifier: Verifier,
    *,
    block: int = NO_BLOCK,
    shard_bytes: int = SHARD_BYTES,
) -> Generator[SealedShard, None, None]:
    """Check images and write them into shards, yielding each once it is sealed.

    On an exception, Ctrl-C included, no half-written file stays.

    Args:
        entries: images, packed in this order.
        directory: the staging folder; made when missing.
        verifier: that checks them, and brings them into the form in which they are kept.
        block: that they are of.
        shard_bytes: size at which a shard is sealed; a single larger image gets its own.

    Raises:
        InputError: an id is unsafe or occurs twice in a shard.
        StorageError: the disk is full or not writable.
    """
    rejects = Rejects()
    with ThreadPoolExecutor(_READERS, thread_name_prefix="read") as pool:
        images = _checked(_read_ahead(entries, pool), verifier)
        try:
            waiting = _next_good(images, rejects)
            while waiting is not None:
                with StagedShard(directory, block) as shard:
                    while waiting is not None and shard.writer.has_room(
                        len(waiting.image.data), shard_bytes
                    ):
                        shard.add(waiting.entry.row, waiting.entry.id, waiting.image)
                        waiting = _next_good(images, rejects)
                    # The image in hand is of the next shard, and no reject came after it.
                    sealed = shard.seal(rejects.take())
                yield sealed
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    if rejects:
        yield SealedShard(None, block, SHARD_INDEX.empty_table(), rejects.take())


@dataclass(frozen=True)
class _Read:
    """The bytes of an image from one of its places, and what failed before it.

    Attributes:
        entry: the image.
        data: its bytes; None when no place is left.
        rest: further places.
        location: where the bytes came from.
        failures: (place, reason) of those tried in vain.
    """

    entry: PackEntry
    data: bytes | None
    rest: Sequence[str]
    location: str
    failures: tuple[tuple[str, Reason], ...]


@dataclass(frozen=True)
class Checked:
    """An image and what became of it; `location` is the place to name in a reject."""

    entry: PackEntry
    image: Verified
    location: str = ""


def _read(
    entry: PackEntry, uris: Sequence[str], failures: tuple[tuple[str, Reason], ...] = ()
) -> _Read:
    for number, uri in enumerate(uris, start=1):
        try:
            return _Read(entry, open_uri(uri), uris[number:], uri, failures)
        except UnreadableError as error:
            failures = (*failures, (uri, error.reason))
    return _Read(entry, None, (), "", failures)


def _read_all(entries: list[PackEntry]) -> list[_Read]:
    return [_read(entry, entry.uris) for entry in entries]


def _read_ahead(entries: Iterable[PackEntry], pool: ThreadPoolExecutor) -> Iterator[_Read]:
    pending: deque[Future[list[_Read]]] = deque()
    for chunk in _chunks(entries, _CHUNK):
        for entry in chunk:
            check_id(entry.id)
        pending.append(pool.submit(_read_all, chunk))
        if len(pending) > _READERS:
            yield from pending.popleft().result()
    while pending:
        yield from pending.popleft().result()


def _chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _checked(reads: Iterable[_Read], verifier: Verifier) -> Iterator[Checked]:
    """Give out what became of each image, in order, while others are read and checked."""
    pending: deque[tuple[_Read, Future[Verified] | None]] = deque()
    held = 0
    for read in reads:
        pending.append((read, None if read.data is None else verifier.submit(read.data)))
        held += len(read.data or b"")
        while len(pending) > _IMAGES_IN_FLIGHT or held > _BYTES_IN_FLIGHT:
            held -= len(pending[0][0].data or b"")
            yield _resolve(*pending.popleft(), verifier)
    while pending:
        yield _resolve(*pending.popleft(), verifier)


def _resolve(read: _Read, future: Future[Verified] | None, verifier: Verifier) -> Checked:
    """Wait for a check; go on to the image's next place when it failed."""
    while future is not None:
        image = future.result()
        if image.reason is None:
            return Checked(read.entry, image)
        failures = (*read.failures, (read.location, image.reason))
        read = _read(read.entry, read.rest, failures)
        future = None if read.data is None else verifier.submit(read.data)
    # A file that is there but broken says more than an address that was never fetched.
    told = sorted(read.failures, key=lambda failure: failure[1] is Reason.NOT_FETCHED)
    location, reason = told[0] if told else (read.entry.id, Reason.MISSING_FILE)
    return Checked(read.entry, Verified(reason=reason), location)


def check_entry(entry: PackEntry, verifier: Verifier) -> Checked:
    """Read and check a single image, from the first of its places that works."""
    return next(_checked([_read(entry, entry.uris)], verifier))


def _next_good(images: Iterator[Checked], rejects: Rejects) -> Checked | None:
    for checked in images:
        if checked.image.reason is None:
            return checked
        rejects.add(checked.entry, checked.location, checked.image.reason)
    return None


@dataclass
class Rejects:
    """Rejects gathered for the next commit, as Arrow: there may be millions."""

    _batches: list[pa.RecordBatch] = field(default_factory=list)
    _recent: list[dict[str, object]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self._batches or self._recent)

    def add(self, entry: PackEntry, location: str, reason: Reason) -> None:
        """Note an image that is not packed."""
        about = {"source": entry.source, "stage": STAGE, "location": location}
        self._recent.append({**about, "reason": str(reason), "row": entry.row})
        if len(self._recent) >= _REJECTS_PER_BATCH:
            self._compact()

    def take(self) -> pa.Table:
        """schemas.REJECTS of all since the last call."""
        self._compact()
        table = pa.Table.from_batches(self._batches, schema=REJECTS)
        self._batches = []
        return table

    def _compact(self) -> None:
        if self._recent:
            self._batches.append(pa.RecordBatch.from_pylist(self._recent, schema=REJECTS))
            self._recent = []
