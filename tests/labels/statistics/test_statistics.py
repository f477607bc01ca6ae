"""Figures of a database against hand counts."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.labels.reference import World, derive
from tests.labels.stores import store_of
from tests.labels.tiny import ANIMAL, CAR, CAT, DOG, KEYS, OBJECT, PARENTS, PERSON, ROAD, TAXONOMY
from tests.labels.worlds import facts_table, worlds

from mlimages.errors import DatabaseError
from mlimages.labels.statistics.summary import Spread, Statistics, compute
from mlimages.labels.statistics.tag_counts import count_tags
from mlimages.schemas import DUPLICATES, IMAGES, TAG_REASONS
from mlimages.taxonomy.categories import Taxonomy

EDGES = {(child, parent) for child, parent in enumerate(PARENTS) if parent >= 0}


def counted(
    world: World, root: Path, taxonomy: Taxonomy = TAXONOMY, train: int = 10**6
) -> Statistics:
    count = len(world.image_sources)
    splits = {row: "train" if row < train else "val" for row in range(count)}
    store = store_of(world, root / "DB", ("first",), splits, partition_rows=max(2, count // 3))
    return compute(store, taxonomy, taxonomy.hierarchy("tencent"))


def small() -> World:
    facts = [
        (0, DOG, "first", True, 1.0, "asserted"),
        (1, DOG, "first", True, 1.0, "asserted"),
        (2, CAT, "second", True, 1.0, "asserted"),
        (2, CAR, "second", True, 1.0, "asserted"),
        (2, PERSON, "second", False, 1.0, "verified"),
    ]
    world = World(9, EDGES, facts, [{"first"}, {"first"}, {"second", "first"}, {"second"}])
    world.pairs = {(CAR, ROAD)}
    world.exhaustive = {"second": {DOG, PERSON}}
    return world


def test_counts_of_a_small_database(tmp_path: Path) -> None:
    found = counted(small(), tmp_path, train=2)
    # Rows 0 and 1: dog, animal, object. Row 2: cat, car, animal, vehicle, object, road, ground.
    assert (found.images, found.images_with_tags, found.tags) == (4, 3, 13)
    assert (found.categories, found.categories_with_images) == (9, 8)
    assert found.categories_in_both_parts == 2  # animal and object
    assert found.trainable_categories == 0
    assert found.tags_per_image == Spread(13 / 3, 3, 7)
    assert found.images_per_category == Spread(13 / 8, 1, 3)
    assert found.images_by_part == {"single": 2, "multi": 2}
    assert found.images_by_split == {"train": 2, "val": 2}
    assert found.tags_by_split == {"train": 6, "val": 7}
    assert found.tags_by_reason == {"asserted": 4, "ancestor": 8, "cooccurrence": 1}
    assert found.category_sizes == [3, 3, 2, 1, 1, 1, 1, 1]
    assert found.tag_counts == [1, 0, 0, 2, 0, 0, 0, 1]
    assert [entry[0] for entry in found.most_frequent[:3]] == [
        KEYS[OBJECT],
        KEYS[ANIMAL],
        KEYS[DOG],
    ]
    assert [(d.depth, d.categories, d.with_images, d.tags) for d in found.depths] == [
        (0, 2, 2, 4),  # object, ground
        (1, 4, 3, 5),  # animal, person, vehicle, road
        (2, 3, 3, 4),  # dog, cat, car
    ]
    assert found.depths[2].tags_by_reason == {"asserted": 4, "ancestor": 0, "cooccurrence": 0}


def test_each_source_is_counted(tmp_path: Path) -> None:
    sources = {source.source: source for source in counted(small(), tmp_path).sources}
    assert (sources["first"].images, sources["first"].present_facts) == (3, 2)
    assert (sources["second"].images, sources["second"].present_facts) == (2, 2)
    assert (sources["second"].absent_facts, sources["second"].exhaustive_categories) == (1, 2)
    assert sources["third"].images == 0


def test_trainable_means_more_than_100_training_images(tmp_path: Path) -> None:
    facts = [(row, DOG if row < 101 else CAR, "first", True, 1.0, "asserted") for row in range(201)]
    world = World(9, EDGES, facts, [{"first"}] * 201)
    assert counted(world, tmp_path).trainable_categories == 3  # not car: exactly 100
    assert counted(world, tmp_path / "fewer", train=100).trainable_categories == 0


def test_sensitive_categories_are_counted_but_not_listed(tmp_path: Path) -> None:
    categories = [dataclasses.replace(c, sensitive=c.index == DOG) for c in TAXONOMY.categories]
    found = counted(small(), tmp_path, Taxonomy(categories, PARENTS))
    assert KEYS[DOG] not in [key for key, _, _ in found.most_frequent]
    assert found.categories_with_images == 8


def test_an_empty_database_has_zeros(tmp_path: Path) -> None:
    found = counted(World(9, EDGES, [], []), tmp_path)
    assert found.tags_per_image == Spread(0, 0, 0)
    assert found.category_sizes == []
    assert found.long_tail.gini == 0
    json.dumps(dataclasses.asdict(found))


def test_images_that_another_stands_for_are_counted_apart(tmp_path: Path) -> None:
    store = store_of(small(), tmp_path / "DB", ("first",))
    with store.commit("test") as commit:
        merged = [{"row": 1, "kept": 0, "evidence": "bytes"}]
        commit.append("duplicates", pa.Table.from_pylist(merged, schema=DUPLICATES))
        added = [(0, CAR, "second", True, 1.0, "duplicate")]
        commit.append("facts", facts_table(added))
    found = compute(store, TAXONOMY, TAXONOMY.hierarchy("tencent"))
    assert (found.images, found.duplicates, found.tags) == (3, 1, 10)
    assert found.images_by_part == {"single": 1, "multi": 2}
    assert found.tag_counts == [1, 0, 0, 1, 0, 0, 0, 1]
    assert {s.source: s.present_facts for s in found.sources}["second"] == 2


def test_tags_older_than_the_images_are_refused(tmp_path: Path) -> None:
    store = store_of(small(), tmp_path / "DB")
    with store.commit("test") as commit:
        late = [{"row": 4, "id": "late", "sources": ["first"], "uris": []}]
        commit.append("images", pa.Table.from_pylist(late, schema=IMAGES))
    with pytest.raises(DatabaseError, match="mlimages complete"):
        compute(store, TAXONOMY, TAXONOMY.hierarchy("tencent"))


@given(worlds(most_rows=6), st.sampled_from([1, 2, 5]))
@settings(max_examples=25, deadline=None)
def test_counts_equal_those_of_the_rules_written_with_dictionaries(world: World, size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = store_of(world, Path(folder) / "DB", partition_rows=size)
        counts = count_tags(store, world.num_categories)
    expected = np.zeros((3, world.num_categories), np.int64)
    for row in range(len(world.image_sources)):
        for category, (_, reason, _) in derive(world, row).items():
            expected[TAG_REASONS.index(reason), category] += 1
    np.testing.assert_array_equal(counts.by_reason(), expected)
    np.testing.assert_array_equal(counts.of_split("train"), expected)
    assert counts.images.total() == len(world.image_sources)
