"""Merging the facts of images and counting pairs of categories: compiled, or in numpy alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.labels import compiled
from mlimages.labels.facts import present_facts
from mlimages.labels.sparse import Keys, expand, make_keys, upward
from mlimages.taxonomy.hierarchy import Hierarchy


class Causes(NamedTuple):
    """Categories of images in compressed rows.

    Attributes:
        indptr: int64 [images + 1].
        categories: int32 [n], each once an image.
    """

    indptr: NDArray[np.int64]
    categories: NDArray[np.int32]

    @property
    def rows(self) -> NDArray[np.int32]:
        """int32 [n]: the image of each category."""
        sizes = np.diff(self.indptr)
        return np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)

    def only(self, images: NDArray[np.bool_]) -> Causes:
        """The same without the categories of the images that are not chosen."""
        if images.all():
            return self
        if not images.any():
            return Causes(np.zeros_like(self.indptr), self.categories[:0])
        sizes = np.diff(self.indptr)
        indptr = np.zeros_like(self.indptr)
        np.cumsum(np.where(images, sizes, 0), out=indptr[1:])
        return Causes(indptr, self.categories[np.repeat(images, sizes)])


def merge_facts(facts: pa.Table, num_rows: int, hierarchy: Hierarchy) -> Causes:
    """The categories said to be present, corrections heeded, as `facts.present_facts`.

    Args:
        facts: schemas.FACTS about rows 0..num_rows - 1.
        num_rows: number of images.
        hierarchy: over the categories.
    """
    if compiled.available():
        from mlimages.labels.derivation.counting_kernels import merge_rows

        return Causes(*merge_rows(facts, num_rows, upward(hierarchy)))
    said = present_facts(facts, hierarchy)
    return Causes(np.searchsorted(said.rows, np.arange(num_rows + 1)), said.categories)


def choose_probable(
    rows: NDArray[np.int32],
    categories: NDArray[np.int32],
    probabilities: NDArray[np.floating],
    single: NDArray[np.bool_],
    effects: NDArray[np.bool_],
    minimum: float,
) -> tuple[NDArray[np.int32], NDArray[np.int32], int]:
    """Predictions that count.

    Args:
        rows, categories, probabilities: of each prediction.
        single: bool [images]: the part that they must be about.
        effects: bool [categories]: those that they must be of.
        minimum: a probability must be greater, compared as float64.

    Returns:
        rows and categories of those that count, and how many were usable, probable or not.
    """
    if compiled.available():
        from mlimages.labels.derivation import counting_kernels

        found = np.empty_like(rows), np.empty_like(categories)
        usable, count = counting_kernels.choose_probable(
            rows, categories, probabilities, single, effects, float(minimum), *found
        )
        return found[0][:count], found[1][:count], usable
    usable = single[rows] & effects[categories]
    probable = usable & (probabilities.astype(np.float64) > minimum)
    return rows[probable], categories[probable], int(usable.sum())


def ascend(rows: NDArray[np.int32], categories: NDArray[np.int32]) -> bool:
    """Whether pairs (row, category) ascend, each given once."""
    if compiled.available():
        from mlimages.labels.derivation import counting_kernels

        return counting_kernels.ascend(rows, categories)
    keys = make_keys(rows, categories)
    return bool(np.all(keys[1:] > keys[:-1]))


class PairCounter:
    """Counts of pairs (i, j): images that carry cause i and show effect j.

    Args:
        causes: of all images.
        cause_ids, effect_ids: categories that are counted, ascending.
        size: of the vocabulary.
    """

    def __init__(
        self,
        causes: Causes,
        cause_ids: NDArray[np.int32],
        effect_ids: NDArray[np.int32],
        size: int,
    ) -> None:
        self.causes, self.cause_ids, self.effect_ids = causes, cause_ids, effect_ids
        self.counts = np.zeros((len(cause_ids), len(effect_ids)), np.int32)
        self._cause_index, self._effect_index = np.full((2, size), -1, dtype=np.int32)
        self._cause_index[cause_ids] = np.arange(len(cause_ids))
        self._effect_index[effect_ids] = np.arange(len(effect_ids))

    def empty(self) -> PairCounter:
        """Another one for the same pairs, for another thread."""
        size = len(self._cause_index)
        return PairCounter(self.causes, self.cause_ids, self.effect_ids, size)

    def add(self, rows: NDArray[np.int32], categories: NDArray[np.int32]) -> None:
        """Count images that show effects: a pair (row, category) each, given once."""
        indices = self._cause_index, self._effect_index
        if compiled.available():
            from mlimages.labels.derivation.counting_kernels import count_pairs

            count_pairs(rows, categories, *self.causes, *indices, self.counts)
            return
        owner, place = expand(self.causes.indptr, rows)
        cause = self._cause_index[self.causes.categories[place]]
        effect = self._effect_index[categories[owner]]
        counted = (cause >= 0) & (effect >= 0)
        np.add.at(self.counts, (cause[counted], effect[counted]), 1)

    def pairs(self) -> tuple[Keys, NDArray[np.int64]]:
        """Keys (cause, effect), ascending, and their counts, which are not 0."""
        flat = self.counts.reshape(-1)
        place = np.flatnonzero(flat != 0)
        cause, effect = np.divmod(place, max(len(self.effect_ids), 1))
        keys = make_keys(self.cause_ids[cause], self.effect_ids[effect])
        return keys, flat[place].astype(np.int64)
