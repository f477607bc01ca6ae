"""Every support of a tag, and its words."""

from __future__ import annotations

import dataclasses
import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from tests.labels.reference import World
from tests.labels.tiny import ANIMAL, CAR, DOG, GROUND, KEYS, OBJECT, PARENTS, ROAD, TAXONOMY
from tests.labels.worlds import derived, facts_table, hierarchy_of, pairs_table, tags_of, worlds

from mlimages.errors import InputError
from mlimages.labels.derivation.explanation import Explanation, explain
from mlimages.schemas import COOCCURRENCE, IMAGES
from mlimages.taxonomy.categories import Category, Taxonomy

EDGES = {(child, parent) for child, parent in enumerate(PARENTS) if parent >= 0}


def explained(world: World, row: int, taxonomy: Taxonomy = TAXONOMY, **options) -> Explanation:
    images = [
        {"row": i, "id": f"image-{i}", "sources": sorted(names), "uris": [f"/{i}.jpg"]}
        for i, names in enumerate(world.image_sources)
    ]
    pairs = pairs_table(world)
    if world.pairs == {(CAR, ROAD)}:
        pairs = pa.table([[CAR], [ROAD], [4], [3], [0.75]], schema=COOCCURRENCE)
    return explain(
        row,
        taxonomy,
        hierarchy_of(world),
        facts=facts_table(world.facts),
        tags=derived(world).to_table(),
        cooccurrence=pairs,
        images=pa.Table.from_pylist(images, schema=IMAGES),
        **options,
    )


def street(**more) -> World:
    facts = [
        (0, CAR, "first", True, 0.5, "asserted"),
        (0, CAR, "second", True, 0.75, "machine"),
        (0, DOG, "first", True, 1.0, "verified"),
        (0, ANIMAL, "second", False, 1.0, "verified"),
    ]
    return World(9, EDGES, facts, [{"first", "second"}], pairs={(CAR, ROAD)}, **more)


def test_each_tag_names_all_its_supports_the_strongest_first() -> None:
    tags = {tag.key: tag for tag in explained(street(), 0).tags}
    car = tags[KEYS[CAR]]
    assert [(s.source, s.kind, s.confidence) for s in car.supports] == [
        ("second", "machine", 0.75),
        ("first", "asserted", 0.5),
    ]
    road = tags[KEYS[ROAD]]
    assert (road.reason, road.because, road.confidence) == ("cooccurrence", KEYS[CAR], 0.75)
    assert [(s.images, s.predicted, s.ratio) for s in road.supports] == [(4, 3, 0.75)]
    assert [(s.key, s.edges) for s in tags[KEYS[GROUND]].supports] == [(KEYS[ROAD], 1)]
    assert [s.key for s in tags[KEYS[OBJECT]].supports] == [KEYS[DOG], KEYS[CAR]]


def test_the_words_name_sources_categories_and_evidence() -> None:
    text = "\n".join(explained(street(), 0).lines())
    assert "image-0 from first, second" in text
    assert "machine by second, confidence 0.75" in text
    assert "dog (n02084071) lies 2 steps below it, confidence 1" in text
    assert "co-occurs with car (n02958343): predicted on 3 of its 4 images (75%)" in text
    assert "not animal (n00015388): verified by second" in text


def test_contradictory_facts_are_named_at_the_tags_they_speak_against() -> None:
    tags = {tag.key: tag for tag in explained(street(), 0).tags}
    against = [(a.key, a.source) for a in tags[KEYS[DOG]].contradictions]
    assert against == [(KEYS[ANIMAL], "second")]
    assert tags[KEYS[CAR]].contradictions == []
    text = "\n".join(explained(street(), 0).lines())
    assert "against it: not animal (n00015388): verified by second" in text


def test_facts_that_a_correction_withdrew_are_named() -> None:
    world = street()
    world.facts.append((0, ANIMAL, "me", False, 1.0, "correction"))
    found = explained(world, 0)
    assert KEYS[DOG] not in {tag.key for tag in found.tags}
    assert [(s.key, s.source) for s in found.withdrawn] == [(KEYS[DOG], "first")]
    assert "withdrawn: dog (n02084071), verified by first, confidence 1" in found.lines()


def test_an_explanation_is_plain_json() -> None:
    shown = json.loads(json.dumps(dataclasses.asdict(explained(street(), 0))))
    assert shown["absent"] == [
        {"key": KEYS[ANIMAL], "name": "animal", "source": "second", "kind": "verified"}
    ]


def test_an_image_without_tags_says_so() -> None:
    world = World(9, EDGES, [], [{"first"}])
    assert "no tags" in explained(world, 0).lines()


def test_sensitive_categories_are_counted_but_not_named() -> None:
    categories = [dataclasses.replace(c, sensitive=c.index == DOG) for c in TAXONOMY.categories]
    taxonomy = Taxonomy(categories, PARENTS)
    hidden = explained(street(), 0, taxonomy)
    assert hidden.hidden_sensitive == 1
    assert "dog" not in "\n".join(hidden.lines())
    assert KEYS[DOG] not in json.dumps(dataclasses.asdict(hidden))
    shown = explained(street(), 0, taxonomy, include_sensitive=True)
    assert shown.hidden_sensitive == 0
    assert "dog" in "\n".join(shown.lines())


def test_tags_older_than_the_images_are_refused() -> None:
    world = street()
    tags = derived(world).to_table()
    world.image_sources.append({"first"})
    images = pa.Table.from_pylist(
        [{"row": i, "id": str(i), "sources": ["first"], "uris": []} for i in range(2)],
        schema=IMAGES,
    )
    with pytest.raises(InputError, match="mlimages complete"):
        explain(
            1,
            TAXONOMY,
            hierarchy_of(world),
            facts=facts_table(world.facts),
            tags=tags,
            cooccurrence=pairs_table(world),
            images=images,
        )


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_the_first_support_is_what_the_tag_is_because_of(world: World) -> None:
    taxonomy = Taxonomy(
        [Category(i, f"own:{i}", (str(i),), "", "own", False) for i in range(world.num_categories)],
        [-1] * world.num_categories,
    )
    tags = derived(world)
    for row in range(len(tags)):
        found = {tag.key: tag for tag in explained(world, row, taxonomy).tags}
        assert found.keys() == {f"own:{c}" for c in tags_of(tags, row)}
        for tag in found.values():
            strongest = tag.supports[0]
            assert (strongest.reason, strongest.key) == (tag.reason, tag.because)
