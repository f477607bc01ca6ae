from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from tests.labels.exports.databases import Sample, build, samples
from tests.labels.tiny import ANIMAL, CAR, CAT, DOG, OBJECT, ROAD, TAXONOMY, VEHICLE

from mlimages.database import Database
from mlimages.labels.checks.reconciliation import reconcile

IMAGES = [
    Sample(facts={"first": [(DOG, True, 0.9, "asserted"), (ROAD, False, 1.0, "verified")]}),
    Sample(facts={"first": [(CAT, True, 1.0, "asserted"), (CAR, True, 0.5, "machine")]}),
    Sample(facts={"second": []}),
]
Rows = list[dict]


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return build(tmp_path / "DB", IMAGES, partition_rows=2)


def failures(db: Database) -> dict[str, str]:
    return {name: note for name, good, note in reconcile(db.store, TAXONOMY) if not good}


def change(
    db: Database, name: str, edit: Callable[[Rows], None], partition: int | None = None
) -> None:
    """Change a table, or one partition of it, and leave everything else as it was."""
    with db.store.commit("damage") as commit:
        table = commit.table(name, partition=partition)
        rows = table.to_pylist()
        edit(rows)
        commit.replace(name, pa.Table.from_pylist(rows, schema=table.schema), partition)
        # The tags stay "current": what is tested are the checks of their rows.
        from mlimages.checking import facts_fingerprint

        commit.info["tags_of"] = facts_fingerprint(commit.manifest)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(images=samples())
def test_every_database_built_by_the_rules_reconciles(images: list[Sample]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        db = build(Path(folder, "DB"), images, partition_rows=3)
        assert failures(db) == {}


def test_what_was_counted_is_reported(db: Database) -> None:
    notes = {name: note for name, _, note in reconcile(db.store, TAXONOMY)}
    assert notes["ids"] == "3 images with an id of their own"
    assert notes["facts"] == "4 facts"
    tags = db.store.num_rows("postings")
    assert (notes["tags follow"], notes["postings"]) == (
        f"{tags} tags follow",
        f"{tags} postings",
    )


def put(column: str, value: object, row: int = 0) -> Callable[[Rows], None]:
    def edit(rows: Rows) -> None:
        rows[row][column] = value

    return edit


@pytest.mark.parametrize(
    ("table", "edit", "check", "says"),
    [
        ("images", put("id", "Not Safe!"), "ids", "1 not safe (first: 'Not Safe!')"),
        ("images", put("id", "img1_o"), "ids", "1 given twice"),
        ("images", put("sources", ["third"]), "ids", "1 from an unknown source (first: third)"),
        ("facts", put("row", 1), "facts", "by a source that the image does not list"),
        ("facts", put("row", 7), "facts", "1 about no image of their partition (first: row 7)"),
        ("facts", put("category", 99), "facts", "1 about no category (first: row 0)"),
        ("facts", put("confidence", 0.0), "facts", "1 with a confidence outside (0, 1]"),
        ("facts", put("kind", "guessed"), "facts", "1 of an unknown kind"),
        ("facts", put("source", "nobody"), "facts", "1 by a source that the image does not list"),
        ("facts", lambda rows: rows.append(dict(rows[0])), "facts", "1 said twice (first: row 0)"),
    ],
)
def test_damaged_rows_are_named(
    db: Database, table: str, edit: Callable[[Rows], None], check: str, says: str
) -> None:
    if says.startswith("by"):  # image 1 is of the first source, like the fact: use the other
        change(db, "images", put("sources", ["second"], 1), 0)
    change(db, table, edit, 0)
    assert says in failures(db)[check]


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (put("row", 1), "1 images in several splits (first: row 1); 1 images in no split"),
        (put("row", 9), "1 of no image (first: row 9); 1 images in no split (first: row 0)"),
    ],
)
def test_splits_cover_each_image_once(
    db: Database, edit: Callable[[Rows], None], says: str
) -> None:
    change(db, "splits", edit)
    assert failures(db)["splits"].startswith(says)


