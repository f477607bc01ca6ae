"""Pairs of tags against counting them with dictionaries, and the images that hold odd ones."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.labels.reference import World, derive
from tests.labels.stores import store_of
from tests.labels.tiny import ANIMAL, CAR, CAT, DOG, PARENTS, ROAD
from tests.labels.worlds import hierarchy_of, worlds

from mlimages.labels.quality.improbable_pairs import find_improbable_pairs
from mlimages.labels.statistics import tag_pairs
from mlimages.labels.statistics.tag_pairs import count_tag_pairs, strongest_partners

EDGES = {(child, parent) for child, parent in enumerate(PARENTS) if parent >= 0}


@given(worlds(most_rows=6), st.sampled_from([1, 2, 6]))
@settings(max_examples=25, deadline=None)
def test_pairs_are_counted_as_with_dictionaries(world: World, size: int) -> None:
    up = {c: world.distances(c) for c in range(world.num_categories)}
    sizes, together, images = Counter(), Counter(), 0
    for row, sources in enumerate(world.image_sources):
        if sources == {"first"}:
            continue
        images += 1
        tags = [c for c, (_, why, _) in derive(world, row).items() if why != "cooccurrence"]
        sizes.update(tags)
        for a, b in combinations(sorted(tags), 2):
            if a not in up[b] and b not in up[a]:
                together[a, b] += 1
    with tempfile.TemporaryDirectory() as folder:
        store = store_of(world, Path(folder) / "DB", ("first",), partition_rows=size)
        found = count_tag_pairs(store, hierarchy_of(world))
    assert found.images == found.of == images
    assert {c: n for c, n in enumerate(found.sizes.tolist()) if n} == sizes
    pairs = zip(found.first.tolist(), found.second.tolist(), strict=True)
    assert dict(zip(pairs, found.together.tolist(), strict=True)) == together
    for a, b, n, pmi, normalised in zip(
        found.first, found.second, found.together, found.pmi(), found.normalised_pmi(), strict=True
    ):
        p = n / images
        assert pmi == pytest.approx(math.log2(p / (sizes[a] / images * sizes[b] / images)))
        if n < images:
            assert normalised == pytest.approx(pmi / -math.log2(p))


def photos() -> World:
    """Dogs are on roads and cats are not, but for one."""
    facts = []
    for row in range(200):
        said = [DOG, ROAD] if row % 2 else [CAT]
        if row == 0:
            said = [CAT, ROAD]
        facts += [(row, category, "second", True, 1.0, "asserted") for category in said]
    return World(9, EDGES, facts, [{"second"}] * 200)


def test_the_image_with_an_improbable_pair_is_named(tmp_path: Path) -> None:
    world = photos()
    store = store_of(world, tmp_path / "DB", partition_rows=64)
    found = find_improbable_pairs(store, hierarchy_of(world))
    assert [(one.row, one.pair.first, one.pair.second) for one in found.listed] == [(0, CAT, ROAD)]
    assert found.below[0].together == 1
    assert found.below[0].expected == pytest.approx(100 * 101 / 200)
    # That a cat's road is also a cat's ground is the same news.
    assert (found.improbable, len(found.below)) == (2, 1)
    assert (found.above[0].first, found.above[0].second) == (DOG, ROAD)


def test_partners_are_the_categories_above_chance_one_of_each_branch(tmp_path: Path) -> None:
    world = photos()
    store = store_of(world, tmp_path / "DB", partition_rows=64)
    partners = strongest_partners(count_tag_pairs(store, hierarchy_of(world)), hierarchy_of(world))
    assert len(partners[DOG]) == 1  # the road or the ground below it
    assert partners[DOG][0].together == 100
    assert CAT not in partners
    assert ANIMAL not in {p.category for found in partners.values() for p in found}
    assert CAR not in partners


def test_of_many_images_a_part_is_counted_the_same_every_time(tmp_path: Path) -> None:
    world = photos()
    store = store_of(world, tmp_path / "DB", partition_rows=64)
    first, again = (count_tag_pairs(store, hierarchy_of(world), 50) for _ in range(2))
    assert (first.images, first.of) == (50, 200)
    np.testing.assert_array_equal(first.together, again.together)
    assert 15 <= first.sizes[DOG] <= 35


def test_blocks_with_many_pairs_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = photos()
    store = store_of(world, tmp_path / "DB", partition_rows=64)
    whole = count_tag_pairs(store, hierarchy_of(world))
    parts = tag_pairs.pair_parts
    monkeypatch.setattr(tag_pairs, "pair_parts", lambda block: parts(block, most=7))
    cut = count_tag_pairs(store, hierarchy_of(world))
    np.testing.assert_array_equal(whole.keys, cut.keys)
    np.testing.assert_array_equal(whole.together, cut.together)
