"""Packing on a Ray cluster, or part by part; the shards are those of a single run.

A part holds no lock, and adopts nothing: it seals the shards of its blocks in a folder of its own
under DB/staging, and `merge_pack_parts` adopts those of all parts, in the order of blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from mlimages.errors import DatabaseError
from mlimages.execution.parts import Part
from mlimages.execution.run import Engine, run
from mlimages.images.packing.blocks import BlockSpec, pack_block, seal_block, waiting_images
from mlimages.images.packing.packing import Blocks, begin, compact_index, report_packing
from mlimages.images.packing.sealing import STAGE
from mlimages.images.packing.settings import PackSettings, agreed
from mlimages.images.packing.staging import SealedShard, adopt, load_shard
from mlimages.images.verification import SECONDS, Verifier
from mlimages.part_results import PartFolder, all_parts, fingerprint
from mlimages.progress import track
from mlimages.reports import PackReport, PartReport
from mlimages.storage import everywhere, located
from mlimages.store import Store

_INPUTS = ("images", "shards/index", "duplicates")
_MERGED = "packed_parts"  # in the manifest: which parts were adopted last
Packed = Iterator[tuple[BlockSpec, list[SealedShard]]]


def blocks_on(
    engine: Engine, workers: int | None = None, address: str | None = None
) -> Blocks | None:
    """What packs the blocks of `packing.pack_store`: None for this machine."""
    if engine == "local":
        return None

    def blocks(specs: list[BlockSpec]) -> Iterable[SealedShard]:
        for _, shards in _on_engine(specs, engine, workers, address):
            yield from shards

    return blocks


def pack_part(
    store: Store,
    part: Part,
    settings: PackSettings | None = None,
    *,
    workers: int | None = None,
    seconds: float = SECONDS,
    engine: Engine = "local",
    address: str | None = None,
) -> PartReport:
    """Pack one part's blocks into sealed shards, for `merge_pack_parts`.

    A part that was interrupted goes on with its next block.

    Args:
        store: of the database; several parts may work at once, and nobody may pack it meanwhile.
        part: which blocks.
        settings: those recorded, or the defaults, without them; the same for all parts.
        workers: processes that decode, or blocks at once on Ray.
        seconds: that a single image may take.
        engine, address: what does the work; see `execution.run`.

    Raises:
        DatabaseError: there are no images, or they were packed in another form before.
        StorageError: the disk is full or not writable.
    """
    if not store.num_rows("images"):
        raise DatabaseError(store.root, "holds no images", "run: mlimages import")
    settings = agreed(store, settings)
    folder = PartFolder(store.root, STAGE, part)
    database = fingerprint(store.manifest, _INPUTS)
    folder.begin({"database": database, "settings": settings.to_dict()})
    folder.sweep({name for names in folder.done.values() for name in names})
    waiting = waiting_images(store).blocks(settings.block_rows)
    specs = [
        BlockSpec(str(store.root), block, settings, staging=folder.name, seconds=seconds)
        for block in waiting
        if part.takes(block)
    ]
    left = [spec for spec in specs if str(spec.block) not in folder.done]
    packed = (
        _here(store, left, workers)
        if engine == "local"
        else _on_engine(left, engine, workers, address)
    )
    for spec, shards in packed:
        folder.mark(str(spec.block), [shard.save(folder.path) for shard in shards])
    folder.finish()
    return PartReport(STAGE, str(part), len(specs), len(specs) - len(left))


def merge_pack_parts(store: Store) -> PackReport:
    """Adopt the shards of all parts, in one commit; the parts are then removed.

    Raises:
        DatabaseError: a part is missing, or the database has changed since.
        StorageError: the disk is full or not writable.
    """
    with store.writing(STAGE):
        waiting = waiting_images(store)
        database = fingerprint(store.manifest, _INPUTS)
        merged = store.manifest.info.get(_MERGED, "")
        command = f"mlimages pack {store.root}"
        packed = 0
        with all_parts(store.root, STAGE, (database, merged), command) as folders:
            inputs = folders[0].inputs
            if inputs["database"] == database:  # else killed between the commit and the removal
                packed = _adopt_all(store, folders, PackSettings.from_dict(inputs["settings"]))
        compact_index(store)
    return report_packing(store, waiting, packed)


def _adopt_all(store: Store, folders: list[PartFolder], settings: PackSettings) -> int:
    begin(store, settings)
    found = [
        (int(block), number, folder, name)
        for folder in folders
        for block, names in folder.done.items()
        for number, name in enumerate(names)
    ]
    packed = 0
    with store.commit(STAGE) as commit:
        commit.info[_MERGED] = folders[0].inputs["database"]
        ordered = sorted(found, key=lambda entry: entry[:2])
        for _, _, folder, name in track(ordered, "adopting", unit="shards"):
            shard = load_shard(folder.path, name)
            if adopt(commit, shard) is not None:
                packed += shard.index.num_rows
    return packed


def _here(store: Store, specs: list[BlockSpec], workers: int | None) -> Packed:
    if not specs:
        return
    images, seconds = specs[0].settings.images, specs[0].seconds
    with Verifier(images, workers=workers, seconds=seconds, md5=False) as verifier:
        for spec in track(specs, "packing", unit="blocks"):
            yield spec, list(seal_block(store, spec, verifier))


def _on_engine(
    specs: list[BlockSpec], engine: Engine, workers: int | None, address: str | None
) -> Packed:
    specs = [replace(spec, root=everywhere(located(spec.root))) for spec in specs]
    yield from run(
        pack_block,
        specs,
        engine=engine,
        workers=workers,
        address=address,
        ordered=True,
        description="packing",
        unit="blocks",
    )
