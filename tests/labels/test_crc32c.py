from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.labels.exports.readers import bitwise_crc32c, records_of

from mlimages.labels.crc32c import crc32c, masked_crc32c


@pytest.mark.parametrize(
    ("data", "expected"),
    [  # RFC 3720, B.4
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_published_checksums(data: bytes, expected: int) -> None:
    assert crc32c(data) == expected


@given(st.binary(max_size=40), st.integers(0, 300))
def test_equals_the_division_bit_by_bit_at_every_length(data: bytes, repeated: int) -> None:
    data = data + bytes(i * 37 % 256 for i in range(repeated))
    assert crc32c(data) == bitwise_crc32c(data)


def test_the_released_records_have_the_checksums_computed_here(shared_data: Path) -> None:
    files = sorted((shared_data / "tencent" / "tfrecords").glob("*.tfrecords"))
    assert len(files) == 2
    for path in files:
        data, place = path.read_bytes(), 0
        for record in records_of(path):
            held = data[place + 12 + len(record) : place + 16 + len(record)]
            assert masked_crc32c(record) == int.from_bytes(held, "little")
            place += 16 + len(record)
        assert place == len(data)
