"""Images with several candidate places, and what else a source says of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.labels.tiny import DOG, TAXONOMY

from mlimages.database import Database
from mlimages.labels.reading import Reading, ReadingBuilder


def reading(source: str, *images: dict, facts: bool = True) -> Reading:
    builder = ReadingBuilder(source, "table")
    for image in images:
        given = {"location": "x", "uri": None, "preferred": None} | image
        position = builder.add_image(**given)
        assert position is not None
        if facts:
            builder.add_fact(position, DOG)
    return builder.build()


URL = "https://host"


def test_places_are_kept_in_order_and_further_ones_are_added(tmp_path: Path) -> None:
    first = reading(
        "a",
        {"uri": f"{URL}/1.jpg", "preferred": "one", "more_uris": [f"{URL}/1z.jpg", "/p/1.jpg"]},
        {"uri": f"{URL}/2.jpg", "preferred": "two"},
        {"uri": None, "preferred": "three", "more_uris": [f"{URL}/3.jpg"]},
        {"uri": f"{URL}/4.jpg", "preferred": "four", "more_uris": [f"{URL}/4z.jpg"]},
    )
    database = Database.create(tmp_path / "DB", TAXONOMY)
    database.add(first)
    expected = {
        "one": [f"{URL}/1.jpg", f"{URL}/1z.jpg", "/p/1.jpg"],
        "two": [f"{URL}/2.jpg"],
        "three": [f"{URL}/3.jpg"],
        "four": [f"{URL}/4.jpg", f"{URL}/4z.jpg"],
    }
    assert places(database) == expected
    database.add(first)
    assert places(database) == expected
    known = [
        {"uri": f"{URL}/2.jpg", "preferred": "two", "more_uris": ["/p/2.jpg", f"{URL}/2z.jpg"]},
        {"uri": None, "preferred": "four", "more_uris": [f"{URL}/4z.jpg", "/p/4.jpg"]},
    ]
    database.add(reading("b", *known))
    expected["two"] += ["/p/2.jpg", f"{URL}/2z.jpg"]
    expected["four"] += ["/p/4.jpg"]
    assert places(database) == expected


def places(database: Database) -> dict[str, list[str]]:
    return {row["id"]: row["uris"] for row in database.store.table("images").to_pylist()}


def test_an_image_listed_by_its_id_alone_keeps_what_is_known_of_it(tmp_path: Path) -> None:
    described = {
        "uri": f"{URL}/1.jpg",
        "preferred": "one",
        "licence": "CC0",
        "title": "A title",
        "landing_url": f"{URL}/page",
        "bytes": 5_000_000_000,
        "md5": "0" * 32,
        "rotation": 90.0,
        "split": "test",
    }
    database = Database.create(tmp_path / "DB", TAXONOMY)
    alone = [{"preferred": "one"}, {"preferred": "two"}]
    report = database.add(
        iter([reading("a", described, facts=False), reading("a", *alone), reading("a", *alone)])
    )
    assert (report.new_images, report.facts) == (2, 2)
    image = database.store.table("images").to_pylist()[0]
    assert image["uris"] == [f"{URL}/1.jpg"]
    for name in ("licence", "title", "landing_url", "bytes", "md5", "rotation"):
        assert image[name] == described[name]
    assert database.store.table("splits")["split"].to_pylist() == ["test", "train"]


def test_an_unknown_column_is_refused() -> None:
    with pytest.raises(KeyError, match="colour"):
        reading("a", {"uri": "/a.jpg", "colour": "red"})


def test_texts_that_are_not_text_can_be_written() -> None:
    found = reading("a", {"uri": "/a.jpg", "preferred": "a", "title": "caf\udce9"})
    assert found.images["title"].to_pylist() == ["caf\\udce9"]
