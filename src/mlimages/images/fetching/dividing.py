"""Fetching on a Ray cluster, or part by part; hosts are asked no more than by one machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from mlimages.errors import DatabaseError, UsageError
from mlimages.execution.parts import Part
from mlimages.execution.run import Engine, run
from mlimages.images.fetching.batch_files import load_batch, only_rows, save_batch
from mlimages.images.fetching.fetch_settings import FetchSettings
from mlimages.images.fetching.report import FetchReport, report_fetch
from mlimages.images.fetching.storing import (
    STAGE,
    FetchImages,
    commit_batch,
    fetch_images,
    load_placeholders,
    most_attempts,
    run_rounds,
)
from mlimages.images.fetching.tasks import (
    FetchSpec,
    FetchTask,
    divided,
    fetch_task,
    grouped,
    judged,
)
from mlimages.images.ledger.ledger import Ledger
from mlimages.images.ledger.work import RETRYABLE, Work, wanted_images
from mlimages.images.packing.packing import compact_index
from mlimages.images.packing.settings import PackSettings, agreed, record, recorded
from mlimages.images.packing.staging import STAGING
from mlimages.part_results import PartFolder, all_parts, fingerprint
from mlimages.progress import track
from mlimages.reports import PartReport
from mlimages.storage import everywhere
from mlimages.store import Store

if TYPE_CHECKING:
    from mlimages.storage import AnyPath

TASK_IMAGES = 8192
BLOCK_ROWS = 1 << 14
_INPUTS = ("images",)
_MERGED = "fetched_batches"  # in the manifest: batches of parts that were committed


def images_on(engine: Engine, address: str | None = None) -> FetchImages:
    """What fetches the images of `storing.fetch_store`; raises UsageError as its work does."""
    return fetch_images if engine == "local" else tasks_on(engine, address)


def tasks_on(engine: Engine, address: str | None = None) -> FetchImages:
    """As `images_on`, in tasks also on this machine."""
    return partial(_fetch_images_on, engine, address)


def _fetch_images_on(
    engine: Engine,
    address: str | None,
    store: Store,
    ledger: Ledger,
    settings: FetchSettings,
    pack: PackSettings,
    workers: int | None,
) -> tuple[int, int]:
    """As `storing.fetch_images`, in tasks: the ledger, the rounds and the commits are here."""
    if workers is None:
        action = "add --workers N: each has one N-th of a host's limit"
        raise UsageError(f"fetch on {engine}", "how many tasks share the hosts is not said", action)
    spec = FetchSpec(everywhere(store.root), STAGING, divided(settings, workers), pack)
    placeholders = load_placeholders(store, settings.placeholder_copies)
    images = size = 0

    def one_round(works: Iterator[Work], done: Callable[[], object]) -> tuple[int, float]:
        nonlocal images, size
        put_off, resume_at = 0, float("inf")
        for task, result in run(
            partial(fetch_task, spec),
            grouped(works, TASK_IMAGES),
            engine=engine,
            workers=workers,
            address=address,
        ):
            for batch in result.batches:
                commit_batch(store, ledger, placeholders, judged(batch, placeholders))
            images, size = images + result.images, size + result.bytes
            if result.put_off:
                put_off += result.put_off
                resume_at = min(resume_at, time.monotonic() + result.rest)
            for _ in range(len(task)):
                done()
        return put_off, resume_at

    run_rounds(ledger, one_round, settings)
    return images, size


def fetch_part(
    store: Store,
    part: Part,
    settings: FetchSettings | None = None,
    pack: PackSettings | None = None,
    *,
    workers: int | None = None,
    at_once: int | None = None,
) -> PartReport:
    """Fetch one part's blocks of images, for `merge_fetch_parts`.

    A part that was interrupted goes on with its next block.

    Args:
        store: of the database; nothing but the staging folder is written.
        part: which blocks.
        settings: how addresses are tried.
        pack: the form of images and shards; the recorded one, or the defaults, without.
        workers: processes that decode; 1 by default.
        at_once: parts that work at the same time: each has its share of a host's limit. All, by
            default.

    Raises:
        DatabaseError: there are no images, or they were packed in another form before.
        InputError: there is not even one connection a host for each part.
        StorageError: the disk is full or not writable.
    """
    if not store.num_rows("images"):
        raise DatabaseError(store.root, "holds no images", "run: mlimages import")
    settings, pack = settings or FetchSettings(), agreed(store, pack)
    shared = divided(settings, at_once or part.count)
    folder = PartFolder(store.root, STAGE, part)
    folder.begin({"database": fingerprint(store.manifest, _INPUTS), "pack": pack.to_dict()})
    folder.sweep({name for names in folder.done.values() for name in names})
    spec = FetchSpec(
        *(everywhere(store.root), folder.name, shared, pack),
        rounds=settings.attempts,
        workers=workers or 1,
    )
    retry = RETRYABLE if settings.retry else frozenset()
    done_before = len(folder.done)
    works = Ledger.open(store).to_try(
        retry, block_rows=BLOCK_ROWS, most_attempts=most_attempts(settings)
    )
    for work in track(works, "fetching", unit="blocks"):
        number = _number(work, store.manifest.partition_rows)
        if part.takes(number) and str(number) not in folder.done:
            result = fetch_task(spec, FetchTask((work,)))
            folder.mark(str(number), [save_batch(batch, folder.path) for batch in result.batches])
    folder.finish()
    return PartReport(STAGE, str(part), len(folder.done), done_before)


def merge_fetch_parts(
    store: Store, settings: FetchSettings | None = None, include_sensitive: bool = False
) -> FetchReport:
    """Take in what all parts fetched, a commit a batch; the parts are then removed.

    It continues where it stopped: a batch that is committed is not taken again, and an image that
    is in a shard already keeps the bytes it has.

    Raises:
        DatabaseError: a part is missing, or images were imported since.
        StorageError: the disk is full or not writable.
    """
    settings = settings or FetchSettings()
    began = time.monotonic()
    size = 0
    with store.writing(STAGE):
        before = store.num_rows("shards/index")
        ledger = Ledger.open(store)
        placeholders = load_placeholders(store, settings.placeholder_copies)
        database = fingerprint(store.manifest, _INPUTS)
        command = f"mlimages fetch {store.root}"
        with all_parts(store.root, STAGE, [database], command) as folders:
            _agree(store, PackSettings.from_dict(folders[0].inputs["pack"]))
            wanted = wanted_images(ledger.store)
            batches = _batches(folders)
            names = {name for _, name in batches}
            merged = [name for name in store.manifest.info.get(_MERGED, []) if name in names]
            for path, name in track(batches, "adopting", unit="batches"):
                if name in merged:
                    continue
                merged.append(name)
                batch = judged(only_rows(load_batch(path, name), wanted), placeholders)
                commit_batch(store, ledger, placeholders, batch, {_MERGED: list(merged)})
                size += pc.sum(batch.rights["bytes"]).as_py() or 0
        compact_index(store)
        ledger.close()
        images = store.num_rows("shards/index") - before  # some were taken back as placeholders
    seconds = time.monotonic() - began
    return report_fetch(ledger, images, size, seconds, include_sensitive=include_sensitive)


def _number(work: Work, partition_rows: int) -> int:
    """Of the piece of a block that lies in one partition, whatever is left to fetch of it."""
    first = work.images["row"][0].as_py() // partition_rows * partition_rows
    return max(first, work.block * BLOCK_ROWS) // min(partition_rows, BLOCK_ROWS)


def _batches(folders: list[PartFolder]) -> list[tuple[AnyPath, str]]:
    """Where every batch is, in the order of blocks: the same whichever part ended first."""
    found = sorted(
        (int(block), number, name, folder.path)
        for folder in folders
        for block, names in folder.done.items()
        for number, name in enumerate(names)
    )
    return [(path, name) for _, _, name, path in found]


def _agree(store: Store, pack: PackSettings) -> None:
    """Record the form of images, unless it is."""
    pack = agreed(store, pack)
    if recorded(store) != pack:
        with store.commit(STAGE) as commit:
            record(commit, pack)
