"""Which of several images to keep: one order over all images, the best first.

The largest in pixels, then the one of most sources, then the one of most bytes (compressed least),
then the lowest row.
"""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.progress import track
from mlimages.store import Store

_PIXEL_BITS, _SOURCE_BITS, _BYTE_BITS = 28, 6, 28


def ranks(store: Store) -> NDArray[np.int32]:
    """int32 [images]: the place of each image in the order; 0 is the best."""
    pixels = np.zeros(store.num_rows("images"), np.uint64)
    sources, length = np.zeros_like(pixels), np.zeros_like(pixels)
    for number in track(store.partitions("images"), "ranking images", unit="partitions"):
        columns = ["row", "sources", "width", "height", "bytes"]
        table = store.table("images", columns, number)
        rows = table["row"].to_numpy()
        width, height, size = (
            table[name].fill_null(0).to_numpy().astype(np.uint64)
            for name in ("width", "height", "bytes")
        )
        pixels[rows], length[rows] = width * height, size
        sources[rows] = pc.list_value_length(table["sources"]).fill_null(0).to_numpy()
    index = store.table("shards/index", ["row", "width", "height", "length"])
    rows = index["row"].to_numpy()
    width, height = (index[name].to_numpy().astype(np.uint64) for name in ("width", "height"))
    pixels[rows], length[rows] = width * height, index["length"].to_numpy()
    key = _limited(pixels, _PIXEL_BITS) << np.uint64(_SOURCE_BITS + _BYTE_BITS)
    key |= _limited(sources, _SOURCE_BITS) << np.uint64(_BYTE_BITS)
    key |= _limited(length, _BYTE_BITS)
    places = np.empty(len(key), np.int32)
    places[np.argsort(~key, kind="stable")] = np.arange(len(key), dtype=np.int32)
    return places


def _limited(values: NDArray[np.uint64], bits: int) -> NDArray[np.uint64]:
    return np.minimum(values, np.uint64((1 << bits) - 1))
