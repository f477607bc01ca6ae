"""Choosing images of a database, with their tags in memory: sparse, 8 bytes a tag."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow.compute as pc

from mlimages.errors import DatabaseError, InputError
from mlimages.labels.absences import silences, single_label_rows, verified_absences
from mlimages.labels.lookup import left_out
from mlimages.labels.sparse import categories_of, contains, expand, rows_of
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


@dataclass(frozen=True)
class KnownAbsences:
    """What sources say is not in some images; whatever has neither a tag nor this is unknown.

    Absences are here as they were said: what lies below them in the hierarchy is absent, too.

    Attributes:
        indptr: int64 [n + 1]; absences that were said of image i are at indptr[i]:indptr[i + 1].
        categories: int32 [absences], vocabulary indices.
        groups: int32 [n], which of the `closed` sets holds for each image.
        closed: int32 arrays; the categories that an image's exhaustive sources would have named.
    """

    indptr: np.ndarray
    categories: np.ndarray
    groups: np.ndarray
    closed: tuple[np.ndarray, ...]


def known_absences(store: Store, rows: np.ndarray) -> KnownAbsences:
    """What is known to be absent from the images of some rows, ascending; see `Database`."""
    size, sources = store.manifest.partition_rows, store.table("sources")
    counts = np.zeros(len(rows), np.int64)
    groups = np.zeros(len(rows), np.int32)
    denied = ~pc.field("present")
    said, sets = [np.empty(0, np.int32)], {(): 0}
    for partition in store.partitions():
        first, last = np.searchsorted(rows, (partition * size, (partition + 1) * size))
        if first == last:
            continue
        local = rows[first:last] - partition * size
        groups_here, exhaustive = silences(store.table("images", ["sources"], partition), sources)
        owners, members = rows_of(exhaustive), categories_of(exhaustive)
        for group in np.unique(groups_here[local]):
            closed = tuple(members[owners == group].tolist())
            number = sets.setdefault(closed, len(sets))
            groups[first:last][groups_here[local] == group] = number
        keys = verified_absences(
            store.table("facts", ["row", "category", "present"], partition, denied)
        )
        keys = keys[contains(rows[first:last], rows_of(keys))]
        place = np.searchsorted(rows, rows_of(keys))
        counts += np.bincount(place, minlength=len(rows))
        said.append(categories_of(keys))
    indptr = np.concatenate([[0], np.cumsum(counts)])
    closed_sets = tuple(np.array(members, np.int32) for members in sets)
    return KnownAbsences(indptr, np.concatenate(said), groups, closed_sets)


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
