"""Export then import is the identity on what the format carries.

`CASES` names for each format a reader, and what of an image it gives back. Readers in `readers`
share no code with the writers; those of `mlimages.labels.sources` are tested against the same
expectation: add one as another Case.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.labels.exports import readers
from tests.labels.exports.databases import (
    Sample,
    build,
    held,
    picture,
    samples,
    write,
)
from tests.labels.tiny import TAXONOMY

from mlimages.database import Database
from mlimages.labels.derivation.rules import Rules
from mlimages.labels.exports.values import LABEL_MAP
from mlimages.labels.exports.view import TagChoice
from mlimages.labels.sources import coco, huggingface, open_images, tencent, tfrecord, webdataset
from mlimages.labels.streams import Readings, chunks_of
from mlimages.labels.tags import COOCCURRENCE


@dataclass(frozen=True)
class Case:
    """A reader of a format.

    Attributes:
        format: to export.
        read: from the folder to what it says of each image, by id.
        aspects: keys of `databases.held` that come back.
        images: whether the export is with images' bytes.
        options: of the format.
        needs: a module without which the reader does not work.
    """

    format: str
    read: Callable[[Path], readers.Found]
    aspects: tuple[str, ...]
    images: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    needs: str | None = None


def from_reading(readings: Readings) -> readers.Found:
    """What one of `mlimages.labels.sources` read, in the form of `readers`."""
    found: readers.Found = {}
    for reading in chunks_of(readings):
        for image in reading.images.to_pylist():
            said = {name: image[name] for name in ("split", "licence", "author", "width", "height")}
            new = {**said, "url": image["uri"], "tags": {}, "verified": set(), "absent": set()}
            found.setdefault(image["id"], new)  # a later chunk may have more facts about it
        names = reading.images["id"].to_pylist()
        for fact in reading.facts.to_pylist():
            image, key = found[names[fact["image"]]], TAXONOMY.keys[fact["category"]]
            if not fact["present"]:
                image["absent"].add(key)
            elif fact["kind"] == "verified":
                image["verified"].add(key)
            else:
                image["tags"][key] = fact["confidence"]
    for image in found.values():
        image["categories"] = {*image["tags"], *image["verified"]}
    return found


def read_coco_again(folder: Path) -> readers.Found:
    """A file a split."""
    found: readers.Found = {}
    for path in sorted(folder.glob("*.json")):
        if path.name != "croissant.json":
            reading = coco.read(path, TAXONOMY)
            assert all(len(chunk.exhaustive) == 0 for chunk in chunks_of(reading))
            found |= from_reading(reading)
    return found


def read_huggingface_again(folder: Path) -> readers.Found:
    return from_reading(huggingface.read(folder, TAXONOMY))


DETAILS = ("licence", "author", "width", "height")
CASES = {
    "tencent": Case("tencent", readers.read_tencent, ("split", "tags", "url")),
    "tencent, by its own reader": Case(
        "tencent", lambda folder: from_reading(tencent.read(folder, TAXONOMY)), ("tags", "url")
    ),
    "tfrecord, by its own reader": Case(
        "tfrecord",
        lambda folder: from_reading(tfrecord.read(folder, TAXONOMY)),
        ("tags",),
        images=True,
    ),
    "open_images, by its own reader": Case(
        "open_images",
        lambda folder: from_reading(
            open_images.read(folder, TAXONOMY, label_map=folder / LABEL_MAP)
        ),
        ("url", "absent", "verified", "licence", "author"),
    ),
    "webdataset, by its own reader": Case(
        "webdataset",
        lambda folder: from_reading(webdataset.read(folder, TAXONOMY)),
        ("tags", "licence", "author"),
        images=True,
    ),
    "coco, by its own reader": Case(
        "coco", read_coco_again, ("split", "tags", "url", "licence", "width", "height")
    ),
    "huggingface, by its own reader": Case(
        "huggingface", read_huggingface_again, ("absent", "url", *DETAILS)
    ),
    "tfrecord": Case("tfrecord", readers.read_tfrecord, ("split", "tags"), images=True),
    "tfrecord, sparse": Case(
        "tfrecord", readers.read_tfrecord, ("split", "tags"), True, {"sparse": True}
    ),
    "open_images": Case(
        "open_images", readers.read_open_images, ("split", "url", "absent", "licence", "author")
    ),
    "huggingface": Case(
        "huggingface",
        readers.read_huggingface,
        ("tags", "reasons", "because", "absent", "url", "sources", *DETAILS),
    ),
    "webdataset": Case(
        "webdataset",
        readers.read_webdataset,
        ("split", "tags", "reasons", "because", "facts", "url", "sources", *DETAILS),
    ),
    "coco": Case(
        "coco",
        readers.read_coco,
        ("row", "split", "tags", "url", "licence", "width", "height"),
        needs="pycocotools",
    ),
    "fiftyone": Case("fiftyone", readers.read_fiftyone, ("split", "tags", "because"), images=True),
}


def exported(case: Case, images: list[Sample], *choices: TagChoice) -> list[tuple[Any, Any]]:
    """For each choice of tags, (what the reader found, what the database holds)."""
    with tempfile.TemporaryDirectory() as folder:
        db = build(Path(folder, "DB"), images)
        source = picture if case.images else None
        results = []
        for tags in choices:
            out = Path(folder, tags)
            write(db, case.format, out, tags=tags, read_image=source, **case.options)
            results.append((case.read(out), held(db, tags)))
        return results


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(images=samples())
def test_what_the_format_carries_comes_back(name: str, images: list[Sample]) -> None:
    case = CASES[name]
    if case.needs:
        pytest.importorskip(case.needs)
    for found, expected in exported(case, images, "all", "asserted"):
        assert found.keys() == expected.keys()
        for image, said in expected.items():
            for aspect in case.aspects:
                assert found[image][aspect] == said[aspect], (image, aspect)


@settings(max_examples=20, deadline=None)
@given(images=samples(), pairs=st.booleans())
def test_a_huggingface_export_imported_and_completed_is_the_same_tags(
    images: list[Sample], pairs: bool
) -> None:
    """All but who said it: what another tag brought along is a machine's fact then."""
    with tempfile.TemporaryDirectory() as name:
        db = build(Path(name, "DB"), images)
        if pairs:
            db.complete(Rules(cooccurrence_from="tags", minimum_images=1))
        write(db, "huggingface", Path(name, "out"))
        reading = huggingface.read(Path(name, "out"), TAXONOMY)
        again, _ = Database.create_from(Path(name, "DB2"), TAXONOMY, reading)
        again.complete()
        expected, found = held(db), held(again)
        assert found.keys() == expected.keys()
        for image, said in expected.items():
            assert found[image]["tags"] == said["tags"]
            assert found[image]["absent"] == said["absent"]
            changed = {c: r for c, r in found[image]["reasons"].items() if r != said["reasons"][c]}
            assert all(said["reasons"][c] == COOCCURRENCE for c in changed)


