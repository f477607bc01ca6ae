"""A database's images from the web into its shards."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from typing import Any

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
_EVER = 255  # attempts are counted up to here
_LEAST_REST = 0.1
_TELLING_IMAGES = 1000
_LABELS = ("fetching", "trying again")


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

    def one_round(works: Iterator[Work], done: Callable[[], object]) -> tuple[int, float]:
        fetching.run(wanted_images(works), done)
        # What was fetched is `ok` once its shard is committed; else it would be tried again.
        shelf.seal()
        return fetching.put_off, fetching.resume_at

    with shelf, fetching:
        run_rounds(ledger, one_round, settings)
    return shelf.images, shelf.bytes


Round = Callable[[Iterator[Work], Callable[[], object]], tuple[int, float]]
"""Tries all work once, and calls the function after each image; `Fetching.put_off`, `resume_at`."""


def run_rounds(ledger: Ledger, one_round: Round, settings: FetchSettings) -> None:
    """Go over the ledger until nothing is left that can succeed now."""
    most = most_attempts(settings)
    retry = RETRYABLE if settings.retry else frozenset()
    rounds, waited, pause = 0, 0.0, settings.pause
    while True:
        todo, put_off = addresses_to_try(ledger, retry, most), 0
        if todo.images:
            works = ledger.to_try(retry, most_attempts=most)
            bar = track(range(todo.images), _LABELS[rounds > 0], unit="images")
            with closing(bar):
                put_off, resume_at = one_round(works, partial(next, bar, None))
        if put_off:
            rest = max(resume_at - time.monotonic(), _LEAST_REST)
        else:
            rounds, rest = rounds + 1, pause
            pause *= 2
            retry = RETRYABLE
            if rounds >= settings.attempts or not addresses_to_try(ledger, retry, most).images:
                return
        waited += rest
        if waited > settings.patience:
            return
        time.sleep(rest)


def most_attempts(settings: FetchSettings) -> int:
    """Addresses that were tried so often are left alone."""
    return _EVER if settings.retry else settings.attempts


def wanted_images(works: Iterable[Work]) -> Iterator[Wanted]:
    """The images of the ledger's work, of several blocks in turn, so that their hosts differ."""
    works = iter(works)
    while blocks := list(islice(works, _BLOCKS_IN_TURN)):
        yield from in_turns([_images_of(work) for work in blocks])


def _images_of(work: Work) -> Iterator[Wanted]:
    for image, places in work.entries():
        yield wanted_image(image, places)


def wanted_image(image: dict[str, Any], places: Iterable[int]) -> Wanted:
    """An image to fetch by some of its addresses, and from this machine.

    Args:
        image: its row of the table `images`.
        places: of the addresses on the web, among all of it.
    """
    to_try = set(places)
    candidates = deque(
        (place, uri)
        for place, uri in enumerate(image["uris"])
        if place in to_try or not is_web(uri)
    )
    return Wanted(
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


def commit_batch(
    store: Store,
    ledger: Ledger,
    placeholders: Placeholders,
    batch: Batch,
    info: dict[str, Any] | None = None,
) -> None:
    """Make a sealed shard part of the database, with the states of all addresses so far.

    Images that earlier batches brought, and whose bytes are a placeholder as is known now, are
    taken back in the same commit.

    Args:
        store: locked for writing.
        ledger: of the store.
        placeholders: known so far.
        batch: what was fetched.
        info: to add to the database's in the same commit.
    """
    back = np.empty(0, np.int32)
    if batch.placeholders:
        rights = (
            store.table("rights", ["row", "uri", "md5"], number)
            for number in store.partitions("rights")
        )
        back = np.concatenate([back, *(taken_before(t, batch.placeholders) for t in rights)])
    with store.commit(STAGE) as commit:
        commit.info.update(info or {})
        withdraw(commit, ledger, back, UrlState.PLACEHOLDER)
        if batch.shard is not None:
            adopt(commit, batch.shard)
        if batch.failures.num_rows:
            row, candidate, state, status, when = (
                batch.failures[name].to_numpy() for name in ATTEMPTS.names
            )
            ledger.commit_states(commit, row, candidate, state, statuses=status, when=when)
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
    if batch.shard is not None:
        discard([batch.shard])


FetchImages = Callable[[Store, Ledger, FetchSettings, PackSettings, int | None], tuple[int, int]]


def fetch_store(
    store: Store,
    settings: FetchSettings | None = None,
    pack: PackSettings | None = None,
    *,
    workers: int | None = None,
    images_on: FetchImages = fetch_images,
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
        images_on: does the work; here by default.
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
            images, size = images_on(store, ledger, settings, pack, workers)
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
