"""Predictions beside the tags of the same images, a few hundred thousand images at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from mlimages.errors import InputError
from mlimages.labels.lookup import left_out
from mlimages.labels.predicted_rows import recorded_rows
from mlimages.labels.sparse import (
    Keys,
    categories_of,
    contains,
    expand,
    group_starts,
    make_keys,
    rows_of,
    upward,
)
from mlimages.labels.tag_blocks import TagBlock, partition_blocks
from mlimages.labels.tags import ASSERTED
from mlimages.progress import track
from mlimages.schemas import PREDICTIONS
from mlimages.store import Store
from mlimages.taxonomy.hierarchy import Hierarchy

_NOT_PREDICTIONS = "write them with: mlimages predict"


@dataclass(frozen=True)
class SeenBlock:
    """Some images that the network saw: tags and lifted probabilities, by (row, category)."""

    tags: Keys
    asserted: NDArray[np.bool_]
    predicted: Keys
    probabilities: NDArray[np.float64]

    def probability(self, keys: Keys) -> NDArray[np.float64]:
        found = np.zeros(len(keys))
        hit = contains(self.predicted, keys)
        found[hit] = self.probabilities[np.searchsorted(self.predicted, keys[hit])]
        return found


class SeenPredictions:
    """A table of predictions, and the images that the network saw.

    Attributes:
        seen: bool [images]; those that the table's metadata lists (see `predicted_rows`), or
            without metadata those in the table; duplicates are left out.

    Raises:
        InputError: predictions lack a column, hold other values, or are of another database.
    """

    def __init__(self, store: Store, hierarchy: Hierarchy, predictions: ds.Dataset) -> None:
        self.store, self.hierarchy = store, hierarchy
        self.predictions = _checked(predictions)
        count = store.num_rows("images")
        listed = recorded_rows(predictions.schema, count)
        self.seen = _rows_in(predictions, count) if listed is None else listed
        self.seen &= ~left_out(store)

    def strongest(self, rows: Sequence[int]) -> dict[int, tuple[int, float]]:
        """The most probable category of each of some images, with its probability."""
        chosen = pc.field("row").isin(pa.array(rows, PREDICTIONS.field("row").type))
        table = self.predictions.to_table(columns=PREDICTIONS.names, filter=chosen)
        order = [("probability", "ascending"), ("category", "descending")]
        return {
            record["row"]: (record["category"], record["probability"])
            for record in table.sort_by(order).to_pylist()
        }

    def blocks(self, what: str) -> Iterator[tuple[int, SeenBlock]]:
        """Every block of seen images, with the number of its partition."""
        for number in track(self.store.partitions("tags"), what, unit="partitions"):
            for block in partition_blocks(self.store, number):
                seen = np.flatnonzero(self.seen[block.rows])
                if len(seen):
                    yield (
                        number,
                        self._block(block.take(seen), int(block.rows[0]), int(block.rows[-1])),
                    )

    def _block(self, block: TagBlock, first: int, last: int) -> SeenBlock:
        within = (pc.field("row") >= first) & (pc.field("row") <= last)
        table = self.predictions.to_table(columns=PREDICTIONS.names, filter=within)
        rows = table["row"].to_numpy().astype(np.int64)
        categories = table["category"].to_numpy().astype(np.int64)
        p = table["probability"].to_numpy().astype(np.float64)
        if not np.all((p >= 0) & (p <= 1)):
            raise InputError("predictions", "a probability is outside 0..1", _NOT_PREDICTIONS)
        if (
            len(categories)
            and not 0 <= categories.min() <= categories.max() < self.hierarchy.num_categories
        ):
            cause = f"name one of the categories outside 0..{self.hierarchy.num_categories - 1}"
            raise InputError("predictions", cause, "predict again on this database")
        keep = self.seen[rows]
        return SeenBlock(
            block.keys,
            block.reasons == ASSERTED,
            *_lift(make_keys(rows[keep], categories[keep]), p[keep], self.hierarchy),
        )


def _lift(
    keys: Keys, p: NDArray[np.float64], hierarchy: Hierarchy
) -> tuple[Keys, NDArray[np.float64]]:
    """The greatest probability at or below every category, keys ascending."""
    table = upward(hierarchy)
    owner, place = expand(table.indptr, categories_of(keys))
    lifted = make_keys(rows_of(keys)[owner], table.ancestors[place])
    order = np.argsort(lifted, kind="stable")
    lifted, values = lifted[order], p[owner][order]
    starts = group_starts(lifted)
    return lifted[starts], np.maximum.reduceat(values, starts) if len(starts) else values


def _checked(predictions: ds.Dataset) -> ds.Dataset:
    lacking = set(PREDICTIONS.names) - set(predictions.schema.names)
    if lacking:
        cause = f"have no column {', '.join(sorted(lacking))}"
        raise InputError("predictions", cause, _NOT_PREDICTIONS)
    for field in PREDICTIONS:
        own = predictions.schema.field(field.name).type
        same = pa.types.is_floating if pa.types.is_floating(field.type) else pa.types.is_integer
        if not same(own):
            raise InputError("predictions", f"column {field.name} is {own}", _NOT_PREDICTIONS)
    return predictions


def _rows_in(predictions: ds.Dataset, count: int) -> NDArray[np.bool_]:
    seen = np.zeros(count, dtype=bool)
    for batch in predictions.to_batches(columns=["row"]):
        rows = batch["row"].to_numpy()
        if len(rows) and not 0 <= rows.min() <= rows.max() < count:
            cause = f"name one of the images outside 0..{count - 1}"
            raise InputError("predictions", cause, "predict again on this database")
        seen[rows] = True
    return seen