@settings(max_examples=8, deadline=None)
@given(images=samples())
def test_open_images_splits_the_tags_into_verified_and_machine(images: list[Sample]) -> None:
    ((found, expected),) = exported(CASES["open_images"], images, "all")
    for image, said in expected.items():
        assert found[image]["verified"] == said["verified"]
        rest = {key: value for key, value in said["tags"].items() if key not in said["verified"]}
        assert found[image]["tags"] == rest


@settings(max_examples=5, deadline=None)
@given(images=samples())
def test_tfrecords_hold_the_bytes_and_size_of_each_image(images: list[Sample]) -> None:
    ((found, expected),) = exported(CASES["tfrecord"], images, "all")
    for image, said in expected.items():
        file = picture(said["row"])
        size = (found[image]["image"], found[image]["width"], found[image]["height"])
        assert size == (file.data, file.width, file.height)


@settings(max_examples=8, deadline=None)
@given(images=samples())
def test_the_lists_and_dictionary_of_an_export_give_the_same_export(images: list[Sample]) -> None:
    from mlimages.taxonomy.dictionary import read_dictionary

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        db = build(
            folder / "DB",
            [s for s in images if s.split == "train"] or [Sample(facts={"first": []})],
        )
        write(db, "tencent", folder / "once")
        taxonomy = read_dictionary(folder / "once" / "dictionary_and_semantic_hierarchy.txt")
        assert taxonomy.keys == TAXONOMY.keys
        assert np.array_equal(taxonomy.parents, TAXONOMY.parents)
        reading = tencent.read(folder / "once", taxonomy, split="train")
        again, _ = Database.create_from(folder / "DB2", taxonomy, reading)
        again.complete()
        write(again, "tencent", folder / "twice")
        for path in (folder / "once").glob("*.txt"):
            # Images with a URL come first in the second database, but in each list the order stays.
            assert path.read_bytes() == (folder / "twice" / path.name).read_bytes(), path.name
