"""Lists of rows in the metadata of tables."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlimages.errors import InputError
from mlimages.labels.predicted_rows import ROWS_KEY, record_rows, recorded_rows, united_rows
from mlimages.schemas import PREDICTIONS

EMPTY = PREDICTIONS.empty_table()
ROWS = st.lists(st.sets(st.integers(0, 60)), min_size=1, max_size=4)


@given(ROWS)
def test_lists_of_several_tables_unite(sets: list[set[int]]) -> None:
    schemas = [record_rows(EMPTY, sorted(rows)).schema for rows in sets]
    union = set().union(*sets)
    text = united_rows(schemas)
    assert text == record_rows(EMPTY, sorted(union)).schema.metadata[ROWS_KEY]
    seen = recorded_rows(PREDICTIONS.with_metadata({ROWS_KEY: text}), 61)
    assert seen is not None
    assert set(np.flatnonzero(seen).tolist()) == union


def test_one_table_without_a_list_leaves_the_union_without() -> None:
    assert united_rows([record_rows(EMPTY, [1]).schema, PREDICTIONS]) is None


def test_a_damaged_list_is_refused() -> None:
    with pytest.raises(InputError, match="damaged"):
        united_rows([PREDICTIONS.with_metadata({ROWS_KEY: b"1-2 x"})])
