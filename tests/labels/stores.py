"""A small database written from a `World`, cut into partitions of a few images."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from tests.labels.reference import World
from tests.labels.worlds import derived, facts_table, sources_table

from mlimages.schemas import IMAGES, SPLITS
from mlimages.store import Store


def store_of(
    world: World,
    root: Path,
    single: tuple[str, ...] = (),
    splits: dict[int, str] | None = None,
    ids: list[str] | None = None,
    partition_rows: int = 2,
) -> Store:
    """Images, sources, facts, derived tags, postings and splits of a world, in a new store."""
    count = len(world.image_sources)
    images = [
        {"row": row, "id": ids[row] if ids else f"image-{row}", "sources": sorted(said), "uris": []}
        for row, said in enumerate(world.image_sources)
    ]
    tags = derived(world)
    chosen = dict.fromkeys(range(count), "train") if splits is None else splits
    store = Store.create(root, partition_rows=partition_rows)
    with store.commit("test") as commit:
        commit.append("images", pa.Table.from_pylist(images, schema=IMAGES))
        commit.append("sources", sources_table(world, single))
        commit.append("facts", facts_table(world.facts))
        commit.append("tags", tags.to_table())
        commit.append("postings", tags.to_postings())
        columns = {"row": list(chosen), "split": list(chosen.values())}
        commit.append("splits", pa.table(columns, schema=SPLITS))
    return store
