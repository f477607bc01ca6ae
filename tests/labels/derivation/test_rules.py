"""Deriving tags: the vectorised rules against the slow ones, and their laws."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.labels.reference import World, derive
from tests.labels.worlds import (
    derived,
    facts_table,
    hierarchy_of,
    images_table,
    pairs_table,
    sources_table,
    tags_of,
    worlds,
)

from mlimages.errors import InputError
from mlimages.labels import compiled
from mlimages.labels.derivation import with_numpy
from mlimages.labels.derivation.rules import Rules, Tags, absent_categories, derive_tags
from mlimages.taxonomy.hierarchy import Hierarchy

# 0 entity <- 1 animal <- 2 dog, 3 cat; 0 <- 4 vehicle <- 5 car; 6 ground <- 7 road
EDGES = {(1, 0), (2, 1), (3, 1), (4, 0), (5, 4), (7, 6)}
ENTITY, ANIMAL, DOG, CAT, VEHICLE, CAR, GROUND, ROAD = range(8)


def one_image(*facts: tuple, pairs: tuple = (), **more) -> World:
    """A world with one image; facts are (category, confidence) or whole, without the row."""
    whole = [(0, f[0], "first", True, f[1], "asserted") if len(f) == 2 else (0, *f) for f in facts]
    return World(8, EDGES, whole, [{"first"}], pairs=set(pairs), **more)


def only_tags(world: World) -> dict[int, tuple]:
    return tags_of(derived(world), 0)


@settings(max_examples=120, deadline=None)
@given(worlds(), st.sampled_from(["asserted", "all"]))
def test_tags_equal_the_reference(world: World, causes: str) -> None:
    tags = derived(world, causes)
    assert len(tags) == len(world.image_sources)
    for row in range(len(tags)):
        assert tags_of(tags, row) == derive(world, row, causes)
        found = tags.categories[tags.indptr[row] : tags.indptr[row + 1]]
        assert np.all(np.diff(found) > 0)


def by_numpy(world: World, causes: str = "asserted") -> Tags:
    facts = facts_table(world.facts)
    return with_numpy.derive_tags(
        facts,
        len(world.image_sources),
        hierarchy_of(world),
        pairs_table(world),
        absent_categories(facts, images_table(world), sources_table(world)),
        causes,  # type: ignore[arg-type]
    )


def assert_same(first: Tags, second: Tags) -> None:
    for name in (field.name for field in dataclasses.fields(Tags)):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name
        assert getattr(first, name).dtype == getattr(second, name).dtype


@pytest.mark.skipif(not compiled.available(), reason="numba is not installed")
@settings(max_examples=200, deadline=None)
@given(worlds(), st.sampled_from(["asserted", "all"]))
def test_the_compiled_rules_give_the_same_as_the_ones_in_numpy(world: World, causes: str) -> None:
    assert_same(derived(world, causes), by_numpy(world, causes))


def test_without_the_compiler_the_rules_in_numpy_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "available", lambda: False)
    called = []
    real = with_numpy.derive_tags
    monkeypatch.setattr(with_numpy, "derive_tags", lambda *given: called.append(1) or real(*given))
    world = one_image((DOG, 1.0))
    assert only_tags(world).keys() == {DOG, ANIMAL, ENTITY}
    assert called


@settings(max_examples=40, deadline=None)
@given(worlds())
def test_blocks_do_not_change_the_result(world: World) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(with_numpy, "BLOCK_FACTS", 2)
        cut = by_numpy(world)
    assert_same(by_numpy(world), cut)


@pytest.mark.skipif(not compiled.available(), reason="numba is not installed")
@settings(max_examples=60, deadline=None)
@given(worlds(), st.sampled_from(["asserted", "all"]))
def test_blocks_of_the_compiled_rules_do_not_change_the_result(world: World, causes: str) -> None:
    from mlimages.labels.derivation import with_numba

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(with_numba, "MOST_TAGS", 3)
        cut = derived(world, causes)
    assert_same(derived(world, causes), cut)


def test_many_categories_over_several_words_of_the_map_are_sorted() -> None:
    # A chain of 300 categories scattered over 9,000 numbers: longer than edges are counted.
    order = np.random.default_rng(0).permutation(9_000)[:300]
    hierarchy = Hierarchy.from_edges(9_000, order[1:], order[:-1])
    said = [(1, int(order[place]), "first", True, 0.5, "asserted") for place in (150, -1)]
    facts = facts_table(said)
    tags = derive_tags(facts, 2, hierarchy)
    assert tags.indptr.tolist() == [0, 0, 300]
    assert np.array_equal(tags.categories, np.sort(order))


@settings(max_examples=40, deadline=None)
@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_facts_does_not_matter(world: World, generator: random.Random) -> None:
    before = derived(world)
    generator.shuffle(world.facts)
    after = derived(world)
    for row in range(len(before)):
        assert tags_of(before, row) == tags_of(after, row)


@settings(max_examples=40, deadline=None)
@given(worlds())
def test_tags_taken_as_facts_give_the_same_tags(world: World) -> None:
    world.pairs = set()
    first = derived(world)
    world.facts = [
        (row, category, "first", True, confidence, "asserted")
        for row in range(len(first))
        for category, (confidence, _, _) in tags_of(first, row).items()
    ]
    second = derived(world)
    assert np.array_equal(first.categories, second.categories)
    assert np.array_equal(first.confidences, second.confidences)
    assert np.all(second.reasons == 0)


@settings(max_examples=40, deadline=None)
@given(worlds(), st.data())
def test_another_present_fact_removes_no_tag(world: World, data: st.DataObject) -> None:
    before = derived(world)
    category = data.draw(st.integers(0, world.num_categories - 1))
    world.facts.append((0, category, "first", True, 0.5, "asserted"))
    after = derived(world)
    assert tags_of(before, 0).keys() <= tags_of(after, 0).keys()
    asserted_before = {c: t for c, t in tags_of(before, 0).items() if t[1] == "asserted"}
    for found, (confidence, _, _) in asserted_before.items():
        assert tags_of(after, 0)[found][0] >= confidence


@settings(max_examples=40, deadline=None)
@given(worlds())
def test_tags_are_closed_and_confidence_never_falls_on_the_way_up(world: World) -> None:
    tags = derived(world)
    for row in range(len(tags)):
        found = tags_of(tags, row)
        for child, parent in world.edges:
            if child in found:
                assert found[parent][0] >= found[child][0]


def test_an_ancestor_takes_the_greatest_confidence_below_it() -> None:
    tags = only_tags(one_image((DOG, 0.5), (CAT, 0.75), (ANIMAL, 0.25)))
    assert tags[ANIMAL] == (0.75, "asserted", ANIMAL)
    assert tags[ENTITY] == (0.75, "ancestor", CAT)


def test_the_strongest_support_prefers_fewer_edges_and_then_the_lowest_category() -> None:
    assert only_tags(one_image((DOG, 1.0), (VEHICLE, 1.0)))[ENTITY][2] == VEHICLE
    assert only_tags(one_image((CAT, 1.0), (DOG, 1.0)))[ENTITY][2] == DOG


def test_a_cooccurrence_tag_takes_its_causes_confidence_and_is_closed() -> None:
    tags = only_tags(one_image((CAR, 0.5), pairs=((CAR, ROAD), (ROAD, DOG))))
    assert tags[ROAD] == (0.5, "cooccurrence", CAR)
    assert tags[GROUND] == (0.5, "ancestor", ROAD)
    assert DOG not in tags  # a co-occurrence tag causes nothing


def test_ancestors_cause_cooccurrence_only_when_asked() -> None:
    world = one_image((CAR, 1.0), pairs=((VEHICLE, ROAD),))
    assert ROAD not in only_tags(world)
    assert tags_of(derived(world, "all"), 0)[ROAD] == (1.0, "cooccurrence", VEHICLE)


@pytest.mark.parametrize("denied", [ROAD, GROUND])
def test_a_verified_absence_of_the_effect_or_above_it_stops_cooccurrence(denied: int) -> None:
    fact = (denied, "second", False, 1.0, "verified")
    tags = only_tags(one_image((CAR, 1.0), fact, pairs=((CAR, ROAD),)))
    assert ROAD not in tags
    assert GROUND not in tags


def test_silence_of_an_exhaustive_source_stops_cooccurrence() -> None:
    world = one_image((CAR, 1.0), pairs=((CAR, ROAD),), exhaustive={"first": {GROUND}})
    assert ROAD not in only_tags(world)
    world.exhaustive = {"second": {GROUND}}  # who did not annotate the image
    assert ROAD in only_tags(world)


def test_an_exhaustive_category_that_is_tagged_does_not_stop_what_is_below_it() -> None:
    world = one_image((CAR, 1.0), (GROUND, 1.0), pairs=((CAR, ROAD),))
    world.exhaustive = {"first": {GROUND}}
    assert ROAD in only_tags(world)


def test_a_present_fact_stands_against_another_sources_absence() -> None:
    tags = only_tags(one_image((DOG, 1.0), (DOG, "second", False, 1.0, "verified")))
    assert tags[DOG] == (1.0, "asserted", DOG)


def test_a_correction_removes_the_category_and_what_is_below_it() -> None:
    tags = only_tags(one_image((DOG, 1.0), (CAR, 1.0), (ANIMAL, "me", False, 1.0, "correction")))
    assert tags.keys() == {CAR, VEHICLE, ENTITY}


def test_an_image_without_facts_has_no_tags() -> None:
    tags = derive_tags(facts_table([]), 3, hierarchy_of(one_image()))
    assert tags.indptr.tolist() == [0, 0, 0, 0]
    assert tags.to_table().num_rows == 3


@pytest.mark.parametrize(("row", "category"), [(5, DOG), (-1, DOG), (0, 8)])
def test_facts_out_of_range_are_refused(row: int, category: int) -> None:
    facts = facts_table([(row, category, "first", True, 1.0, "asserted")])
    with pytest.raises(InputError):
        derive_tags(facts, 1, hierarchy_of(one_image()))


def test_a_path_of_more_than_255_edges_is_still_closed() -> None:
    chain = Hierarchy.from_edges(400, range(1, 400), range(399))
    facts = facts_table([(0, 399, "first", True, 1.0, "asserted")])
    assert derive_tags(facts, 1, chain).categories.tolist() == list(range(400))


def test_tags_survive_their_table() -> None:
    tags = derived(one_image((CAR, 0.5), (CAT, 1.0), pairs=((CAR, ROAD),)))
    back = Tags.from_table(tags.to_table())
    for name in (field.name for field in dataclasses.fields(Tags)):
        assert np.array_equal(getattr(tags, name), getattr(back, name))
        assert getattr(tags, name).dtype == getattr(back, name).dtype


def test_postings_hold_the_same_tags_by_category() -> None:
    world = World(
        8,
        EDGES,
        [(r, c, "first", True, 1.0, "asserted") for r, c in [(1, DOG), (0, CAT)]],
        [{"first"}, {"first"}],
    )
    rows = derived(world).to_postings().select(["category", "row"]).to_pylist()
    found = [(row["category"], row["row"]) for row in rows]
    assert found == [(ENTITY, 0), (ENTITY, 1), (ANIMAL, 0), (ANIMAL, 1), (DOG, 1), (CAT, 0)]


def test_take_picks_images_in_the_order_asked() -> None:
    facts = facts_table(
        [(0, DOG, "first", True, 1.0, "asserted"), (2, ROAD, "first", True, 0.5, "asserted")]
    )
    tags = derive_tags(facts, 3, hierarchy_of(one_image()))
    indptr, categories, confidences = tags.take(np.array([2, 1, 0]))
    assert indptr.tolist() == [0, 2, 2, 5]
    assert categories.tolist() == [GROUND, ROAD, ENTITY, ANIMAL, DOG]
    assert confidences.tolist() == [0.5, 0.5, 1, 1, 1]
    assert tags.count_by_reason() == {"asserted": 2, "ancestor": 3, "cooccurrence": 0}


@pytest.mark.parametrize(
    "options",
    [
        {"minimum_probability": 1.5},
        {"minimum_ratio": -0.1},
        {"minimum_ratio": float("nan")},
        {"hierarchy": "tree"},
        {"cooccurrence_counts": "some"},
    ],
)
def test_rules_out_of_range_are_refused(options: dict) -> None:
    with pytest.raises(InputError):
        Rules(**options)


def test_pairs_of_no_rows_change_nothing() -> None:
    world = one_image((CAR, 1.0))
    plain = derive_tags(facts_table(world.facts), 1, hierarchy_of(world))
    paired = derive_tags(facts_table(world.facts), 1, hierarchy_of(world), pairs_table(world))
    assert np.array_equal(plain.categories, paired.categories)
