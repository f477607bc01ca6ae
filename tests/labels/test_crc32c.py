"""CRC-32C against its published values and against one bit at a time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlimages.labels.crc32c import crc32c, masked_crc32c


def bitwise(data: bytes) -> int:
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "expected"),
    [  # RFC 3720, appendix B.4, and the usual check value
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_published_values(data: bytes, expected: int) -> None:
    assert crc32c(data) == expected


@given(st.binary(max_size=100) | st.binary(min_size=2040, max_size=5000))
def test_any_bytes_equal_one_bit_at_a_time(data: bytes) -> None:
    assert crc32c(data) == bitwise(data)


def test_a_mask_turns_and_shifts() -> None:
    value = crc32c(b"123456789")
    turned = int(f"{value:032b}"[-15:] + f"{value:032b}"[:-15], 2)
    assert masked_crc32c(b"123456789") == (turned + 0xA282EAD8) % 2**32
