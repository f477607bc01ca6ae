"""The drawn scenes: the same seed, the same scene; and the truth is what can be seen."""

from __future__ import annotations

import random
from xml.etree import ElementTree

import numpy as np
import pytest

from mlimages.quickstart.scenes import (
    SIDE,
    Spot,
    choose_objects,
    choose_place,
    draw_scene,
    drawings,
    label_keys,
    objects_of,
    places,
)
from mlimages.taxonomy.categories import released_taxonomy
from mlimages.taxonomy.wordnet import wordnet

LABELS = {name: number for number, name in enumerate(label_keys(), start=1)}


def test_the_same_seed_draws_the_same_scene_and_another_seed_another() -> None:
    def pixels(seed: int) -> bytes:
        objects = [drawings()["car"], drawings()["bus"]]
        scene = draw_scene(random.Random(seed), places()["road"], objects)
        return scene.picture.tobytes() + scene.labels.tobytes()

    assert pixels(1) == pixels(1)
    assert pixels(1) != pixels(2)


def test_objects_and_scenery_are_in_the_vocabulary_and_are_called_so_in_wordnet() -> None:
    taxonomy, nouns = released_taxonomy(), wordnet()
    for name, key in label_keys().items():
        assert taxonomy.get(key) is not None, name
        lemmas = {lemma.lower().replace("-", " ") for lemma in nouns.lemmas(key)}
        assert name.replace("_", " ") in lemmas, (name, lemmas)


def test_there_are_forty_trained_objects_in_ten_places_and_ten_kept_for_transfer() -> None:
    kept = {drawing.key for drawing in objects_of("transfer")}
    trained = {drawing.key for drawing in drawings().values() if drawing.place != "transfer"}
    assert len(places()) == 10
    assert len(trained) >= 40
    assert len(kept) >= 10
    assert len(set(label_keys().values())) == len(label_keys()) < 256
    assert not trained & kept


@pytest.mark.parametrize("name", list(drawings()))
def test_a_drawing_is_made_as_the_readme_says(name: str) -> None:
    drawing = drawings()[name]
    root = ElementTree.fromstring(drawing.svg)
    assert root.attrib["height"] == "100"
    shapes = [element for element in root if not element.tag.endswith("style")]
    for shape in shapes:
        # Without a fill of its own a shape would be missing from the mask.
        assert "fill" in shape.attrib
        assert "stroke" in shape.attrib or shape.attrib["fill"] != "none"
        paint = shape.attrib.get("stroke", shape.attrib["fill"])
        assert (paint == "currentColor") == ("class" in shape.attrib)
    roles = {shape.attrib["class"].split("-")[0] for shape in shapes if "class" in shape.attrib}
    assert roles == set(drawing.colours)


@pytest.mark.parametrize("name", list(drawings()))
def test_every_object_can_be_seen_in_its_photo(name: str) -> None:
    drawing = drawings()[name]
    for seed in range(3):
        rng = random.Random(seed)
        scene = draw_scene(rng, choose_place(rng, drawing), [drawing])
        assert list(scene.boxes) == [drawing.key]
        assert drawing.key in scene.visible
        assert 0.008 < np.mean(scene.labels == LABELS[name]) < 0.6


@pytest.mark.parametrize("name", list(places()))
def test_the_truth_is_what_the_pixels_show(name: str) -> None:
    rng, place = random.Random(7), places()[name]
    objects = choose_objects(rng, place)
    scene = draw_scene(rng, place, objects)
    assert scene.picture.shape == (SIDE, SIDE, 3)
    assert scene.picture.std() > 10
    known = list(label_keys().values())
    shown = {known[label - 1] for label in np.unique(scene.labels) if label}
    assert {place.key, *scene.boxes} <= set(scene.visible) <= shown
    assert set(scene.boxes) <= {drawing.key for drawing in objects}
    for drawing in objects:
        if drawing.key in scene.boxes:
            left, top, right, bottom = scene.boxes[drawing.key]
            assert 0 <= left < right <= SIDE
            assert 0 <= top < bottom <= SIDE
            mask = scene.labels == LABELS[drawing.name]
            assert mask[top:bottom, left:right].sum() == mask.sum()
            assert mask[top].any()
            assert mask[:, right - 1].any()


def test_the_mask_lies_on_the_object() -> None:
    """A white igloo on brown sand: what is bright is what is labelled."""
    igloo = drawings()["igloo"]
    for seed in range(20):
        scene = draw_scene(random.Random(seed), places()["dune"], [igloo])
        mask, brightness = scene.labels == LABELS["igloo"], scene.picture[..., 2].astype(float)
        sand = scene.labels == LABELS["dune"]
        assert np.median(brightness[mask]) > np.median(brightness[sand]) + 40


def test_objects_are_mostly_at_home_but_some_live_anywhere() -> None:
    rng = random.Random(0)
    at_home = [choose_place(rng, drawings()["sailboat"]).name == "sea" for _ in range(2000)]
    assert 0.86 < np.mean(at_home) < 0.94
    found = [choose_place(rng, drawings()["dog"]).name for _ in range(2000)]
    assert max(found.count(place) for place in places()) < 0.25 * len(found)


def test_objects_of_a_scene_differ_and_now_and_then_come_from_elsewhere() -> None:
    rng, place = random.Random(0), places()["meadow"]
    chosen = [choose_objects(rng, place) for _ in range(500)]
    assert all(len({drawing.name for drawing in objects}) == len(objects) for objects in chosen)
    assert {len(objects) for objects in chosen} >= {1, 2, 3, 4}
    homes = {drawing.place for objects in chosen for drawing in objects}
    assert homes >= {"meadow", "anywhere", "sky", "road"}
    assert "transfer" not in homes


def test_objects_do_not_cover_each_other() -> None:
    rng = random.Random(0)
    lamp = drawings()["lamp"]
    spot = Spot(lamp, x=100, base=200, width=40, height=80)
    assert spot.crowds(Spot(lamp, x=110, base=190, width=40, height=80))
    assert not spot.crowds(Spot(lamp, x=150, base=190, width=40, height=80))
    assert not spot.crowds(Spot(lamp, x=100, base=110, width=40, height=80))
    seen = 0
    for _ in range(30):
        scene = draw_scene(rng, places()["room"], [lamp, drawings()["chair"]])
        seen += len(scene.boxes)
    assert seen > 50


def test_every_label_of_many_scenes_is_a_known_one() -> None:
    """A colour of the picture that got into the mask would be some other number."""
    for seed in range(100):
        rng = random.Random(seed)
        place = list(places().values())[seed % len(places())]
        objects = choose_objects(rng, place)
        scene = draw_scene(rng, place, objects)
        names = [list(LABELS)[label - 1] for label in np.unique(scene.labels) if label]
        scenery = {"sky", "cloud", "sun", "mountain", "sea", place.name}
        assert set(names) <= scenery | {drawing.name for drawing in objects}
