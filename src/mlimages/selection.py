"""Choosing images of a database, with their tags in memory: sparse, 8 bytes a tag."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow.compute as pc

from mlimages.errors import DatabaseError, InputError
from mlimages.labels.absences import single_label_rows
from mlimages.labels.lookup import left_out
from mlimages.labels.sparse import expand
from mlimages.labels.tags import compressed
from mlimages.store import Store

Part = Literal["all", "multi", "single"]


@dataclass(frozen=True)
class Selection:
    """Images and their tags, sparse, in row order.

    Attributes:
        rows: int32 [n], ascending.
        indptr: int64 [n + 1]; tags of image i are at indptr[i]:indptr[i + 1].
        categories: int32 [tags], vocabulary indices.
        confidences: float32 [tags].
    """

    rows: np.ndarray
    indptr: np.ndarray
    categories: np.ndarray
    confidences: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


def select(store: Store, split: str | None, part: Part, packed: bool) -> Selection:
    """Choose images with their tags; see `Database.select`."""
    num_images = store.num_rows("images")
    keep = ~left_out(store)
    if split is not None:
        keep &= _in_split(store, split, num_images)
    if part != "all":
        keep &= single_label_images(store) == (part == "single")
    if packed:
        has_bytes = np.zeros(num_images, dtype=bool)
        has_bytes[store.table("shards/index", ["row"])["row"].to_numpy()] = True
        keep &= has_bytes
    if not keep.any():
        what = f"no image in split {split!r}, part {part!r}" if split else f"no image, {part=}"
        hint = "run: mlimages pack DB" if packed else "import images of that kind"
        raise DatabaseError(store.root, what, hint)
    return _take(store, np.flatnonzero(keep).astype(np.int32))


def single_label_images(store: Store) -> np.ndarray:
    """bool [images]: whether only single-label sources annotated the image."""
    sources = store.table("sources")
    found = [
        single_label_rows(store.table("images", ["sources"], partition), sources)
        for partition in store.partitions()
    ]
    return np.concatenate([np.empty(0, dtype=bool), *found])


def _take(store: Store, rows: np.ndarray) -> Selection:
    """The tags of some images, ascending, a partition at a time."""
    size = store.manifest.partition_rows
    indptr = np.zeros(len(rows) + 1, dtype=np.int64)
    most = store.manifest.info["tags"]["tags"]  # memory that is not used is not taken
    taken = {"categories": np.empty(most, np.int32), "confidences": np.empty(most, np.float32)}
    for partition in store.partitions("tags"):
        first, last = np.searchsorted(rows, (partition * size, (partition + 1) * size))
        if first == last:
            continue
        table = store.table("tags", list(taken), partition)
        for name, values in taken.items():
            starts, found = compressed(table[name])
            local = rows[first:last] - partition * size
            ends = indptr[first] + np.cumsum(starts[local + 1] - starts[local])
            indptr[first + 1 : last + 1] = ends
            values[indptr[first] : ends[-1]] = found[expand(starts, local)[1]]
    categories, confidences = (values[: indptr[-1]] for values in taken.values())
    return Selection(rows, indptr, categories, confidences)


def _in_split(store: Store, split: str, count: int) -> np.ndarray:
    table = store.table("splits")
    known = pc.unique(table["split"]).to_pylist()
    if split not in known:
        listed = ", ".join(sorted(known)) or "none"
        raise InputError(split, "no such split in the database", f"known: {listed}")
    chosen = np.zeros(count, dtype=bool)
    chosen[table.filter(pc.equal(table["split"], split))["row"].to_numpy()] = True
    return chosen
