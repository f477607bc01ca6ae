"""Positives, known absences and unknowns on their way from a database to the loss."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.labels.reference import World, derive
from tests.labels.stores import store_of
from tests.labels.worlds import derived, hierarchy_of, worlds
from tests.training.fakes import FakeDatabase, tiny_recipe

from mlimages.errors import InputError
from mlimages.selection import Selection, known_absences
from mlimages.training.absences import OutputAbsences
from mlimages.training.distribution import Ranks
from mlimages.training.setup import Setup
from mlimages.training.tags import TagMatrix, fingerprint


def expected_value(world: World, row: int, category: int) -> float | None:
    """The confidence of a tag, 0 for a known absence, None for unknown, by the rules as written."""
    tags = derive(world, row)
    if category in tags:
        return tags[category][0]
    denied = {c for r, c, _, present, _, _ in world.facts if r == row and not present}
    silent = set().union(*(world.exhaustive.get(s, set()) for s in world.image_sources[row]))
    absent = denied | (silent - tags.keys())
    return 0.0 if absent & world.distances(category).keys() else None


def selection_of(world: World) -> Selection:
    tags = derived(world)
    rows = np.arange(len(world.image_sources), dtype=np.int32)
    return Selection(rows, tags.indptr, tags.categories, tags.confidences)


@settings(max_examples=60, deadline=None)
@given(worlds(), st.data())
def test_targets_are_those_of_a_plain_loop_over_images_and_categories(
    world: World, data: st.DataObject
) -> None:
    outputs = np.array(sorted(data.draw(st.sets(st.integers(0, world.num_categories - 1)))), int)
    with tempfile.TemporaryDirectory() as folder:
        store = store_of(world, Path(folder) / "DB")
        selection = selection_of(world)
        known = known_absences(store, selection.rows)
    absences = OutputAbsences(known, selection, hierarchy_of(world), outputs)
    tags = TagMatrix(selection, outputs, absences)
    samples = np.array(data.draw(st.lists(st.integers(0, len(selection) - 1), max_size=5)), int)
    targets = tags.take(samples)
    found = {
        (row, column): value
        for row, column, value in zip(
            targets.rows.tolist(), targets.indices.tolist(), targets.values.tolist(), strict=True
        )
    }
    assert len(found) == len(targets.values)  # no category twice
    wanted = {
        (place, column): value
        for place, sample in enumerate(samples.tolist())
        for column, category in enumerate(outputs.tolist())
        if (value := expected_value(world, sample, category)) is not None
    }
    assert found == wanted


def test_a_database_without_absences_has_none() -> None:
    world = World(2, set(), [(0, 1, "first", True, 1.0, "asserted")], [{"first"}])
    with tempfile.TemporaryDirectory() as folder:
        store = store_of(world, Path(folder) / "DB")
        selection = selection_of(world)
        known = known_absences(store, selection.rows)
    assert not OutputAbsences(known, selection, hierarchy_of(world), np.arange(2))


class SilentDatabase(FakeDatabase):
    """Nobody said what is not there."""

    def absences(self, selection):
        known = super().absences(selection)
        nothing = np.zeros(len(selection) + 1, np.int64), np.empty(0, np.int32)
        return type(known)(*nothing, np.zeros(len(selection), np.int32), known.closed)


def test_to_ignore_the_unknown_something_must_be_known_to_be_absent() -> None:
    recipe = tiny_recipe("loss.name=bce", "loss.unknown=ignore")
    with pytest.raises(InputError, match="nothing is known to be absent"):
        Setup(SilentDatabase(), recipe, Ranks())  # type: ignore[arg-type]


def test_absences_are_looked_up_only_where_the_loss_tells_them_apart() -> None:
    for name, unknown, wanted in (
        ("paper", "negative", False),
        ("bce", "negative", False),
        ("paper", "weighted", True),
        ("selective", "negative", True),
        ("asymmetric", "negative", False),  # equal exponents
    ):
        recipe = tiny_recipe(f"loss.name={name}", f"loss.unknown={unknown}")
        setup = Setup(FakeDatabase(), recipe, Ranks())  # type: ignore[arg-type]
        assert (setup.data.tags.absences is not None) == wanted
        targets = next(setup.data.steps(0, 1)).parts[0].targets
        assert bool((targets.values == 0).any()) == wanted


def test_the_fingerprint_changes_with_what_is_known_to_be_absent() -> None:
    db = FakeDatabase()
    selection = db.select("train")
    known, nothing = db.absences(selection), SilentDatabase().absences(selection)
    found = {fingerprint(selection, ["a"], k) for k in (None, known, nothing)}  # type: ignore[arg-type]
    assert len(found) == 3
