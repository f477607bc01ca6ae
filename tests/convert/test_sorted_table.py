"""Sorted tables: whatever is written is read; whatever is damaged is refused, not believed."""

from __future__ import annotations

import contextlib

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlimages.convert.sorted_table import TableError, read_table, write_table
from mlimages.labels.crc32c import masked_crc32c
from mlimages.labels.protobuf import write_varint

ENTRIES = st.dictionaries(st.binary(max_size=40), st.binary(max_size=200), max_size=60)


@given(ENTRIES)
def test_what_is_written_is_read(entries: dict[bytes, bytes]) -> None:
    ordered = sorted(entries.items())
    assert list(read_table(write_table(ordered))) == ordered


def test_a_table_of_many_blocks_is_read() -> None:
    entries = [(b"layer/%06d/kernel" % i, bytes([i % 256]) * 400) for i in range(2000)]
    assert list(read_table(write_table(entries))) == entries


def test_a_compressed_block_is_read() -> None:
    plain = write_table([(b"a", b"1" * 1000)])
    block = plain[: plain.index(b"1" * 1000) + 1000 + 8]
    compressed = pa.compress(block, "snappy", asbytes=True)
    first = compressed + b"\x01"
    first += masked_crc32c(first).to_bytes(4, "little")
    index_entry = write_varint(0) + write_varint(len(compressed))
    empty = bytes(4) + (1).to_bytes(4, "little")
    index = bytes([0, 1, len(index_entry)]) + b"a" + index_entry + empty
    data, handles = bytearray(first), b""
    for content in (empty, index):
        handles += write_varint(len(data)) + write_varint(len(content))
        data += content + b"\0" + masked_crc32c(content + b"\0").to_bytes(4, "little")
    data += handles.ljust(40, b"\0") + (0xDB4775248B80FB57).to_bytes(8, "little")
    assert list(read_table(bytes(data))) == [(b"a", b"1" * 1000)]


@given(ENTRIES.filter(bool), st.data())
def test_a_changed_byte_never_gives_other_entries(
    entries: dict[bytes, bytes], data: st.DataObject
) -> None:
    ordered = sorted(entries.items())
    table = bytearray(write_table(ordered))
    table[data.draw(st.integers(0, len(table) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = list(read_table(bytes(table)))
    except TableError:
        return
    assert found == ordered  # the byte was in the footer's padding


@given(ENTRIES, st.data())
def test_a_cut_table_is_refused(entries: dict[bytes, bytes], data: st.DataObject) -> None:
    table = write_table(sorted(entries.items()))
    with pytest.raises(TableError):
        list(read_table(table[: data.draw(st.integers(0, len(table) - 1))]))


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_in_one_way(junk: bytes) -> None:
    footer = junk[:40].ljust(40, b"\0") + (0xDB4775248B80FB57).to_bytes(8, "little")
    with pytest.raises(TableError):
        list(read_table(junk))
    with contextlib.suppress(TableError):
        list(read_table(junk + footer))
