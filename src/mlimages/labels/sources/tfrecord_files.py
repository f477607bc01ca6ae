"""TFRecord files and the tf.train.Example messages in them, read without TensorFlow.

A record is its length (uint64), the length's checksum (uint32), the data, and the data's checksum
(uint32), all little-endian, with masked CRC-32C. An Example is a protocol buffer:

    Example  { Features features = 1 }
    Features { map<string, Feature> feature = 1 }     each entry a message { key = 1, value = 2 }
    Feature  { BytesList = 1 | FloatList = 2 | Int64List = 3 }     each a list in its field 1
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mlimages.labels.crc32c import masked_crc32c

MAXIMUM_RECORD = 1 << 28
"""Bytes of the largest record that is read; a larger one is passed over and named."""
_HEADER = struct.Struct("<QI")
_CHECKSUM = struct.Struct("<I")
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


class Record(NamedTuple):
    """One record of a file.

    Attributes:
        location: file and number of the record, from 1.
        offset: of the data's first byte in the file.
        data: the bytes; None when they cannot be used.
        wrong: why not; empty otherwise.
    """

    location: str
    offset: int
    data: bytes | None
    wrong: str


def read_records(path: Path | str) -> Iterator[Record]:
    """The records of a file, in order.

    After a damaged length, or one that goes beyond the file, nothing tells where the next record
    begins: that record is named and is the last.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        number = offset = 0
        while offset < size:
            number += 1
            location = f"{path}: record {number}"
            start = offset + _HEADER.size
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size:
                yield Record(location, offset, None, f"cut off after {len(header)} bytes")
                return
            length, check = _HEADER.unpack(header)
            if masked_crc32c(header[:8]) != check:
                wrong = "the checksum of its length differs; the rest of the file cannot be read"
                yield Record(location, start, None, wrong)
                return
            offset = start + length + _CHECKSUM.size
            if offset > size:
                wrong = f"says {length:,} bytes, but the file has {size - start:,} left"
                yield Record(location, start, None, wrong)
                return
            if length > MAXIMUM_RECORD:
                file.seek(offset)
                wrong = f"{length:,} bytes long, more than {MAXIMUM_RECORD:,}"
                yield Record(location, start, None, wrong)
                continue
            data = file.read(length)
            (check,) = _CHECKSUM.unpack(file.read(_CHECKSUM.size))
            if masked_crc32c(data) != check:
                yield Record(location, start, None, "the checksum of its data differs")
            else:
                yield Record(location, start, data, "")


class BadExampleError(Exception):
    """Bytes that are no tf.train.Example; the message says why."""


@dataclass
class Feature:
    """The values of one feature, of which one list is filled.

    Attributes:
        spans: (first byte, length) in the record of each value of a BytesList.
        floats: float32, of a FloatList.
        integers: of an Int64List.
    """

    spans: list[tuple[int, int]] = field(default_factory=list)
    floats: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    integers: list[int] = field(default_factory=list)


def parse_example(data: bytes) -> dict[str, Feature]:
    """The features of a tf.train.Example by name; of one that is there twice the last.

    Raises:
        BadExampleError: the bytes are no such message.
    """
    features: dict[str, Feature] = {}
    for _, begin, end in _messages(data, 0, len(data), 1):
        for _, entry, entry_end in _messages(data, begin, end, 1):
            name, value = "", Feature()
            for number, inner, inner_end in _messages(data, entry, entry_end):
                if number == 1:
                    name = data[inner:inner_end].decode("utf-8", "backslashreplace")
                elif number == 2:
                    value = _parse_feature(data, inner, inner_end)
            features[name] = value
    return features


def _parse_feature(data: bytes, begin: int, end: int) -> Feature:
    feature = Feature()
    for kind, inner, inner_end in _messages(data, begin, end):
        floats = []
        for wire, start, stop in _fields(data, inner, inner_end, 1):
            if kind == 1 and wire == _LENGTH:
                feature.spans.append((start, stop - start))
            elif kind == 2 and wire in (_LENGTH, _FIXED32):
                if (stop - start) % 4:
                    raise BadExampleError("a list of floats of odd length")
                floats.append(np.frombuffer(data, "<f4", (stop - start) // 4, start))
            elif kind == 3:
                while start < stop:
                    value, start = _varint(data, start, stop)
                    feature.integers.append(value - (1 << 64) if value >> 63 else value)
        if floats:
            feature.floats = np.concatenate(floats)
    return feature


def _messages(
    data: bytes, begin: int, end: int, wanted: int | None = None
) -> Iterator[tuple[int, int, int]]:
    """(field number, begin, end) of the fields of a message that have a length."""
    for number, wire, start, stop in _all_fields(data, begin, end):
        if wire == _LENGTH and (wanted is None or number == wanted):
            yield number, start, stop


def _fields(data: bytes, begin: int, end: int, wanted: int) -> Iterator[tuple[int, int, int]]:
    """(wire type, begin, end) of the fields of one number."""
    for number, wire, start, stop in _all_fields(data, begin, end):
        if number == wanted:
            yield wire, start, stop


def _all_fields(data: bytes, begin: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    position = begin
    while position < end:
        tag, position = _varint(data, position, end)
        wire, start = tag & 7, position
        if wire == _VARINT:
            position = _varint(data, position, end)[1]
        elif wire == _LENGTH:
            length, start = _varint(data, position, end)
            position = start + length
        elif wire in (_FIXED64, _FIXED32):
            position += 8 if wire == _FIXED64 else 4
        else:
            raise BadExampleError(f"wire type {wire} at byte {start}")
        if position > end:
            raise BadExampleError(f"a field at byte {start} goes beyond its message")
        yield tag >> 3, wire, start, position


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    """A number in base 128, and the position behind it."""
    value = shift = 0
    while position < end and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, position
        shift += 7
    raise BadExampleError(f"a number at byte {position} does not end")
