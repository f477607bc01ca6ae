"""Records of the journal: 20 bytes each, with a checksum, so that a torn one is known by itself."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

RECORD = np.dtype(
    [
        ("row", "<i4"),
        ("candidate", "u1"),
        ("state", "u1"),
        ("status", "<i2"),
        ("attempts", "u1"),  # of this URL in all: replaying a record twice changes nothing
        ("spare", "V3"),
        ("when", "<u4"),
        ("checksum", "<u4"),  # CRC-32 of the 16 bytes before it
    ]
)
MAGIC = b"mlimages journal 1\n\n"
"""The first 20 bytes of a journal, so that every record lies at a multiple of the record's size."""

_FIELDS = struct.Struct("<iBBhB3xI")
_POLYNOMIAL = 0xEDB88320  # of IEEE 802.3, reflected, as in zlib
_CHECKED = _FIELDS.size


def encode(row: int, candidate: int, state: int, status: int, attempts: int, when: int) -> bytes:
    """One record."""
    fields = _FIELDS.pack(row, candidate, state, status, attempts, when)
    return fields + zlib.crc32(fields).to_bytes(4, "little")


def encode_many(records: NDArray) -> bytes:
    """Records of dtype RECORD; their checksums are filled in."""
    records = records.copy()
    records["checksum"] = _checksums(records)
    return records.tobytes()


def decode(data: bytes) -> NDArray:
    """The intact records of a journal file, in order, as an array of dtype RECORD.

    What does not match its checksum was torn by a crash, or is the hole that a power cut left.
    """
    if not data.startswith(MAGIC):
        return np.empty(0, RECORD)
    count = len(data) // RECORD.itemsize - 1
    records = np.frombuffer(data, RECORD, count, offset=len(MAGIC))
    return records[records["checksum"] == _checksums(records)]


def _checksums(records: NDArray) -> NDArray[np.uint32]:
    """CRC-32 of each record, all records at once, byte by byte."""
    octets = np.ascontiguousarray(records).view(np.uint8).reshape(-1, RECORD.itemsize)
    crc = np.full(len(records), 0xFFFFFFFF, np.uint32)
    for column in range(_CHECKED):
        crc = _TABLE[(crc ^ octets[:, column]) & 0xFF] ^ (crc >> np.uint32(8))
    return ~crc


def _make_table() -> NDArray[np.uint32]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table.astype(np.uint32)


_TABLE = _make_table()
