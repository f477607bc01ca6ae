"""Readers of the exported formats that share no code with the writers."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import struct
import tarfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow.parquet as pq
from tests.labels.tiny import KEYS, TAXONOMY

Found = dict[str, dict[str, Any]]


def read_tencent(folder: Path) -> Found:
    found: Found = {}
    for path in folder.glob("*.txt"):
        if path.name.startswith("dictionary"):
            continue
        split = unquote(path.name.rpartition("_urls_")[0] or path.name.rpartition("_im_")[0])
        for line in path.read_text(encoding="utf-8").splitlines():
            listed, *pairs = line.split("\t")
            tags = dict(pair.split(":") for pair in pairs)
            found[listed.rpartition("/")[2].removesuffix(".jpg")] = {
                "split": "validation" if split == "val" else split,
                "tags": {KEYS[int(i)]: float(np.float32(c)) for i, c in tags.items()},
                "url": listed if "://" in listed else None,
            }
    return found


def read_tencent_dictionary(folder: Path) -> list[tuple[str, int]]:
    lines = (folder / "dictionary_and_semantic_hierarchy.txt").read_text().splitlines()[1:]
    return [(line.split("\t")[1], int(line.split("\t")[2])) for line in lines]


def read_open_images(folder: Path) -> Found:
    found: Found = {}
    for path in folder.glob("*-images-with-labels-with-rotation.csv"):
        for row in _rows(path):
            assert row["ImageID"] not in found
            found[row["ImageID"]] = {
                "split": row["Subset"],
                "url": row["OriginalURL"] or None,
                "licence": row["License"] or None,
                "author": row["Author"] or None,
                "tags": {},
                "absent": set(),
                "verified": set(),
            }
    for path in folder.glob("*-human-imagelabels.csv"):
        for row in _rows(path):
            assert row["Source"] == "verification"
            image = found[row["ImageID"]]
            image[{"1": "verified", "0": "absent"}[row["Confidence"]]].add(row["LabelName"])
    for path in folder.glob("*-machine-imagelabels.csv"):
        for row in _rows(path):
            assert row["Source"] == "machine"
            confidence = float(np.float32(row["Confidence"]))
            found[row["ImageID"]]["tags"][row["LabelName"]] = confidence
    return found


def read_huggingface(folder: Path) -> Found:
    found: Found = {}
    for path in (folder / "data").glob("*.parquet"):
        table = pq.read_table(path)
        features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
        names = features["labels"]["feature"]["names"]
        assert len(set(names)) == len(names) == len(KEYS)
        for row in table.to_pylist():
            keys = [KEYS[i] for i in row["labels"]]
            found[row["id"]] = {
                "tags": dict(zip(keys, row["confidences"], strict=True)),
                "reasons": dict(zip(keys, row["reasons"], strict=True)),
                "because": {k: KEYS[b] for k, b in zip(keys, row["because"], strict=True)},
                "absent": {KEYS[i] for i in row["absent"]},
                "url": next(iter(row["uris"]), None),
                "sources": sorted(row["sources"]),
                **{name: row[name] for name in ("licence", "author", "width", "height")},
            }
    return found


def read_webdataset(folder: Path) -> Found:
    found: Found = {}
    for path in folder.glob("*.tar"):
        with tarfile.open(path) as archive:
            for member in archive:
                if not member.name.endswith(".json"):
                    continue
                sample = json.load(archive.extractfile(member))  # type: ignore[arg-type]
                assert member.name == sample["id"] + ".json"
                reasons = ["asserted", "ancestor", "cooccurrence"]
                facts = [(c, s, k, p, float(np.float32(v))) for c, s, k, p, v in sample["facts"]]
                found[sample["id"]] = {
                    "split": sample["split"],
                    "tags": {k: float(np.float32(v)) for k, v in sample["tags"].items()},
                    "reasons": {k: reasons.index(r) for k, r in sample["reasons"].items()},
                    "because": sample["because"],
                    "facts": sorted(facts),
                    "url": next(iter(sample["uris"]), None),
                    "sources": sorted(sample["sources"]),
                    **{name: sample[name] for name in ("licence", "author", "width", "height")},
                }
    return found


def read_coco(folder: Path) -> Found:
    from pycocotools.coco import COCO

    found: Found = {}
    for path in folder.glob("*.json"):
        if path.name == "croissant.json":
            continue
        with contextlib.redirect_stdout(io.StringIO()):
            coco = COCO(str(path))
        keys = {category["id"]: category["key"] for category in coco.loadCats(coco.getCatIds())}
        licences = {entry["id"]: entry["name"] for entry in coco.dataset["licenses"]}
        for image in coco.loadImgs(coco.getImgIds()):
            labels = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
            found[image["file_name"].removesuffix(".jpg")] = {
                "row": image["id"],
                "split": unquote(path.stem),
                "tags": {keys[a["category_id"]]: float(np.float32(a["score"])) for a in labels},
                "url": image.get("coco_url"),
                "licence": licences.get(image.get("license")),
                "width": image.get("width"),
                "height": image.get("height"),
            }
    return found


def read_fiftyone(folder: Path) -> Found:
    found: Found = {}
    by_name = {category.names[0]: category.key for category in TAXONOMY.categories}
    for path in folder.glob("*/labels.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        files = {file.stem for file in (path.parent / "data").iterdir()}
        assert files == content["labels"].keys()
        for name, labels in content["labels"].items():
            keys = [by_name[content["classes"][label["label"]]] for label in labels]
            found[name] = {
                "split": unquote(path.parent.name),
                "tags": {
                    key: float(np.float32(label["confidence"]))
                    for key, label in zip(keys, labels, strict=True)
                },
                "because": {
                    key: by_name[label["attributes"]["because"]]
                    for key, label in zip(keys, labels, strict=True)
                },
            }
    return found


def read_tfrecord(folder: Path) -> Found:
    found: Found = {}
    for path in folder.glob("*.tfrecords"):
        for record in records_of(path):
            example = parse_example(record)
            if "label" in example:
                label = np.frombuffer(example["label"][0], dtype="<f4")
                assert len(label) == len(KEYS)
                tags = {KEYS[i]: float(label[i]) for i in np.flatnonzero(label)}
            else:
                places = example["label_index"]
                confidences = example["label_confidence"]
                tags = {KEYS[i]: c for i, c in zip(places, confidences, strict=True)}
            found[example["name"][0].decode().removesuffix(".jpg")] = {
                "split": unquote(path.name.rpartition("-")[0]),
                "tags": tags,
                "image": example["image"][0],
                "width": example["width"][0],
                "height": example["height"][0],
            }
    return found


def records_of(path: Path) -> list[bytes]:
    """The records of a TFRecord file, their checksums verified bit by bit."""
    data, records, place = path.read_bytes(), [], 0
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        (crc,) = struct.unpack_from("<I", data, place + 8)
        assert crc == masked(bitwise_crc32c(data[place : place + 8]))
        record = data[place + 12 : place + 12 + length]
        (crc,) = struct.unpack_from("<I", data, place + 12 + length)
        assert crc == masked(bitwise_crc32c(record))
        records.append(record)
        place += 16 + length
    return records


def bitwise_crc32c(data: bytes) -> int:
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def parse_example(record: bytes) -> dict[str, list[Any]]:
    """A tf.train.Example by name: lists of bytes, integers or floats."""
    found = {}
    for _, features in _fields(record):
        for _, entry in _fields(features):
            (_, name), (_, feature) = sorted(_fields(entry))
            ((kind, values),) = _fields(feature)
            inner = _fields(values)
            if kind == 1:
                found[name.decode()] = [value for _, value in inner]
            elif kind == 2:
                packed = b"".join(value for _, value in inner)
                found[name.decode()] = np.frombuffer(packed, "<f4").tolist()
            else:
                packed = b"".join(value for _, value in inner)
                found[name.decode()] = _varints(packed)
    return found


def _fields(message: bytes) -> list[tuple[int, bytes]]:
    """(number, payload) of a message whose fields are all length-delimited."""
    fields, place = [], 0
    while place < len(message):
        tag, place = _varint(message, place)
        assert tag & 7 == 2
        length, place = _varint(message, place)
        fields.append((tag >> 3, message[place : place + length]))
        place += length
    return fields


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place


def _varints(data: bytes) -> list[int]:
    values, place = [], 0
    while place < len(data):
        value, place = _varint(data, place)
        values.append(value)
    return values


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
