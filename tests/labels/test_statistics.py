"""Figures of a database against hand counts."""

from __future__ import annotations

import dataclasses
import json

import pyarrow as pa
import pytest
from tests.labels.reference import World
from tests.labels.tiny import ANIMAL, CAR, CAT, DOG, KEYS, OBJECT, PARENTS, PERSON, ROAD, TAXONOMY
from tests.labels.worlds import derived, facts_table, sources_table

from mlimages.errors import InputError
from mlimages.labels.statistics import Spread, Statistics, compute
from mlimages.schemas import IMAGES, SPLITS
from mlimages.taxonomy.categories import Taxonomy

EDGES = {(child, parent) for child, parent in enumerate(PARENTS) if parent >= 0}


def counted(world: World, taxonomy: Taxonomy = TAXONOMY, train: int = 10**6) -> Statistics:
    images = [{"row": i, "sources": sorted(s)} for i, s in enumerate(world.image_sources)]
    splits = [{"row": i, "split": "train" if i < train else "val"} for i in range(len(images))]
    return compute(
        taxonomy,
        images=pa.Table.from_pylist(images, schema=IMAGES),
        sources=sources_table(world, ("first",)),
        facts=facts_table(world.facts),
        tags=derived(world).to_table(),
        splits=pa.Table.from_pylist(splits, schema=SPLITS),
    )


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


def test_counts_of_a_small_database() -> None:
    found = counted(small(), train=2)
    # Rows 0 and 1: dog, animal, object. Row 2: cat, car, animal, vehicle, object, road, ground.
    assert (found.images, found.images_with_tags, found.tags) == (4, 3, 13)
    assert (found.categories, found.categories_with_images) == (9, 8)
    assert found.categories_in_both_parts == 2  # animal and object
    assert found.trainable_categories == 0
    assert found.tags_per_image == Spread(13 / 3, 3, 7)
    assert found.images_per_category == Spread(13 / 8, 1, 3)
    assert found.images_by_part == {"single": 2, "multi": 2}
    assert found.images_by_split == {"train": 2, "val": 2}
    assert found.tags_by_reason == {"asserted": 4, "ancestor": 8, "cooccurrence": 1}
    assert found.category_sizes == [3, 3, 2, 1, 1, 1, 1, 1]
    assert found.tag_counts == [1, 0, 0, 2, 0, 0, 0, 1]
    assert [entry[0] for entry in found.most_frequent[:3]] == [
        KEYS[OBJECT],
        KEYS[ANIMAL],
        KEYS[DOG],
    ]


def test_each_source_is_counted() -> None:
    sources = {source.source: source for source in counted(small()).sources}
    assert (sources["first"].images, sources["first"].present_facts) == (3, 2)
    assert (sources["second"].images, sources["second"].present_facts) == (2, 2)
    assert (sources["second"].absent_facts, sources["second"].exhaustive_categories) == (1, 2)
    assert sources["third"].images == 0


def test_trainable_means_more_than_100_training_images() -> None:
    facts = [(row, DOG if row < 101 else CAR, "first", True, 1.0, "asserted") for row in range(201)]
    world = World(9, EDGES, facts, [{"first"}] * 201)
    assert counted(world).trainable_categories == 3  # dog, animal, object; car has exactly 100
    assert counted(world, train=100).trainable_categories == 0


def test_sensitive_categories_are_counted_but_not_listed() -> None:
    categories = [dataclasses.replace(c, sensitive=c.index == DOG) for c in TAXONOMY.categories]
    found = counted(small(), Taxonomy(categories, PARENTS))
    assert KEYS[DOG] not in [key for key, _, _ in found.most_frequent]
    assert found.categories_with_images == 8


def test_an_empty_database_has_zeros() -> None:
    found = counted(World(9, EDGES, [], []))
    assert found.tags_per_image == Spread(0, 0, 0)
    assert found.category_sizes == []
    json.dumps(dataclasses.asdict(found))


def test_tags_older_than_the_images_are_refused() -> None:
    world = small()
    tags = derived(world).to_table()
    with pytest.raises(InputError, match="mlimages complete"):
        compute(
            TAXONOMY,
            images=pa.Table.from_pylist([{"row": 0, "sources": ["first"]}], schema=IMAGES),
            sources=sources_table(world),
            facts=facts_table(world.facts),
            tags=tags,
            splits=SPLITS.empty_table(),
        )
