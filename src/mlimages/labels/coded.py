"""Columns of few distinct strings (schemas.NAME) as numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def coded(column: pa.ChunkedArray, names: Sequence[str]) -> NDArray[np.int64]:
    """The place of each value among `names`; -1 for a missing one and one that is not there."""
    array = _dictionary(column)
    place = {name: i for i, name in enumerate(names)}
    # The last entry is for missing values, whose index is -1.
    places = np.array([*(place.get(name, -1) for name in array.dictionary.to_pylist()), -1])
    return places[array.indices.fill_null(-1).to_numpy()]


def distinct(column: pa.ChunkedArray) -> list[str]:
    """The values of a column, ascending, each once."""
    array = _dictionary(column)
    used = np.unique(array.indices.drop_null().to_numpy())
    return sorted(array.dictionary.take(pa.array(used)).to_pylist())


def _dictionary(column: pa.ChunkedArray) -> pa.DictionaryArray:
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    return column.unify_dictionaries().combine_chunks()
