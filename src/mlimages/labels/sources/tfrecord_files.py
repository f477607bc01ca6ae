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
from mlimages.labels.protobuf import FIXED32, LENGTH, WireError, fields, messages, signed, varint

MAXIMUM_RECORD = 1 << 28
"""Bytes of the largest record that is read; a larger one is passed over and named."""
_HEADER = struct.Struct("<QI")
_CHECKSUM = struct.Struct("<I")


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
        WireError: the bytes are no such message.
    """
    features: dict[str, Feature] = {}
    for _, begin, end in messages(data, 0, len(data), 1):
        for _, entry, entry_end in messages(data, begin, end, 1):
            name, value = "", Feature()
            for number, inner, inner_end in messages(data, entry, entry_end):
                if number == 1:
                    name = data[inner:inner_end].decode("utf-8", "backslashreplace")
                elif number == 2:
                    value = _parse_feature(data, inner, inner_end)
            features[name] = value
    return features


def _parse_feature(data: bytes, begin: int, end: int) -> Feature:
    feature = Feature()
    for kind, inner, inner_end in messages(data, begin, end):
        floats = []
        for number, wire, start, stop in fields(data, inner, inner_end):
            if number != 1:
                continue
            if kind == 1 and wire == LENGTH:
                feature.spans.append((start, stop - start))
            elif kind == 2 and wire in (LENGTH, FIXED32):
                if (stop - start) % 4:
                    raise WireError("a list of floats of odd length")
                floats.append(np.frombuffer(data, "<f4", (stop - start) // 4, start))
            elif kind == 3:
                while start < stop:
                    value, start = varint(data, start, stop)
                    feature.integers.append(signed(value))
        if floats:
            feature.floats = np.concatenate(floats)
    return feature