def tag(categories: list[int], reasons: list[int], because: list[int]) -> Callable[[Rows], None]:
    def edit(rows: Rows) -> None:
        rows[0] |= {
            "categories": categories,
            "confidences": [0.9] * len(categories),
            "reasons": reasons,
            "because": because,
        }

    return edit


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (tag([OBJECT, ANIMAL], [1, 1], [DOG, DOG]), "1 facts without their tag (first: row 0)"),
        (tag([OBJECT, DOG], [1, 0], [DOG, DOG]), "1 without a parent's tag (first: row 0)"),
        (tag([ANIMAL, DOG], [1, 0], [DOG, DOG]), "1 without a parent's tag (first: row 0)"),
        (
            tag([OBJECT, ANIMAL, DOG, ROAD], [1, 1, 0, 0], [DOG, DOG, DOG, ROAD]),
            "1 asserted by no fact (first: row 0)",
        ),
        (
            tag([OBJECT, ANIMAL, DOG], [1, 1, 0], [DOG, CAT, DOG]),
            "1 whose support the image has not (first: row 0)",
        ),
        (
            tag([OBJECT, ANIMAL, DOG], [1, 1, 0], [DOG, OBJECT, DOG]),
            "1 ancestors of nothing below them (first: row 0)",
        ),
        (
            tag([OBJECT, ANIMAL, DOG], [1, 1, 0], [DOG, DOG, ANIMAL]),
            "1 asserted, but because of another (first: row 0)",
        ),
        (
            tag([OBJECT, ANIMAL, DOG, VEHICLE], [1, 1, 0, 2], [DOG, DOG, DOG, DOG]),
            "1 of no co-occurring pair (first: row 0)",
        ),
        (tag([ANIMAL, OBJECT, DOG], [1, 1, 0], [DOG, DOG, DOG]), "1 out of order or twice"),
        (tag([OBJECT, ANIMAL, DOG], [1, 7, 0], [DOG, DOG, DOG]), "1 with an unknown reason"),
        (tag([OBJECT, ANIMAL, 77], [1, 1, 0], [DOG, DOG, 77]), "1 of no category"),
        (put("confidences", [0.9, 0.9, 1.5]), "1 with a confidence outside (0, 1]"),
        (put("confidences", [0.8, 0.9, 0.9]), "1 less certain than their support"),
        (put("confidences", [0.9, 0.9]), "1 lists of unequal length"),
        (lambda rows: rows.pop(0), "1 rows that are not one an image"),
    ],
)
def test_tags_that_do_not_follow_are_named(
    db: Database, edit: Callable[[Rows], None], says: str
) -> None:
    assert db.store.table("tags", partition=0).to_pylist()[0]["categories"] == [OBJECT, ANIMAL, DOG]
    change(db, "tags", edit, 0)
    assert says in failures(db)["tags follow"]


@pytest.mark.parametrize(
    "edit",
    [put("row", 1), put("confidence", 0.1), put("reason", 0), lambda rows: rows.reverse()],
)
def test_postings_are_the_tags(db: Database, edit: Callable[[Rows], None]) -> None:
    change(db, "postings", edit, 0)
    assert "not the tag in their place" in failures(db)["postings"]


def test_missing_postings_are_counted(db: Database) -> None:
    change(db, "postings", lambda rows: rows.pop(), 0)
    assert "1 counts that differ" in failures(db)["postings"]


def test_rows_beyond_the_images_are_found(db: Database) -> None:
    with db.store.commit("damage") as commit:
        facts = commit.table("facts").slice(0, 1)
        row = pa.array(np.array([50], dtype=np.int32))
        commit.append("facts", facts.set_column(0, "row", row))
    assert "1 partitions without images (first: facts 25)" in failures(db)["facts"]


def test_packed_images_lie_in_the_shards_of_the_generation(db: Database) -> None:
    row = {"row": [0], "shard": [3], "offset": [512], "length": [10], "crc32": [1]}
    with db.store.commit("damage") as commit:
        commit.append("shards/index", pa.table({**row, "width": [1], "height": [1]}))
    assert "1 in a shard that is not there (first: row 0)" in failures(db)["packed"]


def test_the_check_of_a_database_runs_them_all(db: Database) -> None:
    report = db.check()
    assert report.passed
    names = [name for name, _, _ in report.checks]
    labels = ["ids", "splits", "packed", "facts", "tags follow", "postings"]
    assert names[-10:] == [*labels, "urls", "fetched", "bytes", "removals"]
    change(db, "tags", lambda rows: rows.pop(0), 0)
    assert not db.check().passed
