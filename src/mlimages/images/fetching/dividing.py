"""Fetching by several workers at once: local processes, a Ray cluster, or parts that run anywhere.

Workers hold no lock and write no ledger: each fetches blocks of rows into sealed shards in a
staging folder, with what became of every address beside them. Whoever holds the writer's lock
commits that. A host's limits are divided among the workers. Placeholders are found when batches are
committed: only there is everything seen that a host gave.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from mlimages.errors import DatabaseError
from mlimages.execution.parts import Part
from mlimages.execution.run import Engine, run
from mlimages.images.fetching.blocks import FetchSpec, blocks_of, fetch_block
from mlimages.images.fetching.fetch_settings import FetchSettings
from mlimages.images.fetching.placeholders import Placeholders, host_of
from mlimages.images.fetching.report import FetchReport, report_fetch
from mlimages.images.fetching.shelves import (
    Batch,
    discard_batch,
    load_batch,
    without_placeholders,
)
from mlimages.images.fetching.storing import STAGE, commit_batch, load_placeholders
from mlimages.images.ledger.ledger import Ledger
from mlimages.images.packing.packing import compact_index
from mlimages.images.packing.settings import PackSettings, agreed, record, recorded
from mlimages.images.packing.staging import sweep
from mlimages.part_results import PartFolder, all_parts, fingerprint
from mlimages.progress import track
from mlimages.reports import PartReport
from mlimages.storage import located
from mlimages.store import Store

_INPUTS = ("images", "shards/index", "ledger", "duplicates", "removals")
_MERGED = "fetched_parts"  # in the manifest: which parts were adopted last


def fetch_on(
    store: Store,
    settings: FetchSettings | None = None,
    pack: PackSettings | None = None,
    *,
    engine: Engine = "ray",
    workers: int | None = None,
    address: str | None = None,
    include_sensitive: bool = False,
) -> FetchReport:
    """Fetch by several workers; each block is committed when it is done.

    Args:
        store: of the database.
        settings: how addresses are tried.
        pack: the form of images and shards; the recorded one, or the defaults, without.
        engine, workers, address: what does the work; see `execution.run`. Host limits are divided
            by `workers`, which is 4 by default.
        include_sensitive: also name sensitive categories in the report.

    Raises:
        DatabaseError: there are no images, or they were packed in another form before.
        ExecutionError: a worker was lost too often.
        StorageError: the disk is full or not writable.
    """
    began, workers, settings = time.monotonic(), workers or 4, settings or FetchSettings()
    with store.writing(STAGE):
        pack = _begin(store, pack)
        sweep(store.root)
        ledger = Ledger.open(store)
        placeholders = load_placeholders(store, settings.placeholder_copies)
        root, generation = _everywhere(str(store.root)), store.manifest.generation
        spec = FetchSpec(root, 0, divided(settings, workers), pack, generation)
        images = size = 0
        for done, names in run(
            fetch_block,
            [replace(spec, block=block) for block in blocks_of(spec)],
            engine=engine,
            workers=workers,
            address=address,
            description="fetching",
            unit="blocks",
        ):
            for name in names:
                batch = load_batch(store.root / done.staging, name)
                images, size = images + batch.rights.num_rows, size + _bytes(batch)
                commit_batch(store, ledger, placeholders, _counted(batch, placeholders))
                discard_batch(store.root / done.staging, name)
        ledger.close()
        compact_index(store)
    seconds = time.monotonic() - began
    return report_fetch(ledger, images, size, seconds, include_sensitive=include_sensitive)


def fetch_part(
    store: Store,
    part: Part,
    settings: FetchSettings | None = None,
    pack: PackSettings | None = None,
    *,
    workers: int | None = None,
) -> PartReport:
    """Fetch one part's blocks for `merge_fetch_parts`; an interrupted part goes on.

    Args:
        store: of the database; several parts may work at once, and nobody may fetch meanwhile.
        part: which blocks; host limits are divided by the number of parts.
        settings: how addresses are tried; the same for all parts.
        pack: the form of images and shards; the same for all parts.
        workers: processes that decode; one a core by default.

    Raises:
        DatabaseError: there are no images, or they were packed in another form before.
        StorageError: the disk is full or not writable.
    """
    settings = divided(settings or FetchSettings(), part.count)
    if not store.num_rows("images"):
        raise DatabaseError(store.root, "holds no images", "run: mlimages import")
    pack = agreed(store, pack)
    folder = PartFolder(store.root, STAGE, part)
    folder.begin({"database": fingerprint(store.manifest, _INPUTS), "pack": pack.to_dict()})
    folder.sweep({name for names in folder.done.values() for name in names})
    spec = FetchSpec(
        *(str(store.root), 0, settings, pack, store.manifest.generation),
        staging=folder.name,
        workers=workers or 1,
    )
    blocks = [block for block in blocks_of(spec) if part.takes(block)]
    left = [block for block in blocks if str(block) not in folder.done]
    for block in track(left, "fetching", unit="blocks"):
        folder.mark(str(block), fetch_block(replace(spec, block=block)))
    folder.finish()
    return PartReport(STAGE, str(part), len(blocks), len(blocks) - len(left))


def merge_fetch_parts(
    store: Store, settings: FetchSettings | None = None, *, include_sensitive: bool = False
) -> FetchReport:
    """Commit what all parts fetched; the parts are then removed.

    Raises:
        DatabaseError: a part is missing, or the database has changed since.
        StorageError: the disk is full or not writable.
    """
    settings, began = settings or FetchSettings(), time.monotonic()
    images = size = 0
    with store.writing(STAGE):
        database = fingerprint(store.manifest, _INPUTS)
        merging = store.manifest.info.get(_MERGED, "")
        command = f"mlimages fetch {store.root}"
        with all_parts(store.root, STAGE, (database, merging), command) as folders:
            inputs = folders[0].inputs
            _begin(store, PackSettings.from_dict(inputs["pack"]))
            with store.commit(STAGE) as commit:  # from here on the parts are of this database
                commit.info[_MERGED] = inputs["database"]
            ledger = Ledger.open(store)
            placeholders = load_placeholders(store, settings.placeholder_copies)
            for folder, name in track(_batches(folders), "adopting", unit="shards"):
                batch = load_batch(folder.path, name)
                if _is_known(store, batch):
                    continue
                images, size = images + batch.rights.num_rows, size + _bytes(batch)
                commit_batch(store, ledger, placeholders, _counted(batch, placeholders))
            ledger.close()
        compact_index(store)
    seconds = time.monotonic() - began
    return report_fetch(ledger, images, size, seconds, include_sensitive=include_sensitive)


def divided(settings: FetchSettings, parts: int) -> FetchSettings:
    """The same settings for each of so many that ask the same hosts."""
    hosts = replace(settings.network.hosts, parts=parts)
    return replace(settings, network=replace(settings.network, hosts=hosts))


def _begin(store: Store, pack: PackSettings | None) -> PackSettings:
    if not store.num_rows("images"):
        raise DatabaseError(store.root, "holds no images", "run: mlimages import")
    pack = agreed(store, pack)
    if recorded(store) != pack:
        with store.commit(STAGE) as commit:
            record(commit, pack)
    return pack


def _batches(folders: list[PartFolder]) -> list[tuple[PartFolder, str]]:
    found = [
        (int(block), number, folder, name)
        for folder in folders
        for block, names in folder.done.items()
        for number, name in enumerate(names)
    ]
    return [entry[2:] for entry in sorted(found, key=lambda entry: entry[:2])]


def _counted(batch: Batch, placeholders: Placeholders) -> Batch:
    """A batch with the placeholders that its images make known."""
    found = set()
    for entry in batch.rights.select(["uri", "md5"]).to_pylist():
        host = host_of(entry["uri"])
        if host and placeholders.see(host, entry["md5"]):
            found.add((host, entry["md5"]))
    return without_placeholders(replace(batch, placeholders=sorted(found)))


def _is_known(store: Store, batch: Batch) -> bool:
    """Whether a merge that was killed had committed it."""
    if batch.shard is None:
        return False
    shards = store.manifest.files.get("shards", [])
    return any(entry.sha256 == batch.shard.sha256 for entry in shards)


def _bytes(batch: Batch) -> int:
    return sum(batch.rights["bytes"].to_pylist())


def _everywhere(root: str) -> str:
    """The same place, whatever folder a worker works in."""
    path = located(root)
    return str(path.absolute()) if isinstance(path, Path) else root
