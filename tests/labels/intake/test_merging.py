"""Which images of a reading are new, and which facts."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mlimages.errors import InputError
from mlimages.importing import take_in
from mlimages.labels.reading import Reading, ReadingBuilder
from mlimages.labels.streams import Readings
from mlimages.reports import ImportReport
from mlimages.store import Store


def reading(source: str, *images: tuple[str, str | None, int], single: bool = False) -> Reading:
    """A reading of images (id, uri, category)."""
    builder = ReadingBuilder(source, "table", single_label=single)
    for name, uri, category in images:
        position = builder.add_image(name, uri, name)
        assert position is not None
        builder.add_fact(position, category)
    return builder.build()


@dataclass
class Merged:
    """What the last import reported, and the tables after it."""

    report: ImportReport
    images: pa.Table
    facts: pa.Table
    sources: pa.Table
    splits: pa.Table
    rejects: pa.Table


Merge = Callable[..., Merged]


@pytest.fixture
def merge(tmp_path: Path) -> Merge:
    """Merge readings, or streams of them, one after the other into a new store."""
    number = itertools.count()

    def merge(*imports: Readings, partition_rows: int = 2) -> Merged:
        store = Store.create(tmp_path / f"db{next(number)}", partition_rows)
        for readings in imports:
            with store.commit("import") as commit:
                commit.info.setdefault("inputs", [])
                report = take_in(commit, readings)
        names = ("images", "facts", "sources", "splits", "rejects")
        return Merged(report, *(store.table(name) for name in names))

    return merge


def test_a_source_read_again_adds_nothing(merge: Merge) -> None:
    one = reading("a", ("x", "/p/x.jpg", 3), ("y", "/p/y.jpg", 4))
    merged = merge(one, one)
    assert merged.report.new_images == 0
    assert merged.report.merged_images == 2
    assert merged.report.facts == 0
    assert merged.facts.num_rows == 2


def test_two_sources_that_disagree_are_both_kept(merge: Merge) -> None:
    builder = ReadingBuilder("b", "table")
    builder.add_fact(builder.add_image("x", "/p/x.jpg", "x") or 0, 3, present=False)
    merged = merge(reading("a", ("x", "/p/x.jpg", 3)), builder.build())
    assert merged.images.num_rows == 1
    assert merged.facts["present"].to_pylist() == [True, False]
    assert merged.images["sources"].to_pylist() == [["a", "b"]]


@pytest.mark.parametrize(
    ("first", "second", "images"),
    [
        ("/p/x.jpg", "/p/x.jpg", 1),
        ("/p/x.jpg", "/q/x.jpg", 2),
        ("/p/x.jpg", None, 1),
        (None, "/p/x.jpg", 1),
        ("https://a.example/x.jpg", "/p/x.jpg", 2),
        ("https://a.example/x.jpg", "https://b.example/x.jpg", 2),
    ],
)
def test_the_same_id_is_the_same_image_unless_its_places_differ(
    merge: Merge, first: str | None, second: str | None, images: int
) -> None:
    merged = merge(reading("a", ("x", first, 3)), reading("b", ("x", second, 4)))
    assert merged.images.num_rows == images
    assert len(set(merged.images["id"].to_pylist())) == images
    assert merged.images["row"].to_pylist() == list(range(images))


def test_a_url_and_its_local_copy_of_one_source_are_one_image(merge: Merge) -> None:
    merged = merge(
        reading("a", ("x", "https://a.example/x.jpg", 3)), reading("a", ("x", "/p/x.jpg", 3))
    )
    assert merged.images["uris"].to_pylist() == [["https://a.example/x.jpg", "/p/x.jpg"]]


def test_a_source_cannot_become_exhaustive_for_other_categories(merge: Merge) -> None:
    builder = ReadingBuilder("a", "table")
    builder.exhaustive.add(3)
    builder.add_image("x", "/p/x.jpg", "x")
    with pytest.raises(InputError, match="--source"):
        merge(reading("a", ("y", "/p/y.jpg", 3)), builder.build())


def test_an_image_that_got_another_id_is_known_again(merge: Merge) -> None:
    a, b = reading("a", ("x", "/p/x.jpg", 3)), reading("b", ("x", "/q/x.jpg", 4))
    merged = merge(a, b, b)
    assert merged.report.new_images == 0
    assert merged.facts.num_rows == 2


def test_a_source_stays_single_label_only_while_all_its_readings_are(merge: Merge) -> None:
    first = reading("a", ("x", "/p/x.jpg", 3), single=True)
    assert merge(first).sources["single_label"].to_pylist() == [True]
    merged = merge(first, reading("a", ("y", "/p/y.jpg", 3)))
    assert merged.sources["single_label"].to_pylist() == [False]
    assert np.array_equal(merged.splits["row"].to_numpy(), [0, 1])
