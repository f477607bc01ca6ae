"""Scenes: objects in the places where they belong, and sometimes in others.

    scene = paint_scene(np.random.default_rng(0), "sea", ["sailboat", "bird"])
    scene.visible  # WordNet ids of all that can be seen: the truth

Which objects meet in which place follows `choose_place` and `choose_objects`, so that what
co-occurs does so for a reason, with exceptions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from mlimages.quickstart.painting import FULL, Canvas, Drawing, drawings
from mlimages.quickstart.places import LABELS, OPEN_AIR, PLACES, SCENERY

AT_HOME = 0.9
"""Share of the photos in which an object is in its own place."""
SKY_SHARE = 0.7
"""Share of the open places that are seen with their sky; the others are seen from above."""
SMALLEST_SHARE = 0.012
"""Share of the pixels from which a part of the scenery counts as visible; the sun needs a third."""
LIGHTS = ((1, 1, 1), (1.05, 1.0, 0.9), (1.04, 0.86, 0.72), (0.86, 0.92, 1.0), (0.66, 0.68, 0.84))
"""Factors of red, green and blue: noon, morning, evening, overcast, dusk."""
LIGHT_SHARES = (0.45, 0.2, 0.12, 0.15, 0.08)


@dataclass(frozen=True)
class PaintedObject:
    """One object of a scene; `box` is left, top, right, bottom in pixels, of what can be seen."""

    name: str
    key: str
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Scene:
    """A finished picture and the truth about it.

    Attributes:
        picture: uint8 [SIDE, SIDE, 3].
        labels: uint8 [SIDE, SIDE], a number of `label_keys` at each pixel, 0 where there is none.
        place: name of the place.
        objects: what was put there.
        visible: WordNet ids of objects and scenery that can be seen, sorted.
    """

    picture: np.ndarray
    labels: np.ndarray
    place: str
    objects: tuple[PaintedObject, ...]
    visible: tuple[str, ...]


@cache
def label_keys() -> dict[int, str]:
    """WordNet id of each label: scenery first, then the objects by name."""
    keys = {LABELS[name]: key for name, key in SCENERY.items()}
    return keys | {label: drawings()[name].key for name, label in _object_labels().items()}


@cache
def _object_labels() -> dict[str, int]:
    return {name: number for number, name in enumerate(drawings(), start=len(LABELS) + 1)}


def objects_of(place: str) -> list[Drawing]:
    """Drawings at home in a place ("anywhere" and "transfer" are such too)."""
    return [drawing for drawing in drawings().values() if drawing.place == place]


def choose_place(rng: np.random.Generator, drawing: Drawing) -> str:
    """The place of a photo of one object: mostly its own."""
    grounds = [place for place in PLACES if place not in ("sky", "ocean_floor", "sea")]
    if drawing.place in PLACES and rng.random() < AT_HOME:
        return drawing.place
    return str(rng.choice(grounds))


def choose_objects(rng: np.random.Generator, place: str) -> list[str]:
    """Two to four objects that meet in a place, now and then one that is no native of it."""
    natives = [drawing.name for drawing in objects_of(place)]
    count = min(int(rng.integers(1, 4)), len(natives))
    chosen = [str(name) for name in rng.choice(natives, count, replace=False)]
    if rng.random() < 0.45 and place not in ("sky", "ocean_floor", "sea"):
        chosen.append(str(rng.choice([drawing.name for drawing in objects_of("anywhere")])))
    if place in OPEN_AIR and rng.random() < 0.25:
        chosen.append(str(rng.choice([drawing.name for drawing in objects_of("sky")])))
    if rng.random() < 0.1 and place not in ("sky", "ocean_floor", "sea"):
        strangers = [d.name for d in drawings().values() if d.place in PLACES and not d.free]
        chosen.append(str(rng.choice(strangers)))
    return list(dict.fromkeys(chosen))


def paint_scene(
    rng: np.random.Generator, place: str, names: list[str], scale: float = 1.0
) -> Scene:
    """Paint objects in a place; one that finds no free spot is left out.

    Args:
        rng: decides everything that is not given.
        place: a name of `PLACES`.
        names: names of drawings.
        scale: factor on the objects' sizes.
    """
    canvas = Canvas(rng)
    seen_from_above = place in OPEN_AIR and rng.random() > SKY_SHARE
    horizon = 0.0 if seen_from_above else canvas.between(80, 135)
    PLACES[place](canvas, horizon)
    spots: list[tuple[str, Spot]] = []
    for name in names:
        spot = _find_spot(canvas, drawings()[name], place, horizon, scale, [s for _, s in spots])
        if spot is not None:
            spots.append((name, spot))
    for name, (x, base, half, _) in sorted(spots, key=lambda spot: spot[1][1]):
        canvas.place(drawings()[name], x, base, half, _object_labels()[name])
    if place == "snow":
        for _ in range(60):
            canvas.oval(
                canvas.between(0, FULL), canvas.between(0, FULL), 3, 3, (255, 255, 255, 225)
            )
    light = np.array(LIGHTS[rng.choice(len(LIGHTS), p=LIGHT_SHARES)], dtype=np.float32)
    picture, labels = canvas.finish(light)
    return _describe(picture, labels, place)


Spot = tuple[float, float, float, float]  # centre x, base y, half height, half width


def _find_spot(
    canvas: Canvas, drawing: Drawing, place: str, horizon: float, scale: float, taken: list[Spot]
) -> Spot | None:
    """Where an object can stand or fly without covering another one."""
    for _ in range(12):
        half = canvas.between(*drawing.size) * scale * FULL / 2
        half = min(half, 0.47 * FULL / drawing.half_width)
        wide = half * drawing.half_width
        x = canvas.between(min(wide * 0.95, FULL / 2), max(FULL - wide * 0.95, FULL / 2))
        low, high = _range_of_bases(drawing, place, horizon, half)
        spot = (x, canvas.between(low, high), half, wide)
        if all(_overlap(spot, other) < 0.25 for other in taken):
            return spot
    return None


def _range_of_bases(
    drawing: Drawing, place: str, horizon: float, half: float
) -> tuple[float, float]:
    """Lowest and highest y of the object's lower end."""
    if drawing.free or place == "sky":
        high = {"room": 150, "ocean_floor": 205, "sky": FULL - 8}.get(place, max(horizon + 15, 130))
        return min(2 * half + 4, high), max(2 * half + 5, high)
    first = {"room": 205, "ocean_floor": 205, "forest": 200}
    low = first.get(place, horizon + 0.3 * (FULL - horizon))
    return min(max(low, 2 * half), FULL - 12), FULL - 6


def _overlap(one: Spot, other: Spot) -> float:
    """Shared area as a share of the smaller box."""
    wide = min(one[0] + one[3], other[0] + other[3]) - max(one[0] - one[3], other[0] - other[3])
    high = min(one[1], other[1]) - max(one[1] - 2 * one[2], other[1] - 2 * other[2])
    smaller = min(one[2] * one[3], other[2] * other[3]) * 4
    return max(0.0, wide) * max(0.0, high) / smaller


def _describe(picture: np.ndarray, labels: np.ndarray, place: str) -> Scene:
    """Read the truth from the labels of the pixels."""
    counts = np.bincount(labels.ravel(), minlength=256) / labels.size
    sun = LABELS["sun"]
    scenery = [n for n in LABELS.values() if counts[n] >= SMALLEST_SHARE / (3 if n == sun else 1)]
    objects = []
    for name, number in _object_labels().items():
        if counts[number] > 0:
            ys, xs = np.nonzero(labels == number)
            box = (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
            objects.append(PaintedObject(name, drawings()[name].key, box))
    keys = {label_keys()[n] for n in scenery} | {painted.key for painted in objects}
    return Scene(picture, labels, place, tuple(objects), tuple(sorted(keys)))
