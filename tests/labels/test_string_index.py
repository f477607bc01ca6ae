"""Strings to rows, whatever their hashes are."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlimages.labels import compiled, string_index
from mlimages.labels.string_index import StringIndex, all_distinct, hash_function


def weak_hash(strings: pa.Array) -> np.ndarray:
    """One of three values: nearly everything collides."""
    return np.array([len(text) % 3 for text in strings.to_pylist()], np.uint64) << np.uint64(40)


@pytest.mark.parametrize("hash_strings", [weak_hash, hash_function(0), hash_function(1 << 20)])
@settings(deadline=None)  # the first example may compile
@given(batches=st.lists(st.sets(st.text(max_size=6), max_size=12), max_size=6))
def test_every_string_is_found_at_its_row_even_where_hashes_collide(
    hash_strings: object, batches: list[set[str]]
) -> None:
    index, expected = StringIndex(hash_strings), {}  # type: ignore[arg-type]
    for batch in batches:
        new = sorted(batch - expected.keys())
        rows = np.arange(len(expected), len(expected) + len(new), dtype=np.int32)
        index.add(pa.array(new, pa.string()), rows)
        expected |= dict(zip(new, rows.tolist(), strict=True))
    found = index.find(pa.array(list(expected), pa.string()))
    assert found.tolist() == list(expected.values())
    assert len(index) == len(expected)


def test_an_index_grows_and_finds_nothing_that_is_not_there() -> None:
    index = StringIndex(hash_function(0))
    for begin in range(0, 20_000, 5_000):
        rows = np.arange(begin, begin + 5_000, dtype=np.int32)
        index.add(pa.array([f"name{row}" for row in rows]), rows)
    assert np.array_equal(index.find(pa.array([f"name{n}" for n in range(20_000)])), range(20_000))
    assert set(index.find(pa.array([f"other{n}" for n in range(1_000)])).tolist()) == {-1}


@pytest.mark.skipif(not compiled.available(), reason="numba is not installed")
def test_compiled_hashes_depend_on_the_string_alone() -> None:
    hash_strings = hash_function(1 << 20)
    strings = pa.array(["", "a", "ä", None, "a longer one", "a"])
    hashes = hash_strings(strings)
    assert np.array_equal(hash_strings(strings.slice(2)), hashes[2:])
    assert hashes[0] == hashes[3]
    assert len(set(hashes.tolist())) == 4


@pytest.mark.parametrize("compiled_from", [0, 1 << 30])
def test_repeated_strings_are_noticed(monkeypatch: pytest.MonkeyPatch, compiled_from: int) -> None:
    monkeypatch.setattr(string_index, "COMPILED_FROM", compiled_from)
    assert all_distinct(pa.array(["a", "b", ""]))
    assert all_distinct(pa.array([], pa.string()))
    assert not all_distinct(pa.array(["a", "b", "a"]))
