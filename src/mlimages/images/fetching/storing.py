"""A database's images from the web into its shards."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial
from itertools import islice

import numpy as np

from mlimages.errors import DatabaseError
from mlimages.images.fetching.candidates import Wanted, in_turns, is_web
from mlimages.images.fetching.client import Client
from mlimages.images.fetching.fetch_settings import FetchSettings
from mlimages.images.fetching.fetching import Fetching
from mlimages.images.fetching.placeholders import Placeholders, taken_before
from mlimages.images.fetching.plan import SPEED, addresses_to_try
from mlimages.images.fetching.report import FetchReport, report_fetch
from mlimages.images.fetching.shelves import ATTEMPTS, Batch, ShardShelf
from mlimages.images.fetching.states import UrlState
from mlimages.images.fetching.withdrawal import withdraw
from mlimages.images.ledger.ledger import Ledger
from mlimages.images.ledger.work import RETRYABLE, Work
from mlimages.images.packing.packing import compact_index
from mlimages.images.packing.settings import PackSettings, agreed, record, recorded
from mlimages.images.packing.staging import STAGING, adopt, discard, sweep
from mlimages.progress import track
from mlimages.store import Store

STAGE = "fetch"
_BLOCKS_IN_TURN = 8
EVER = 255  # attempts are counted up to here
_LEAST_REST = 0.1
_TELLING_IMAGES = 1000


def fetch_images(
    store: Store,
    ledger: Ledger,
    settings: FetchSettings,
    pack: PackSettings,
    workers: int | None = None,
) -> tuple[int, int]:
    """Fetch what is wanted, in rounds: pending addresses, then those whose failure may pass.

    Args:
        store: locked for writing.
        ledger: of the store.
        settings: how addresses are tried.
        pack: the form of images and shards.
        workers: processes that decode.

    Returns:
        (images, bytes) that were fetched.

    Raises:
        StorageError: the disk is full or not writable.
    """
    placeholders = load_placeholders(store, settings.placeholder_copies)

    def deliver(batch: Batch) -> None:
        commit_batch(store, ledger, placeholders, batch)
        if batch.shard is not None:
            discard([batch.shard])

    shelf = ShardShelf(
        store.root / STAGING,
        pack.shard_bytes,
        deliver,
        ledger.record,
        settings.seal_seconds,
    )
    fetching = Fetching(
        lambda: Client(settings.network),
        pack.images,
        shelf,
        placeholders,
        workers=workers,
        concurrency=settings.concurrency,
    )
    with shelf, fetching:
        run_rounds(ledger, fetching, shelf, settings)
    return shelf.images, shelf.bytes


class Pauses:
    """The waits between rounds: for what failed, twice as long each time; for hosts that rest."""

    def __init__(self, settings: FetchSettings) -> None:
        self._settings = settings
        self._rounds, self._waited, self._pause = 0, 0.0, settings.pause

    def wait(self, fetching: Fetching) -> bool:
        """Wait until another round is due; False when that was enough."""
        if fetching.put_off:
            rest = max(fetching.resume_at - time.monotonic(), _LEAST_REST)
        else:
            self._rounds += 1
            rest, self._pause = self._pause, 2 * self._pause
        self._waited += rest
        settings = self._settings
        if self._rounds >= settings.attempts or self._waited > settings.patience:
            return False
        time.sleep(rest)
        return True


def run_rounds(
    ledger: Ledger, fetching: Fetching, shelf: ShardShelf, settings: FetchSettings
) -> None:
    """Go over the ledger until nothing is left that can succeed now."""
    most = EVER if settings.retry else settings.attempts
    retry = RETRYABLE if settings.retry else frozenset[UrlState]()
    pauses, labels = Pauses(settings), iter(["fetching"])
    while (todo := addresses_to_try(ledger, retry, most)).images:
        works = ledger.to_try(retry, most_attempts=most)
        bar = track(range(todo.images), next(labels, "trying again"), unit="images")
        with closing(bar):
            fetching.run(wanted_images(works), partial(next, bar, None))
        # What was fetched is `ok` once its shard is committed; else it would be tried again.
        shelf.seal()
        retry = retry if fetching.put_off else RETRYABLE
        if not addresses_to_try(ledger, retry, most).images or not pauses.wait(fetching):
            return


def wanted_images(works: Iterable[Work]) -> Iterator[Wanted]:
    """The images of the ledger's work, of several blocks in turn, so that their hosts differ."""
    works = iter(works)
    while blocks := list(islice(works, _BLOCKS_IN_TURN)):
        yield from in_turns([_images_of(work) for work in blocks])


