"""The unit of work of a fetch that is divided: some images, fetched by a client of its own.

What became of them is told in batches, beside sealed shards in a staging folder; nothing of the
database is written. Whoever holds the writer's lock counts placeholders over all batches: a host
may have given one picture to many tasks, a few times each.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from mlimages.errors import InputError
from mlimages.images.fetching.candidates import in_turns
from mlimages.images.fetching.client import Answer, Client
from mlimages.images.fetching.fetch_settings import FetchSettings
from mlimages.images.fetching.fetching import Fetching, Trial
from mlimages.images.fetching.placeholders import Placeholders, host_of
from mlimages.images.fetching.shelves import Batch, ShardShelf, without_placeholders
from mlimages.images.fetching.states import UrlState
from mlimages.images.fetching.storing import wanted_image
from mlimages.images.ledger.work import Work
from mlimages.images.packing.settings import PackSettings
from mlimages.images.preparation import Verified
from mlimages.storage import located

Entry = tuple[dict[str, Any], list[int]]
"""An image's row of the table `images`, and the places of its addresses to try."""


@dataclass(frozen=True)
class FetchSpec:
    """How tasks are done.

    Attributes:
        root: of the database: an absolute path, or the URL of an object store.
        staging: folder for the sealed shards, within the database.
        settings: how addresses are tried; `network.hosts.parts` is the number of tasks at once.
        pack: the form of images and shards.
        rounds: how often failures that may pass are tried in one task.
        workers: processes that decode.
    """

    root: str
    staging: str
    settings: FetchSettings
    pack: PackSettings
    rounds: int = 1
    workers: int = 1


@dataclass(frozen=True)
class FetchTask:
    """Images to fetch."""

    works: tuple[Work, ...]

    def __str__(self) -> str:
        return "blocks " + ", ".join(str(work.block) for work in self.works[:8])

    def __len__(self) -> int:
        return sum(map(len, self.works))


@dataclass(frozen=True)
class FetchResult:
    """What a task came to.

    Attributes:
        batches: to be committed in this order.
        images, bytes: that it brought.
        put_off: images that were not tried to the end, since a host asked to be left alone.
        rest: seconds until the first of those hosts may be asked again.
    """

    batches: list[Batch]
    images: int
    bytes: int
    put_off: int
    rest: float


def divided(settings: FetchSettings, at_once: int) -> FetchSettings:
    """Settings of one of several clients that ask hosts at the same time: its share of limits.

    Raises:
        InputError: there is not even one connection a host for each.
    """
    hosts = settings.network.hosts
    if at_once > hosts.connections:
        cause = f"share {hosts.connections} requests a host"
        action = f"use at most {hosts.connections} at once, or raise --a-host"
        raise InputError(f"{at_once} tasks", cause, action)
    network = replace(settings.network, hosts=replace(hosts, parts=hosts.parts * at_once))
    return replace(settings, network=network)


def grouped(works: Iterable[Work], images: int) -> Iterator[FetchTask]:
    """Tasks of so many images at least, but the last: of retries a block has only a few."""
    waiting: list[Work] = []
    for work in works:
        waiting.append(work)
        if sum(map(len, waiting)) >= images:
            yield FetchTask(tuple(waiting))
            waiting = []
    if waiting:
        yield FetchTask(tuple(waiting))


def fetch_task(spec: FetchSpec, task: FetchTask) -> FetchResult:
    """Fetch the images of a task.

    Raises:
        StorageError: the disk is full or not writable.
    """
    batches: list[Batch] = []
    staging = located(spec.root) / spec.staging
    shelf = _TaskShelf(staging, spec.pack.shard_bytes, batches.append, seal_seconds=float("inf"))
    settings = spec.settings
    fetching = Fetching(
        lambda: Client(settings.network),
        spec.pack.images,
        shelf,
        Placeholders(len(task), 0),  # only those that are known by where they are
        workers=spec.workers,
        concurrency=settings.concurrency,
    )
    entries = [list(work.entries()) for work in task.works]
    with shelf, fetching:
        _run_rounds(fetching, shelf, entries, settings, spec.rounds)
    rest = max(0.0, fetching.resume_at - time.monotonic()) if fetching.put_off else 0.0
    return FetchResult(batches, shelf.images, shelf.bytes, fetching.put_off, rest)


def judged(batch: Batch, placeholders: Placeholders) -> Batch:
    """A task's batch, with what is a placeholder by all that was counted so far as a failure."""
    found, new = set(), set()
    rights = batch.rights
    for uri, md5 in zip(rights["uri"].to_pylist(), rights["md5"].to_pylist(), strict=True):
        host = host_of(uri)
        known = placeholders.is_known(host, md5)
        if host and placeholders.see(host, md5):
            found.add((host, md5))
            if not known:
                new.add((host, md5))
    cleared = without_placeholders(replace(batch, placeholders=sorted(found)))
    # Of those that were known before, no earlier batch holds any.
    return replace(cleared, placeholders=sorted(new))


class _TaskShelf(ShardShelf):
    """Also remembers what failed, to know what may be tried again."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._failed: dict[tuple[int, int], tuple[UrlState, int]] = {}
        self._kept: set[int] = set()

    def fail(self, trial: Trial, state: UrlState, answer: Answer) -> None:
        """Note it, and that it was tried once more."""
        super().fail(trial, state, answer)
        key = trial.image.row, trial.place
        self._failed[key] = state, self._failed.get(key, (state, 0))[1] + 1

    def take(self, trial: Trial, answer: Answer, verified: Verified) -> None:
        """Keep it, and that nothing is left to try of it."""
        super().take(trial, answer, verified)
        self._kept.add(trial.image.row)

    def left(self, entry: Entry, attempts: int) -> list[int]:
        """Places of an image's addresses that may still give it."""
        image, places = entry
        if image["row"] in self._kept:
            return []
        return [
            place
            for place in places
            if (failed := self._failed.get((image["row"], place))) is None
            or (failed[0].retryable and failed[1] < attempts)
        ]


def _run_rounds(
    fetching: Fetching,
    shelf: _TaskShelf,
    entries: list[list[Entry]],
    settings: FetchSettings,
    rounds: int,
) -> None:
    begun, waited, pause = 0, 0.0, settings.pause
    while True:
        fetching.run(in_turns(_images(work) for work in entries))
        shelf.seal()  # a batch tells of each address once
        if fetching.put_off:
            rest = max(0.1, fetching.resume_at - time.monotonic())
        else:
            begun, rest, pause = begun + 1, pause, 2 * pause
        entries = [
            [(entry[0], left) for entry in work if (left := shelf.left(entry, settings.attempts))]
            for work in entries
        ]
        waited += rest
        if rounds == 1 or begun >= rounds or waited > settings.patience or not any(entries):
            return
        time.sleep(rest)


def _images(work: list[Entry]) -> Iterator[Any]:
    return (wanted_image(image, places) for image, places in work)
