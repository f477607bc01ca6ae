"""Completing a database partition by partition: as at once, and only what changed."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.labels.reference import World
from tests.labels.worlds import derived, facts_table, sources_table, worlds

from mlimages.database import Database
from mlimages.labels.derivation.rules import Rules
from mlimages.reports import CompletionReport
from mlimages.schemas import HIERARCHY, IMAGES, PREDICTIONS
from mlimages.store import Store
from mlimages.taxonomy.categories import Category, Taxonomy

ROWS = 2  # images of a partition
CAR, ROAD, DOG, ANIMAL = range(4)


def taxonomy_of(world: World) -> Taxonomy:
    names = [
        Category(i, f"own:{i}", (str(i),), "", "own", False) for i in range(world.num_categories)
    ]
    return Taxonomy(names, [-1] * world.num_categories)


def hierarchy_table(world: World) -> pa.Table:
    edges = [(c, p, "wordnet") for c, p in sorted(world.edges)]
    columns = zip(*edges, strict=True) if edges else ([], [], [])
    return pa.table([list(column) for column in columns], schema=HIERARCHY)


def images_of(world: World) -> pa.Table:
    rows = [
        {"row": i, "id": f"image-{i}", "sources": sorted(names), "uris": []}
        for i, names in enumerate(world.image_sources)
    ]
    return pa.Table.from_pylist(rows, schema=IMAGES)


def build(root: Path, world: World, single: tuple[str, ...] = ()) -> Database:
    """A database of a world, in partitions of two images."""
    store = Store.create(root, partition_rows=ROWS)
    with store.commit("test") as commit:
        commit.replace("categories", taxonomy_of(world).to_tables()[0])
        commit.replace("hierarchy", hierarchy_table(world))
        commit.replace("sources", sources_table(world, single))
        commit.append("images", images_of(world))
        commit.append("facts", facts_table(world.facts))
        commit.info["inputs"] = []
    return Database(store)


def change(db: Database, world: World, facts: list, single: tuple[str, ...] = ()) -> Database:
    """Add facts and take over the world's hierarchy, sources and vocabulary."""
    with db.store.commit("test") as commit:
        commit.replace("categories", taxonomy_of(world).to_tables()[0])
        commit.replace("hierarchy", hierarchy_table(world))
        commit.replace("sources", sources_table(world, single))
        commit.append("facts", facts_table(facts))
    return Database.open(db.root)


def content(db: Database) -> list[list[dict]]:
    return [db.store.table(name).to_pylist() for name in ("tags", "postings", "cooccurrence")]


@dataclass
class Street:
    """Four partitions: cars (images 0, 1), dogs (2, 3), a road (4, 5), cars again (6, 7)."""

    world: World

    @classmethod
    def build(cls) -> Street:
        at = {CAR: (0, 1, 6, 7), DOG: (2, 3), ROAD: (4, 5)}
        facts = [
            (row, c, "second" if c == ROAD else "first", True, 1.0, "asserted")
            for c, rows in at.items()
            for row in rows
        ]
        sources = [{"second"} if row in at[ROAD] else {"first"} for row in range(8)]
        return cls(World(4, {(DOG, ANIMAL)}, sorted(facts), sources))


def predictions(rows: list[tuple[int, int, float]]) -> pa.Table:
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[], [], []]
    return pa.table(columns, schema=PREDICTIONS)


ROAD_BEHIND_CARS = predictions([(row, ROAD, 1.0) for row in (0, 1, 6, 7)])


def rules(**more) -> Rules:
    """Of the hierarchy in which a category may have several parents."""
    return Rules(hierarchy="wordnet", **more)


def counts(report: CompletionReport) -> tuple[int, int]:
    return report.partitions_recomputed, report.partitions_kept