def _images_of(work: Work) -> Iterator[Wanted]:
    for image, places in work.entries():
        uris, to_try = image["uris"], set(places)
        candidates = deque(
            (place, uri) for place, uri in enumerate(uris) if place in to_try or not is_web(uri)
        )
        yield Wanted(
            *(image["row"], image["id"], candidates),
            *(image["md5"], image["bytes"], image["licence"], image["author"]),
        )


def load_placeholders(store: Store, copies: int) -> Placeholders:
    """What earlier runs saw."""
    placeholders = Placeholders(store.num_rows("images"), copies)
    for partition in store.partitions("rights"):
        placeholders.remember(store.table("rights", ["md5"], partition)["md5"].to_pylist())
    placeholders.add(store.table("placeholders"))
    return placeholders


def commit_batch(store: Store, ledger: Ledger, placeholders: Placeholders, batch: Batch) -> None:
    """Make a sealed shard part of the database, with the states of all addresses so far.

    Images that earlier batches brought, and whose bytes are a placeholder as is known now, are
    taken back in the same commit. The staging files are the caller's to remove.
    """
    failed, back = batch.failures, np.empty(0, np.int32)
    if failed.num_rows:
        row, candidate, state, status, when = (failed[name].to_numpy() for name in ATTEMPTS.names)
        ledger.record_many(row, candidate, state, status, when)
    if batch.placeholders:
        rights = (
            store.table("rights", ["row", "uri", "md5"], number)
            for number in store.partitions("rights")
        )
        back = np.concatenate([back, *(taken_before(t, batch.placeholders) for t in rights)])
    with store.commit(STAGE) as commit:
        withdraw(commit, ledger, back, UrlState.PLACEHOLDER)
        if batch.shard is not None:
            adopt(commit, batch.shard)
        taken = batch.taken
        ledger.commit_ok(
            commit,
            taken["row"].to_numpy(),
            taken["candidate"].to_numpy(),
            batch.rights,
            statuses=taken["status"].to_numpy(),
            when=taken["when"].to_numpy(),
        )
        commit.replace("placeholders", placeholders.table())


def fetch_store(
    store: Store,
    settings: FetchSettings | None = None,
    pack: PackSettings | None = None,
    *,
    workers: int | None = None,
    include_sensitive: bool = False,
) -> FetchReport:
    """Fetch what is not in a shard yet; it continues where it stopped, be it by a kill.

    A shard is committed when it is sealed, with the states of its addresses; failures are
    journalled as they happen. After Ctrl-C the shard in hand is sealed and committed too.

    Args:
        store: of the database.
        settings: how addresses are tried.
        pack: the form of images and shards; the recorded one, or the defaults, without.
        workers: processes that decode; one a core by default.
        include_sensitive: also name sensitive categories in the report.

    Raises:
        DatabaseError: there are no images, or they were packed in another form before.
        MissingExtraError: what fetching needs is not installed.
        StorageError: the disk is full or not writable.
    """
    settings = settings or FetchSettings()
    began = time.monotonic()
    with store.writing(STAGE):
        if not store.num_rows("images"):
            raise DatabaseError(store.root, "holds no images", "run: mlimages import")
        pack = agreed(store, pack)
        sweep(store.root)
        ledger = Ledger.open(store)
        try:
            if recorded(store) != pack:
                with store.commit(STAGE) as commit:
                    record(commit, pack)
            images, size = fetch_images(store, ledger, settings, pack, workers)
            compact_index(store)
        finally:
            ledger.close()
        seconds = time.monotonic() - began
        _remember_speed(store, images, size, seconds)
    return report_fetch(ledger, images, size, seconds, include_sensitive=include_sensitive)


def _remember_speed(store: Store, images: int, size: int, seconds: float) -> None:
    """Keep the figures of a run that was long enough to tell, for the next plan."""
    if images >= _TELLING_IMAGES:
        with store.commit(STAGE) as commit:
            commit.info[SPEED] = {"images": images, "bytes": size, "seconds": seconds}
