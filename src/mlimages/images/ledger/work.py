"""Which images are to be fetched, and by which of their URLs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.images.fetching.states import UrlState
from mlimages.labels.lookup import left_out
from mlimages.store import Store

if TYPE_CHECKING:
    from mlimages.images.ledger.columns import Columns
    from mlimages.images.ledger.ledger import Ledger

RETRYABLE = frozenset(state for state in UrlState if state.retryable)
"""The states of URLs that may give an image another time."""
COLUMNS = ("id", "uris", "md5", "bytes", "licence", "author")


@dataclass(frozen=True)
class Work:
    """Images of one block whose bytes are wanted, each with a URL to try at least.

    Attributes:
        block: number of the block: rows from block * block_rows up to the next.
        images: their rows of the table `images`, ascending, with `row` and COLUMNS.
        indptr: int64 [images + 1]; URLs of image i are at indptr[i]:indptr[i + 1].
        candidates: uint8, positions in the image's uris, in order of preference.
    """

    block: int
    images: pa.Table
    indptr: NDArray[np.int64]
    candidates: NDArray[np.uint8]

    def __len__(self) -> int:
        return self.images.num_rows

    def entries(self) -> Iterator[tuple[dict[str, Any], list[int]]]:
        """(the image as a dictionary, positions in its uris to try) of each image."""
        bounds, candidates = self.indptr.tolist(), self.candidates.tolist()
        for place, record in enumerate(self.images.to_pylist()):
            yield record, candidates[bounds[place] : bounds[place + 1]]


def wanted_images(store: Store) -> NDArray[np.bool_]:
    """bool [images]: neither left out nor in a shard already."""
    return ~left_out(store) & ~packed_images(store)


def packed_images(store: Store) -> NDArray[np.bool_]:
    """bool [images]: in a shard."""
    packed = np.zeros(store.num_rows("images"), dtype=bool)
    for number in store.partitions("shards/index"):
        packed[store.table("shards/index", ["row"], number)["row"].to_numpy()] = True
    return packed


def slots_to_try(
    ledger: Ledger, number: int, wanted: NDArray[np.bool_], allowed: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """bool [candidates] of a partition: URLs in an allowed state, of wanted images without an ok.

    Args:
        ledger: the ledger.
        number: of the partition.
        wanted: bool [images of the partition].
        allowed: bool [256], by state.
    """
    part = ledger.partitions()[number]
    lengths = np.diff(part.starts)
    has_ok = images_with(part, ledger.states(number) == UrlState.OK)
    return allowed[ledger.states(number)] & np.repeat(wanted & ~has_ok, lengths)


def images_with(part: Columns, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """bool [images of the partition]: of which one of the chosen URLs, bool [candidates], is."""
    counts = np.concatenate([[0], np.cumsum(chosen)])
    return counts[part.starts[1:]] > counts[part.starts[:-1]]


def allowed_states(retry: Collection[UrlState]) -> NDArray[np.bool_]:
    """bool [256]: pending, and those to try again."""
    allowed = np.zeros(256, bool)
    allowed[[UrlState.PENDING, *retry]] = True
    allowed[[UrlState.OK, UrlState.REMOVED]] = False
    return allowed


def find_work(
    ledger: Ledger,
    retry: Collection[UrlState],
    block_rows: int,
    most_attempts: int,
    columns: Collection[str],
) -> Iterator[Work]:
    """Images whose bytes are wanted, block by block in order of rows, one partition at a time.

    An image is wanted when it is in no shard, no URL of it is ok, and it is not left out (removed,
    or another one stands for it). States are those of the moment a partition begins.

    Args:
        ledger: the ledger.
        retry: states of URLs to try again, such as RETRYABLE; pending ones are always tried.
        block_rows: rows of a block.
        most_attempts: URLs that were tried so often are not tried again.
        columns: of `images`, beside `row` and COLUMNS.
    """
    wanted = wanted_images(ledger.store)
    allowed = allowed_states(retry)
    size = ledger.store.manifest.partition_rows
    for number, part in ledger.partitions().items():
        first = number * size
        chosen = slots_to_try(ledger, number, wanted[first : first + part.images], allowed)
        chosen &= (part.attempts < most_attempts) | (part.state == UrlState.PENDING)
        slots = np.flatnonzero(chosen)
        if len(slots) == 0:
            continue
        names = list(dict.fromkeys(["row", *COLUMNS, *columns]))
        images = ledger.store.table("images", names, number).sort_by("row")
        rows = part.rows(slots)
        blocks, starts = np.unique(rows // block_rows, return_index=True)
        ends = [*starts[1:].tolist(), len(slots)]
        for block, start, end in zip(blocks.tolist(), starts.tolist(), ends, strict=True):
            found, counts = np.unique(rows[start:end], return_counts=True)
            yield Work(
                block,
                images.take(pa.array(found - first)),
                np.concatenate([[0], np.cumsum(counts)]),
                part.candidate[slots[start:end]],
            )