@settings(max_examples=30, deadline=None)
@given(worlds(most_rows=7), st.sampled_from(["asserted", "all"]))
def test_partitions_together_hold_the_tags_of_all_images(world: World, causes: str) -> None:
    world.pairs = set()
    with tempfile.TemporaryDirectory() as folder:
        db = build(Path(folder, "db"), world)
        report = db.complete(rules(cooccurrence_counts=causes))
        tags = derived(world)
        assert db.store.table("tags").to_pylist() == tags.to_table().to_pylist()
        held = db.store.table("postings").to_pylist()
        key = lambda posting: (posting["category"], posting["row"])  # noqa: E731
        assert sorted(held, key=key) == tags.to_postings().to_pylist()
        for partition in db.store.partitions("postings"):
            part = db.store.table("postings", partition=partition).to_pylist()
            assert part == sorted(part, key=key)
        assert report.tags == len(tags.categories)
        assert report.categories_with_images == len(np.unique(tags.categories))
        assert counts(db.complete(rules(cooccurrence_counts=causes))) == (
            0,
            -(-len(world.image_sources) // ROWS),
        )


@settings(max_examples=40, deadline=None)
@given(worlds(most_rows=7), st.data())
def test_what_is_recomputed_after_edits_equals_all_of_it(world: World, data: st.DataObject) -> None:
    single = ("first",)
    category = st.integers(0, world.num_categories - 1)
    row = st.integers(0, len(world.image_sources) - 1)
    with tempfile.TemporaryDirectory() as folder:
        db = build(Path(folder, "db"), world, single)
        for step in range(data.draw(st.integers(1, 3))):
            edit = data.draw(st.sampled_from(["facts", "edge", "category", "silence", "nothing"]))
            fresh: list = []
            if edit == "facts":
                kind = data.draw(st.sampled_from(["asserted", "verified", "correction"]))
                place, present = data.draw(row), data.draw(st.booleans())
                said_by = sorted(world.image_sources[place])[0]
                fresh = [(place, data.draw(category), said_by, present, 0.5, kind)]
                world.facts += fresh
            elif edit == "edge" and world.edges:
                world.edges = world.edges - {data.draw(st.sampled_from(sorted(world.edges)))}
            elif edit == "category":
                world.num_categories += 1
            elif edit == "silence":
                world.exhaustive = {"second": data.draw(st.sets(category))}
            db = change(db, world, fresh, single)
            found = st.tuples(row, category, st.just(1.0))
            table = predictions(data.draw(st.lists(found, max_size=6)))
            ratio = data.draw(st.sampled_from([0.1, 0.6]))
            causes = data.draw(st.sampled_from(["asserted", "all"]))
            these = rules(minimum_ratio=ratio, cooccurrence_counts=causes)
            report = db.complete(these, table)
            whole = build(Path(folder, f"whole-{step}"), world, single)
            expected = whole.complete(these, table)
            assert content(db) == content(whole)
            assert (report.tags, report.by_reason, report.categories_with_images) == (
                expected.tags,
                expected.by_reason,
                expected.categories_with_images,
            )


def test_new_facts_touch_only_their_partition(tmp_path: Path) -> None:
    street = Street.build().world
    db = build(tmp_path / "db", street, ("first",))
    assert counts(db.complete(rules())) == (4, 0)
    before = {entry.path for entry in db.store.entries("tags")}
    db = change(db, street, [(3, CAR, "first", True, 0.5, "machine")], ("first",))
    assert counts(db.complete(rules())) == (1, 3)
    assert len(before & {entry.path for entry in db.store.entries("tags")}) == 3


def test_a_pair_touches_only_partitions_with_its_cause(tmp_path: Path) -> None:
    db = build(tmp_path / "db", Street.build().world, ("first",))
    db.complete(rules())
    before = content(db)
    report = db.complete(rules(), predictions=ROAD_BEHIND_CARS)
    assert counts(report) == (2, 2)
    assert report.by_reason["cooccurrence"] == 4
    # Other evidence for the same pairs changes no tag.
    assert counts(db.complete(rules(minimum_ratio=0.9), ROAD_BEHIND_CARS)) == (0, 4)
    # Undoing the rule removes exactly its tags.
    assert counts(db.complete(rules())) == (2, 2)
    assert content(db) == before


def test_an_edge_touches_only_partitions_below_it(tmp_path: Path) -> None:
    street = Street.build().world
    db = build(tmp_path / "db", street, ("first",))
    db.complete(rules())
    street.edges = set()
    db = change(db, street, [], ("first",))
    assert counts(db.complete(rules())) == (1, 3)


def test_another_category_touches_nothing(tmp_path: Path) -> None:
    street = Street.build().world
    db = build(tmp_path / "db", street, ("first",))
    db.complete(rules())
    street.num_categories += 1
    db = change(db, street, [], ("first",))
    assert counts(db.complete(rules())) == (0, 4)


def test_silence_touches_only_partitions_where_a_pair_acts(tmp_path: Path) -> None:
    street = Street.build().world
    db = build(tmp_path / "db", street, ("first",))
    db.complete(rules(), predictions=ROAD_BEHIND_CARS)
    street.exhaustive = {"first": {ROAD}}
    db = change(db, street, [], ("first",))
    report = db.complete(rules(), predictions=ROAD_BEHIND_CARS)
    assert counts(report) == (2, 2)
    assert report.by_reason["cooccurrence"] == 0


def test_a_selection_holds_the_tags_of_its_images_across_partitions(tmp_path: Path) -> None:
    db = build(tmp_path / "db", Street.build().world, ("first",))
    db.complete(rules())
    chosen = db.select(part="single", packed=False)
    assert chosen.rows.tolist() == [0, 1, 2, 3, 6, 7]
    assert np.diff(chosen.indptr).tolist() == [1, 1, 2, 2, 1, 1]
    assert chosen.categories.tolist() == [CAR, CAR, DOG, ANIMAL, DOG, ANIMAL, CAR, CAR]
    assert chosen.confidences.tolist() == [1.0] * 8


def test_an_image_of_a_later_partition_is_explained(tmp_path: Path) -> None:
    db = build(tmp_path / "db", Street.build().world, ("first",))
    db.complete(rules())
    assert [tag.key for tag in db.explain("image-3").tags] == ["own:2", "own:3"]
    assert db.row_of("image-7") == 7
