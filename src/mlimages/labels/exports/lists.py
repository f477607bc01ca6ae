"""Tags and facts of some images as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.labels.coded import coded, distinct
from mlimages.labels.sparse import contains
from mlimages.schemas import FACT_KINDS


@dataclass(frozen=True)
class TagLists:
    """Tags of some images, compressed; tags of image i are at indptr[i]:indptr[i + 1].

    Attributes:
        indptr: int64 [images + 1].
        categories: int32 [tags], ascending in an image.
        confidences: float32 [tags].
        reasons: int8 [tags], index into schemas.TAG_REASONS.
        because: int32 [tags], the category that supports the tag most.
    """

    indptr: NDArray[np.int64]
    categories: NDArray[np.int32]
    confidences: NDArray[np.float32]
    reasons: NDArray[np.int8]
    because: NDArray[np.int32]

    def take(self, positions: NDArray[np.integer]) -> TagLists:
        """The lists of some images, in the order of `positions`."""
        lengths = np.diff(self.indptr)[positions]
        indptr = np.zeros(len(positions) + 1, dtype=np.int64)
        np.cumsum(lengths, out=indptr[1:])
        place = np.repeat(self.indptr[positions] - indptr[:-1], lengths) + np.arange(indptr[-1])
        columns = (self.categories, self.confidences, self.reasons, self.because)
        return TagLists(indptr, *(column[place] for column in columns))


@dataclass(frozen=True)
class FactList:
    """Facts about some images, ascending by row, then category.

    Attributes:
        rows, categories, present, confidences: as in schemas.FACTS, one entry a fact.
        sources: int32 [facts], index into `source_names`.
        kinds: int8 [facts], index into schemas.FACT_KINDS.
        source_names: the sources, ascending.
    """

    rows: NDArray[np.int32]
    categories: NDArray[np.int32]
    present: NDArray[np.bool_]
    confidences: NDArray[np.float32]
    sources: NDArray[np.int32]
    kinds: NDArray[np.int8]
    source_names: tuple[str, ...]

    @classmethod
    def from_table(cls, facts: pa.Table) -> FactList:
        """From schemas.FACTS, rows in any order."""
        names = tuple(distinct(facts["source"]))
        sources = coded(facts["source"], names).astype(np.int32)
        kinds = coded(facts["kind"], FACT_KINDS).astype(np.int8)
        rows, categories = facts["row"].to_numpy(), facts["category"].to_numpy()
        present, confidences = facts["present"].to_numpy(), facts["confidence"].to_numpy()
        order = np.lexsort((kinds, confidences, present, sources, categories, rows))
        unordered = cls(rows, categories, present, confidences, sources, kinds, names)
        return unordered.take(order)

    def among(self, rows: NDArray[np.int32]) -> FactList:
        """The facts about the images of ascending `rows`."""
        begin, end = np.searchsorted(self.rows, [rows[0], rows[-1] + 1]) if len(rows) else (0, 0)
        return self.take(begin + np.flatnonzero(contains(rows, self.rows[begin:end])))

    def take(self, place: NDArray[np.integer]) -> FactList:
        """Some of the facts, in the order of `place`."""
        return FactList(
            self.rows[place],
            self.categories[place],
            self.present[place],
            self.confidences[place],
            self.sources[place],
            self.kinds[place],
            self.source_names,
        )
