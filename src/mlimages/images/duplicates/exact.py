"""Images whose bytes are the same: by the MD5 that their sources give, or by their packed bytes.

Eight bytes of each tell which ones are worth comparing, so nothing large is held.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.images.shards import ShardReader
from mlimages.labels.lookup import image_records
from mlimages.progress import track
from mlimages.store import Store

Link = tuple[int, int]


def equal_md5(store: Store) -> Iterable[Link]:
    """Pairs of rows, neighbours in their group, whose sources give the same MD5."""
    prints, rows = [], []
    for number in track(store.partitions("images"), "reading checksums", unit="partitions"):
        table = store.table("images", ["row", "md5"], number)
        table = table.filter(pc.is_valid(table["md5"]))
        # Eight bytes each tell which texts are worth comparing.
        digests = (
            hashlib.blake2b(text.encode(), digest_size=8).digest()
            for text in table["md5"].to_pylist()
        )
        prints.append(np.frombuffer(b"".join(digests), np.uint64))
        rows.append(table["row"].to_numpy())
    if not rows:
        return
    candidates = _repeated(np.concatenate(prints), np.concatenate(rows))
    rows_named = (row for group in candidates for row in group)
    records = image_records(store, rows_named, ["md5", "bytes"])
    for group in candidates:
        last: dict[tuple, int] = {}
        for row in group:
            key = (records[row]["md5"], records[row]["bytes"])
            if key in last:
                yield last[key], row
            last[key] = row


def equal_bytes(store: Store, reader: ShardReader) -> Iterable[Link]:
    """Pairs of rows, neighbours in their group, whose packed bytes are equal."""
    index = readable(store, reader)
    lengths = index["length"].to_numpy().astype(np.uint64)
    prints = (lengths << np.uint64(32)) ^ index["crc32"].to_numpy().astype(np.uint64)
    for group in track(_repeated(prints, index["row"].to_numpy()), "comparing bytes"):
        last: dict[bytes, int] = {}
        for row in group:
            digest = hashlib.sha256(reader.read(row)).digest()
            if digest in last:
                yield last[digest], row
            last[digest] = row


def readable(store: Store, reader: ShardReader) -> pa.Table:
    """Row, length and CRC-32 of the images that the reader gives."""
    index = store.table("shards/index", ["row", "length", "crc32"])
    return index.filter(pa.array(np.isin(index["row"].to_numpy(), reader.rows)))


def _repeated(prints: NDArray[np.uint64], rows: NDArray[np.int32]) -> list[list[int]]:
    """Rows of equal prints, for every print that occurs more than once; rows ascend."""
    order = np.lexsort((rows, prints))
    prints, rows = prints[order], rows[order]
    starts = np.flatnonzero(np.concatenate([[True], prints[1:] != prints[:-1]])[: len(prints)])
    ends = np.concatenate([starts[1:], [len(prints)]])
    several = ends - starts > 1
    return [
        rows[start:end].tolist()
        for start, end in zip(starts[several].tolist(), ends[several].tolist(), strict=True)
    ]


def join(links: Iterable[Link]) -> list[list[int]]:
    """Groups of rows that links connect, each ascending."""
    above: dict[int, int] = {}

    def top(row: int) -> int:
        while above.setdefault(row, row) != row:
            above[row] = above[above[row]]
            row = above[row]
        return row

    for first, second in links:
        low, high = sorted((top(first), top(second)))
        above[high] = low
    groups: dict[int, list[int]] = defaultdict(list)
    for row in sorted(above):
        groups[top(row)].append(row)
    return list(groups.values())
