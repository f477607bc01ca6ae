"""CRC-32C (Castagnoli), the checksum of TFRecords, in numpy.

A byte-wise loop would be slow in Python, so long data is cut into lanes of 64 bytes whose checksums
are computed side by side and then joined: the checksum is linear over GF(2), and appending n zero
bytes is a matrix that depends on n only. Polynomial 0x1EDC6F41, reflected 0x82F63B78 (RFC 3720,
B.4).
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78
_LANE_BYTES = 64
_MASK_DELTA = 0xA282EAD8
_ALL_ONES = 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """The CRC-32C of some bytes."""
    if len(data) < _LANE_BYTES:
        return _bytewise(data)
    # Zero bytes in front change nothing when the state is 0, and starting with all ones is the same
    # as inverting the first 32 bits: so the data may be padded to a power of two of lanes.
    lanes = 1 << (-(-len(data) // _LANE_BYTES) - 1).bit_length()
    padded = np.zeros(lanes * _LANE_BYTES, dtype=np.uint8)
    begin = len(padded) - len(data)
    padded[begin:] = np.frombuffer(data, dtype=np.uint8)
    padded[begin : begin + 4] ^= 0xFF
    table = _table()
    states: NDArray[np.integer] = np.zeros(lanes, dtype=np.uint32)
    for column in padded.reshape(lanes, _LANE_BYTES).T.copy():
        states = table[(states ^ column) & 0xFF] ^ (states >> 8)
    count = _LANE_BYTES
    while len(states) > 1:
        states = _append_zeros(states[0::2], count) ^ states[1::2]
        count *= 2
    return int(states[0]) ^ _ALL_ONES


def masked_crc32c(data: bytes) -> int:
    """The checksum as TFRecords hold it: rotated right by 15 bits, plus a constant."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & _ALL_ONES


def _bytewise(data: bytes) -> int:
    table, state = _table().tolist(), _ALL_ONES
    for value in data:
        state = table[(state ^ value) & 0xFF] ^ (state >> 8)
    return state ^ _ALL_ONES


@functools.cache
def _table() -> NDArray[np.uint32]:
    """uint32[256]: the state after one byte, from state 0."""
    states = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        feedback = (states & 1) * np.uint32(_POLYNOMIAL)
        states = ((states >> 1) ^ feedback).astype(np.uint32)
    return states


def _append_zeros(states: NDArray[np.integer], count: int) -> NDArray[np.integer]:
    """The states after `count` zero bytes more."""
    table = _zeros_table(count)
    result = np.zeros_like(states)
    for byte in range(4):
        result ^= table[byte][(states >> (8 * byte)) & 0xFF]
    return result


@functools.cache
def _zeros_table(count: int) -> NDArray[np.uint32]:
    """uint32[4, 256]: the state after `count` (a power of two) zero bytes, by byte and value."""
    if count == 1:
        values = np.arange(256, dtype=np.uint32)
        start = np.stack([values << (8 * byte) for byte in range(4)])
        return _table()[start & 0xFF] ^ (start >> 8)
    return np.stack([_append_zeros(row, count // 2) for row in _zeros_table(count // 2)])
