"""A database of images with URLs, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from mlimages.images.ledger.rights import rights_table
from mlimages.schemas import IMAGES, SHARD_INDEX
from mlimages.store import Commit, Store


def url_store(root: Path | str, uris: Sequence[Sequence[str]], *, partition_rows: int = 4) -> Store:
    """Images 0, 1, ... with these places, called image-0, image-1, ..."""
    images = [
        {"row": row, "id": f"image-{row}", "sources": ["test"], "uris": list(places)}
        for row, places in enumerate(uris)
    ]
    store = Store.create(root, partition_rows=partition_rows)
    with store.commit("test") as commit:
        commit.append("images", pa.Table.from_pylist(images, schema=IMAGES))
    return store


def add_to_index(commit: Commit, rows: Sequence[int]) -> None:
    """Say that images are in a shard; there is none."""
    columns = {name: [0] * len(rows) for name in SHARD_INDEX.names}
    commit.append("shards/index", pa.table({**columns, "row": rows}, schema=SHARD_INDEX))


def plain_rights(rows: Sequence[int]) -> pa.Table:
    """Rights of images, as short as can be."""
    n = len(rows)
    texts, nothing = ["x"] * n, [None] * n
    return rights_table(
        rows, texts, texts, texts, [0.0] * n, texts, [1] * n, [[]] * n, nothing, nothing
    )
