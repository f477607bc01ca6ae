"""CRC-32C (Castagnoli, RFC 3720 appendix B.4), which guards TFRecords.

Python has no such function. The bytes are cut into lanes that are worked on side by side by numpy;
then the lanes' remainders are joined, which is linear over bits: the remainder of A followed by B
is that of A, moved by the length of B, xor that of B.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78  # reversed bits
_LANES = 1024
_SHORT = 2048  # below, numpy costs more than it saves
_MASK_DELTA = 0xA282EAD8
_ALL = 0xFFFFFFFF


def crc32c(data: bytes | memoryview) -> int:
    """The checksum of some bytes."""
    if len(data) < _SHORT:
        state, steps = _ALL, _byte_steps()
        for byte in bytes(data):
            state = steps[(state ^ byte) & 255] ^ (state >> 8)
        return state ^ _ALL
    # Leading zeros do not change a remainder that begins with 0; to begin with ones instead is to
    # flip the first 32 bits.
    length = -(-len(data) // _LANES)
    lanes = np.zeros(length * _LANES, np.uint8)
    start = len(lanes) - len(data)
    lanes[start:] = np.frombuffer(data, np.uint8)
    lanes[start : start + 4] ^= 255
    states = np.zeros(_LANES, np.uint32)
    table = _byte_table()
    for column in lanes.reshape(_LANES, length).T.astype(np.uint32, order="C"):
        states = table[(states ^ column) & 255] ^ (states >> 8)
    while len(states) > 1:
        states = _move(states[0::2], length) ^ states[1::2]
        length *= 2
    return int(states[0]) ^ _ALL


def masked_crc32c(data: bytes | memoryview) -> int:
    """The checksum as TFRecords store it, turned and shifted, so that it can guard itself."""
    value = crc32c(data)
    return (((value >> 15) | (value << 17)) + _MASK_DELTA) & _ALL


def _move(states: NDArray[np.uint32], length: int) -> NDArray[np.uint32]:
    """Remainders after `length` zero bytes more."""
    for power in range(length.bit_length()):
        if length >> power & 1:
            states = _apply(_zeros(power), states)
    return states


@functools.cache
def _zeros(power: int) -> NDArray[np.uint32]:
    """What 2^power zero bytes do to each byte of a remainder: uint32 [4, 256]."""
    if power:
        half = _zeros(power - 1)
        return _apply(half, half)
    each = np.arange(256, dtype=np.uint32)[None] << np.array([[0], [8], [16], [24]], np.uint32)
    return _byte_table()[each & 255] ^ (each >> 8)


def _apply(tables: NDArray[np.uint32], states: NDArray[np.uint32]) -> NDArray[np.uint32]:
    found = tables[0][states & 255]
    for place in (1, 2, 3):
        found = found ^ tables[place][(states >> (8 * place)) & 255]
    return found


@functools.cache
def _byte_table() -> NDArray[np.uint32]:
    table: NDArray[np.uint32] = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table


@functools.cache
def _byte_steps() -> tuple[int, ...]:
    return tuple(_byte_table().tolist())
