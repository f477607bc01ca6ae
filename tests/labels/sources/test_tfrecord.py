"""TFRecords, written here byte by byte as their format says."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from tests.labels.sources.writing import PHOTO, column, rejects, tags, write
from tests.labels.tiny import CAR, DOG, TAXONOMY

from mlimages.errors import InputError
from mlimages.images.reading import open_uri
from mlimages.labels.crc32c import masked_crc32c
from mlimages.labels.protobuf import WireError
from mlimages.labels.sources import tfrecord_files
from mlimages.labels.sources.tfrecord import read
from mlimages.labels.sources.tfrecord_files import parse_example, read_records
from mlimages.taxonomy.categories import released_taxonomy


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def message(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def feature(value: bytes | int | list[float]) -> bytes:
    if isinstance(value, bytes):
        return message(1, message(1, value))
    if isinstance(value, int):
        return message(3, message(1, varint(value & (2**64 - 1))))
    return message(2, message(1, struct.pack(f"<{len(value)}f", *value)))


def example(**features: bytes | int | list[float]) -> bytes:
    entries = [
        message(1, message(1, name.encode()) + message(2, feature(value)))
        for name, value in features.items()
    ]
    return message(1, b"".join(entries))


def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return b"".join(
        [
            length,
            struct.pack("<I", masked_crc32c(length)),
            data,
            struct.pack("<I", masked_crc32c(data)),
        ]
    )


def labels(**confidences: float) -> np.ndarray:
    found = np.zeros(len(TAXONOMY), "<f4")
    for index, confidence in confidences.items():
        found[int(index[1:])] = confidence
    return found


def photo(name: str, label: np.ndarray | bytes | list[float], **more: bytes | int) -> bytes:
    label = label.tobytes() if isinstance(label, np.ndarray) else label
    return record(example(image=PHOTO, label=label, name=name.encode(), **more))


GOOD = photo("good", labels(**{f"c{DOG}": 1, f"c{CAR}": 0.5}), width=30, height=20)


def test_a_record_becomes_an_image_whose_bytes_stay_where_they_are(tmp_path: Path) -> None:
    listed = photo("b", labels(**{f"c{CAR}": 1}).tolist())
    file = write(tmp_path / "val_0.tfrecords", GOOD + listed)
    reading = read(file, TAXONOMY)
    assert tags(reading) == {"good": {DOG, CAR}, "b": {CAR}}
    assert sorted(reading.facts["confidence"].to_pylist()) == [0.5, 1, 1]
    assert column(reading, "width") == [30, None]
    assert column(reading, "height") == [20, None]
    assert column(reading, "split") == ["validation", "validation"]
    assert [open_uri(uri) for uri in column(reading, "uri")] == [PHOTO, PHOTO]


def damaged(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize(
    ("data", "reason", "goes_on"),
    [
        (damaged(GOOD, 20), "checksum of its data", True),
        (damaged(GOOD, len(GOOD) - 1), "checksum of its data", True),
        (damaged(GOOD, 0), "checksum of its length", False),
        (damaged(GOOD, 9), "checksum of its length", False),
        (GOOD[:-1], "the file has", False),
        (GOOD[:7], "cut off after 7 bytes", False),
        (
            struct.pack("<QI", 2**63, masked_crc32c(struct.pack("<Q", 2**63))),
            "says 9,223,372,036,854,775,808 bytes, but the file has 0 left",
            False,
        ),
        (record(b"\x0b"), "wire type 3", True),
        (record(message(1, b"\x0a\x7f")), "beyond its message", True),
        (record(b"\xff" * 12), "does not end", True),
        (record(b""), "0 values of `image`", True),
        (photo("x", b"abc"), "3 bytes", True),
        (photo("x", bytes(8)), "2 values, but there are 9", True),
        (photo("x", labels(c2=float("nan"))), "confidence nan", True),
        (photo("x", labels(c2=-0.5)), "confidence -0.5", True),
        (photo("x", labels(c2=1.5)), "confidence 1.5", True),
    ],
)
def test_a_broken_record_is_a_reject_with_its_number(
    tmp_path: Path, data: bytes, reason: str, goes_on: bool
) -> None:
    after = photo("after", labels(c2=1)) if goes_on else b""
    file = write(tmp_path / "0.tfrecords", GOOD + data + after)
    reading = read(file, TAXONOMY)
    found = rejects(reading, tmp_path)
    assert list(found) == ["0.tfrecords: record 2"]
    assert reason in found["0.tfrecords: record 2"]
    assert column(reading, "id") == (["good", "after"] if goes_on else ["good"])


def test_a_record_that_is_too_long_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "0.tfrecords", photo("long", labels(), more=bytes(500)) + GOOD)
    monkeypatch.setattr(tfrecord_files, "MAXIMUM_RECORD", 400)
    first, second = read_records(file)
    assert (first.data, "more than 400" in first.wrong) == (None, True)
    assert second.wrong == ""


def test_features_of_all_kinds_and_unknown_fields() -> None:
    unknown = varint(9 << 3 | 0) + varint(5) + varint(9 << 3 | 5) + b"1234"
    data = unknown + example(minus=-3, floats=[1.0, 2.5], text=b"abc")
    found = parse_example(data)
    assert found["minus"].integers == [-3]
    assert found["floats"].floats.tolist() == [1, 2.5]
    start, length = found["text"].spans[0]
    assert data[start : start + length] == b"abc"
    with pytest.raises(WireError, match="odd length"):
        parse_example(message(1, message(1, message(2, message(2, message(1, b"123"))))))


def test_nothing_to_read_is_one_clear_error(tmp_path: Path) -> None:
    write(tmp_path / "labels.txt", "text")
    with pytest.raises(InputError, match="holds no TFRecords"):
        read(tmp_path, TAXONOMY)
    with pytest.raises(InputError, match="no such"):
        read(tmp_path / "missing.tfrecords", TAXONOMY)
    with pytest.raises(InputError, match="copy it"):
        read("memory://a.tfrecords", TAXONOMY)


def test_the_released_records(shared_data: Path) -> None:
    folder = shared_data / "tencent" / "tfrecords"
    reading = read(folder, released_taxonomy())
    found = dict(zip(column(reading, "id"), column(reading, "uri"), strict=True))
    sizes = dict(
        zip(
            column(reading, "id"),
            zip(column(reading, "width"), column(reading, "height"), strict=True),
            strict=True,
        )
    )
    confidences: dict[str, dict[int, float]] = {name: {} for name in found}
    ids = column(reading, "id")
    for fact in reading.facts.to_pylist():
        confidences[ids[fact["image"]]][fact["category"]] = round(fact["confidence"], 6)
    assert confidences == {
        "im_0": {5170: 0.9, 5177: 0.9},
        "im_1": {1053: 0.8, 1193: 0.8},
        "im_2": {3: 1, 5193: 0.9, 5851: 0.9, 9413: 1, 9416: 1},
        "im_3": {1053: 0.8, 1193: 0.8, 1379: 0.8},
    }
    assert sizes == {"im_0": (800, 600)} | dict.fromkeys(("im_1", "im_2", "im_3"), (500, 374))
    photos = {name: open_uri(uri) for name, uri in found.items()}
    assert all(data[:2] == b"\xff\xd8" for data in photos.values())
    assert photos["im_1"] == photos["im_2"] == photos["im_3"] != photos["im_0"]
