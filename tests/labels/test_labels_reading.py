"""The reading that every source yields, and how it is built."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from mlimages.errors import InputError
from mlimages.labels.identity import image_id
from mlimages.labels.reading import Reading, ReadingBuilder
from mlimages.schemas import READING_FACTS, READING_IMAGES


def images(*ids: str | None) -> pa.Table:
    rows = [{"id": name, "uri": None, "split": "train"} for name in ids]
    return pa.Table.from_pylist(rows, schema=READING_IMAGES)


def facts(*rows: tuple) -> pa.Table:
    found = [dict(zip(READING_FACTS.names, row, strict=True)) for row in rows]
    return pa.Table.from_pylist(found, schema=READING_FACTS)


def test_a_safe_name_is_the_id_and_another_is_hashed() -> None:
    assert image_id("/photos/a_1.jpg", "a_1") == "a_1"
    for unsafe in ("IMG 1", "Upper", "", "x" * 65, "ä", "a/b", None):
        name = image_id("/photos/a.jpg", unsafe)
        assert len(name) == 32
        assert set(name) <= set("0123456789abcdef")
    assert image_id("/a") != image_id("/b")


@pytest.mark.parametrize(
    "wrong",
    [
        {"images": images("a", "a")},
        {"images": images("A")},
        {"images": images("")},
        {"images": images(None)},
        {"facts": facts((1, 0, True, 1.0, "asserted"))},
        {"facts": facts((0, -1, True, 1.0, "asserted"))},
        {"facts": facts((0, 0, True, 0.0, "asserted"))},
        {"facts": facts((0, 0, True, 1.5, "asserted"))},
        {"facts": facts((0, 0, True, float("nan"), "asserted"))},
        {"facts": facts((0, 0, True, 1.0, "guessed"))},
        {"read": 2},
    ],
)
def test_a_reading_that_breaks_a_rule_is_refused(wrong: dict) -> None:
    good = {"images": images("a"), "facts": facts((0, 0, True, 1.0, "asserted"))}
    assert Reading("source", **good).read == 1
    with pytest.raises(InputError, match="reading of source"):
        Reading("source", **{**good, **wrong})


def test_an_empty_reading_is_valid() -> None:
    reading = ReadingBuilder("source", "table").build(read=0)
    assert reading.images.schema == READING_IMAGES
    assert reading.facts.schema == READING_FACTS


def test_an_object_seen_twice_is_one_fact_with_the_greatest_confidence() -> None:
    builder = ReadingBuilder("source", "table")
    image = builder.add_image("here", "/a.jpg", "a")
    assert image == 0
    for confidence in (0.5, 1.0, 0.25):
        builder.add_fact(image, 3, confidence)
    builder.add_fact(image, 3, present=False)
    rows = builder.build().facts.to_pylist()
    assert [(row["category"], row["present"], row["confidence"]) for row in rows] == [
        (3, True, 1.0),
        (3, False, 1.0),
    ]


def test_the_same_image_twice_is_a_reject() -> None:
    builder = ReadingBuilder("source", "table")
    assert builder.add_image("line 1", "/a.jpg", "a") == 0
    assert builder.add_image("line 2", "/a.jpg", "a") is None
    assert builder.add_image("line 3", None, "a") is None  # the same name, without a place
    reading = builder.build(read=3)
    assert reading.rejects["location"].to_pylist() == ["line 2", "line 3"]


def test_two_images_of_one_name_keep_apart() -> None:
    builder = ReadingBuilder("source", "table")
    builder.add_image("1", "/first/a.jpg", "a")
    builder.add_image("2", "/second/a.jpg", "a")
    builder.add_image("3", None, "b", place="first/b")
    builder.add_image("4", None, "b", place="second/b")
    ids = builder.build().images["id"].to_pylist()
    assert ids[:3:2] == ["a", "b"]
    assert len(set(ids)) == 4
    assert ids[1] == image_id("/second/a.jpg")


def test_names_that_are_not_text_are_rejects_that_can_be_written() -> None:
    builder = ReadingBuilder("source", "table")
    name = b"/caf\xe9.jpg".decode("utf-8", "surrogateescape")
    assert builder.add_image(name, name, "caf") is None
    reject = builder.build(read=1).rejects.to_pylist()[0]
    assert reject["location"] == "/caf\\udce9.jpg"
    assert "UTF-8" in reject["reason"]


def test_exhaustive_categories_come_sorted_and_once() -> None:
    reading = Reading("source", images("a"), facts(), exhaustive=np.array([5, 2, 5]))
    assert reading.exhaustive.tolist() == [2, 5]
    assert reading.exhaustive.dtype == np.int32
