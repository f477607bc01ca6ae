"""What a database says of each image, as compact arrays by row.

Texts of 17 million images do not fit into a small memory; one or two bytes an image do.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from mlimages.schemas import IMAGES
from mlimages.store import Store

NO_SPLIT = -1


def split_codes(store: Store) -> tuple[list[str], NDArray[np.int16]]:
    """(names of the splits, int16 [images]: the place of each image's split among them, or -1)."""
    codes = np.full(store.num_rows("images"), NO_SPLIT, np.int16)
    table = store.table("splits")
    encoded = table["split"].combine_chunks().dictionary_encode()
    names = encoded.dictionary.to_pylist()
    order = sorted(names)
    places = np.array([order.index(name) for name in names], np.int16)
    codes[table["row"].to_numpy()] = places[encoded.indices.to_numpy()] if names else NO_SPLIT
    return order, codes


def left_out(store: Store) -> NDArray[np.bool_]:
    """bool [images]: images that nothing counts, selects or shows.

    They are removed on request, or another one, of the same photo, stands for them.
    """
    return removed(store) | merged_away(store)


def removed(store: Store) -> NDArray[np.bool_]:
    """bool [images]: images that are removed on request.

    Where one of several images of the same photo is removed, all of them are: a photo is not in the
    database still because it was in it twice.
    """
    gone = np.zeros(store.num_rows("images"), dtype=bool)
    lists = store.table("removals", ["rows"])["rows"]
    gone[pc.list_flatten(lists).to_numpy()] = True
    if gone.any():
        table = store.table("duplicates", ["row", "kept"])
        row, kept = table["row"].to_numpy(), table["kept"].to_numpy()
        gone[kept[gone[row]]] = True
        gone[row[gone[kept]]] = True
    return gone


def merged_away(store: Store) -> NDArray[np.bool_]:
    """bool [images]: images that another one stands for, or that were put aside as leaks."""
    away = np.zeros(store.num_rows("images"), dtype=bool)
    for name in ("duplicates", "leaks"):
        away[store.table(name, ["row"])["row"].to_numpy()] = True
    return away


def image_records(store: Store, rows: Iterable[int], columns: list[str]) -> dict[int, dict]:
    """Some columns of some images, by row; reads only the partitions that hold them."""
    wanted = np.unique(np.fromiter(rows, dtype=np.int64))
    found: dict[int, dict] = {}
    size = store.manifest.partition_rows
    for number in np.unique(wanted // size).tolist():
        table = store.table("images", ["row", *columns], number)
        own = wanted[wanted // size == number]
        chosen = table.filter(pc.is_in(table["row"], pa.array(own, IMAGES.field("row").type)))
        found |= {record.pop("row"): record for record in chosen.to_pylist()}
    return found


def image_ids(store: Store, rows: ArrayLike) -> list[str]:
    """The ids of some images, in the order of `rows`."""
    wanted = np.asarray(rows, dtype=np.int64).tolist()
    records = image_records(store, wanted, ["id"])
    return [records[row]["id"] for row in wanted]
