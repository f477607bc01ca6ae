"""The painter: the same seed, the same scene; and the truth is what can be seen."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from mlimages.quickstart.painting import SIDE, drawings
from mlimages.quickstart.places import PLACES, SCENERY

from mlimages.quickstart.dataset import trained_objects
from mlimages.quickstart.scenes import (
    choose_objects,
    choose_place,
    label_keys,
    objects_of,
    paint_scene,
)
from mlimages.taxonomy.categories import released_taxonomy
from mlimages.taxonomy.wordnet import wordnet


def test_the_same_seed_paints_the_same_scene_and_another_seed_another() -> None:
    def digest(seed: int) -> str:
        scene = paint_scene(np.random.default_rng(seed), "road", ["car", "bus"])
        return hashlib.sha256(scene.picture.tobytes() + scene.labels.tobytes()).hexdigest()

    assert digest(1) == digest(1)
    assert digest(1) != digest(2)


def test_objects_and_scenery_are_in_the_vocabulary_and_are_called_so_in_wordnet() -> None:
    taxonomy, nouns = released_taxonomy(), wordnet()
    named = {drawing.name: drawing.key for drawing in drawings().values()} | SCENERY
    for name, key in named.items():
        assert taxonomy.get(key) is not None, name
        lemmas = {lemma.lower().replace("-", " ") for lemma in nouns.lemmas(key)}
        assert name.replace("_", " ") in lemmas, (name, lemmas)


def test_there_are_forty_trained_objects_and_none_of_them_is_kept_for_transfer() -> None:
    trained = {drawing.key for drawing in trained_objects()}
    kept = {drawing.key for drawing in objects_of("transfer")}
    assert len(trained) >= 40
    assert len(kept) >= 10
    assert not trained & kept
    assert len(trained) + len(kept) == len(drawings())


@pytest.mark.parametrize("name", list(drawings()))
def test_every_object_can_be_seen_in_its_photo(name: str) -> None:
    drawing = drawings()[name]
    for seed in range(3):
        rng = np.random.default_rng(seed)
        place = choose_place(rng, drawing)
        scene = paint_scene(rng, place, [name])
        assert [painted.name for painted in scene.objects] == [name]
        assert drawing.key in scene.visible
        share = np.mean(scene.labels == _label_of(drawing.key))
        assert 0.008 < share < 0.6


@pytest.mark.parametrize("place", list(PLACES))
def test_the_truth_is_what_the_pixels_show(place: str) -> None:
    rng = np.random.default_rng(7)
    scene = paint_scene(rng, place, choose_objects(rng, place), scale=0.68)
    assert scene.picture.shape == (SIDE, SIDE, 3)
    assert scene.picture.std() > 10
    shown = {label_keys()[int(label)] for label in np.unique(scene.labels) if label}
    assert set(scene.visible) <= shown
    assert {painted.key for painted in scene.objects} <= set(scene.visible)
    assert SCENERY[place] in scene.visible
    for painted in scene.objects:
        left, top, right, bottom = painted.box
        assert 0 <= left < right <= SIDE
        assert 0 <= top < bottom <= SIDE
        inside = scene.labels[top:bottom, left:right] == _label_of(painted.key)
        assert inside.sum() == np.sum(scene.labels == _label_of(painted.key))


def test_objects_are_mostly_at_home_but_some_live_anywhere() -> None:
    rng = np.random.default_rng(0)
    sailboat, dog = drawings()["sailboat"], drawings()["dog"]
    at_home = np.mean([choose_place(rng, sailboat) == "sea" for _ in range(2000)])
    assert 0.86 < at_home < 0.94
    places = [choose_place(rng, dog) for _ in range(2000)]
    assert max(places.count(place) for place in PLACES) < 0.25 * len(places)


def _label_of(key: str) -> int:
    return next(label for label, found in label_keys().items() if found == key)
