"""The unit of work of a divided fetch: a block of image rows, and what became of its addresses."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from mlimages.images.fetching.candidates import Wanted
from mlimages.images.fetching.client import Answer, Client
from mlimages.images.fetching.fetch_settings import FetchSettings
from mlimages.images.fetching.fetching import Fetching, Trial
from mlimages.images.fetching.placeholders import Placeholders
from mlimages.images.fetching.plan import blocks_to_try
from mlimages.images.fetching.shelves import Batch, ShardShelf
from mlimages.images.fetching.states import UrlState
from mlimages.images.fetching.storing import EVER, Pauses, wanted_images
from mlimages.images.ledger.ledger import Ledger
from mlimages.images.ledger.work import RETRYABLE, Work
from mlimages.images.packing.settings import PackSettings
from mlimages.images.packing.staging import STAGING
from mlimages.images.preparation import Verified
from mlimages.storage import located
from mlimages.store import Store


@dataclass(frozen=True)
class FetchSpec:
    """A block of images to fetch, as it is told to another process.

    Attributes:
        root: of the database: a path, or the URL of an object store.
        block: its number.
        settings: of the fetch; its host limits say how many share them.
        pack: the form of images and shards.
        generation: of the database when the fetch began.
        staging: folder for the results, within the database.
        workers: processes that decode.
    """

    root: str
    block: int
    settings: FetchSettings
    pack: PackSettings
    generation: int
    staging: str = STAGING
    workers: int = 1

    def __str__(self) -> str:
        return f"block {self.block} of {self.root}"


def fetch_block(spec: FetchSpec) -> list[str]:
    """Fetch what a block has to try; returns the names of its batches in the staging folder.

    Raises:
        DatabaseError: the database is missing or damaged.
        StorageError: the disk is full or not writable.
    """
    return _fetch(spec, list(_works(spec, [spec.block])))


def _works(spec: FetchSpec, blocks: list[int]) -> Iterator[Work]:
    retry, most = _tries(spec.settings)
    ledger = _ledger(spec.root, spec.generation)
    rows = spec.pack.block_rows
    return ledger.to_try(retry, block_rows=rows, most_attempts=most, only=blocks)


def blocks_of(spec: FetchSpec) -> list[int]:
    """The blocks in which there is something to try, whatever block the spec names."""
    retry, most = _tries(spec.settings)
    return blocks_to_try(_ledger(spec.root, spec.generation), retry, most, spec.pack.block_rows)


def _tries(settings: FetchSettings) -> tuple[frozenset[UrlState], int]:
    return (RETRYABLE, EVER) if settings.retry else (frozenset(), settings.attempts)


@lru_cache(maxsize=1)
def _ledger(root: str, generation: int) -> Ledger:
    """The ledger, opened once in a worker: other blocks change nothing of one that is not done."""
    return Ledger.open(Store.open(root))


class _TryingAgain(ShardShelf):
    """A shelf that remembers the addresses that may give their image another time."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._again: dict[int, list[Trial]] = {}

    def fail(self, trial: Trial, state: UrlState, answer: Answer) -> None:
        super().fail(trial, state, answer)
        if state.retryable:
            self.postpone(trial)

    def postpone(self, trial: Trial) -> None:
        self._again.setdefault(trial.image.row, []).append(trial)

    def take(self, trial: Trial, answer: Answer, verified: Verified) -> None:
        super().take(trial, answer, verified)
        self._again.pop(trial.image.row, None)

    def again(self) -> list[Wanted]:
        """The images that are still missing, each with the addresses that may give it now."""
        trials, self._again = self._again, {}
        return [
            replace(
                own[0].image,
                candidates=deque((trial.place, trial.address) for trial in own)
                + own[0].image.candidates,
            )
            for own in trials.values()
        ]


def _fetch(spec: FetchSpec, works: list[Work]) -> list[str]:
    directory, names = located(spec.root) / spec.staging, []
    settings = spec.settings

    def deliver(batch: Batch) -> None:
        names.append(batch.save(directory))

    shelf = _TryingAgain(
        directory, spec.pack.shard_bytes, deliver, seal_seconds=settings.seal_seconds
    )
    fetching = Fetching(
        lambda: Client(settings.network),
        spec.pack.images,
        shelf,
        Placeholders(0, copies=0),
        workers=spec.workers,
        concurrency=settings.concurrency,
    )
    with shelf, fetching:
        images, pauses = wanted_images(works), Pauses(settings)
        while True:
            fetching.run(images)
            again = shelf.again()
            if not again or not pauses.wait(fetching):
                break
            images = iter(again)
    return names
