"""Contradictions against the definition written with loops over facts."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.labels.reference import World
from tests.labels.stores import store_of
from tests.labels.tiny import ANIMAL, CAR, DOG, OBJECT, PARENTS
from tests.labels.worlds import hierarchy_of, worlds

from mlimages.labels.quality.contradictions import KINDS, Contradictions, find_contradictions
from mlimages.schemas import DUPLICATES

EDGES = {(child, parent) for child, parent in enumerate(PARENTS) if parent >= 0}


def found_in(world: World, root: Path, size: int = 2, limit: int = 50) -> Contradictions:
    store = store_of(world, root, partition_rows=size)
    return find_contradictions(store, hierarchy_of(world), limit)


def by_definition(world: World) -> tuple[Counter, int]:
    """(number of each kind, number of settled facts)."""
    up = {c: world.distances(c) for c in range(world.num_categories)}
    counts, settled = Counter(dict.fromkeys(KINDS, 0)), 0
    for row, sources in enumerate(world.image_sources):
        mine = [fact for fact in world.facts if fact[0] == row]
        corrected = {
            c for _, c, _, present, _, kind in mine if not present and kind == "correction"
        }
        for _, c, _, present, _, kind in mine:
            if not present:
                continue
            if corrected & up[c].keys():
                settled += 1
                continue
            if kind == "correction":
                continue
            for _, other, _, is_present, _, _ in mine:
                if not is_present and other in up[c]:
                    counts["sources" if other == c else "ancestor"] += 1
            for name in sources:
                said = {
                    above
                    for _, k, s, p, _, kd in mine
                    if s == name and p and kd != "correction" and not corrected & up[k].keys()
                    for above in up[k]
                }
                for above in up[c]:
                    if above in world.exhaustive.get(name, ()) and above not in said:
                        counts["silence"] += 1
    return counts, settled


@given(worlds(most_rows=5), st.sampled_from([1, 2, 5]))
@settings(max_examples=30, deadline=None)
def test_counts_are_those_of_the_definition(world: World, size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = found_in(world, Path(folder) / "DB", size)
    counts, settled = by_definition(world)
    assert (found.counts, found.settled) == (counts, settled)
    assert len(found.first) == found.counts.total()
    assert found.images == len({one.row for one in found.first})


def small() -> World:
    facts = [
        (0, DOG, "first", True, 1.0, "asserted"),
        (0, ANIMAL, "second", False, 1.0, "verified"),
        (1, CAR, "first", True, 1.0, "machine"),
        (1, CAR, "second", False, 1.0, "verified"),
        (2, DOG, "first", True, 1.0, "machine"),
        (2, DOG, "second", False, 1.0, "correction"),
        (3, DOG, "first", True, 1.0, "asserted"),
    ]
    sources = [{"first", "second"}, {"first", "second"}, {"first"}, {"first", "third"}]
    return World(9, EDGES, facts, sources, exhaustive={"third": {DOG, OBJECT}})


def test_each_contradiction_names_the_image_both_categories_and_both_sources(
    tmp_path: Path,
) -> None:
    found = found_in(small(), tmp_path / "DB")
    listed = {
        (one.kind, one.row, one.category, one.said_by, one.absent, one.denied_by)
        for one in found.first
    }
    assert listed == {
        ("ancestor", 0, DOG, "first", ANIMAL, "second"),
        ("sources", 1, CAR, "first", CAR, "second"),
        ("silence", 3, DOG, "first", DOG, "third"),
        ("silence", 3, DOG, "first", OBJECT, "third"),
    }
    assert found.settled == 1
    assert found.by_sources["silence", "first", "third"] == 2


def test_the_first_few_are_listed_and_all_are_counted(tmp_path: Path) -> None:
    facts = [(row, DOG, "first", p, 1.0, "asserted") for row in range(9) for p in (True, False)]
    found = found_in(World(9, EDGES, facts, [{"first"}] * 9), tmp_path / "DB", limit=4)
    assert [one.row for one in found.first] == [0, 1, 2, 3]
    assert (found.counts["sources"], found.images) == (9, 9)


def test_images_that_another_stands_for_are_left_out(tmp_path: Path) -> None:
    store = store_of(small(), tmp_path / "DB")
    with store.commit("test") as commit:
        merged = [{"row": 0, "kept": 1, "evidence": "bytes"}]
        commit.append("duplicates", pa.Table.from_pylist(merged, schema=DUPLICATES))
    assert find_contradictions(store, hierarchy_of(small())).counts["ancestor"] == 0
