"""Scenes: objects in the places where they belong, and sometimes in others.

    scene = draw_scene(random.Random(0), places()["sea"], [drawings()["sailboat"]])
    scene.visible  # WordNet ids of all that can be seen: the truth

How places and objects look is data, described in drawings/README.md. A scene is one SVG document,
rendered twice: as it is, and with one flat colour a thing, from which masks and truth are read.
"""

from __future__ import annotations

import io
import random
import re
import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import Image, ImageColor

from mlimages.errors import require

SIDE = 64
"""Pixels of a side of a picture."""
UNITS = 256
"""Units of a side of its SVG document."""
SMALLEST = 16
"""Pixels from which something counts as visible."""
FOLDER = resources.files("mlimages.quickstart") / "drawings"


@dataclass(frozen=True)
class Place:
    """A kind of background; `horizon` is the range of its height, in units from the top."""

    name: str
    key: str
    horizon: tuple[float, float]
    open_air: bool = False
    visitors: bool = True


@dataclass(frozen=True)
class Drawing:
    """An object; `height` is a range of shares of the picture's side, `aspect` width by height."""

    name: str
    key: str
    place: str
    height: tuple[float, float]
    aspect: float
    svg: str
    free: bool = False
    colours: dict[str, str | list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Spot:
    """Where an object is put, in units: the middle of its lower edge, and its size."""

    drawing: Drawing
    x: float
    base: float
    width: float
    height: float

    def crowds(self, other: Spot) -> bool:
        """Whether the two boxes share much of their width and of their height."""
        across = abs(self.x - other.x) / (self.width + other.width)
        middles = (self.base - self.height / 2, other.base - other.height / 2)
        upwards = abs(middles[0] - middles[1]) / (self.height + other.height)
        return across < 0.35 and upwards < 0.35


@dataclass(frozen=True)
class Scene:
    """A finished picture and the truth about it.

    Attributes:
        picture: uint8 [SIDE, SIDE, 3].
        labels: uint8 [SIDE, SIDE], the place in `label_keys` of what a pixel shows, or 0.
        boxes: left, top, right, bottom of what can be seen of each object, by WordNet id.
        visible: WordNet ids of the objects and scenery that can be seen, sorted.
    """

    picture: np.ndarray
    labels: np.ndarray
    boxes: dict[str, tuple[int, int, int, int]]
    visible: tuple[str, ...]


@cache
def catalogue() -> dict[str, Any]:
    """What there is to draw: drawings/catalogue.toml."""
    return tomllib.loads((FOLDER / "catalogue.toml").read_text(encoding="utf-8"))


@cache
def places() -> dict[str, Place]:
    """All places by name."""
    return {name: Place(name, **entry) for name, entry in catalogue()["places"].items()}


@cache
def drawings() -> dict[str, Drawing]:
    """All objects by name; the place of those that are kept out of training is "transfer"."""
    found = {}
    for place, entries in catalogue()["objects"].items():
        for name, entry in entries.items():
            svg = (FOLDER / "objects" / f"{name}.svg").read_text(encoding="utf-8")
            aspect = float(ElementTree.fromstring(svg).attrib["width"]) / 100
            found[name] = Drawing(name, place=place, aspect=aspect, svg=svg, **entry)
    return found


@cache
def label_keys() -> dict[str, str]:
    """WordNet ids of scenery and objects by name; the first has label 1, and so on."""
    keys = {name: place.key for name, place in places().items()}
    return catalogue()["scenery"] | keys | {name: d.key for name, d in drawings().items()}


def objects_of(place: str) -> list[Drawing]:
    """Objects at home in a place ("anywhere" and "transfer" are such too)."""
    return [drawing for drawing in drawings().values() if drawing.place == place]


def choose_place(rng: random.Random, drawing: Drawing) -> Place:
    """The place of a photo of one object: mostly its own."""
    if drawing.place in places() and rng.random() < catalogue()["chances"]["at_home"]:
        return places()[drawing.place]
    return rng.choice([place for place in places().values() if place.visitors])


def choose_objects(rng: random.Random, place: Place) -> list[Drawing]:
    """Up to three natives of a place, and now and then objects that are at home elsewhere."""
    chosen = rng.sample(objects_of(place.name), rng.randint(1, 3))
    if place.visitors and rng.random() < catalogue()["chances"]["from_anywhere"]:
        chosen.append(rng.choice(objects_of("anywhere")))
    if place.open_air and rng.random() < catalogue()["chances"]["from_the_sky"]:
        chosen.append(rng.choice(objects_of("sky")))
    if place.visitors and rng.random() < catalogue()["chances"]["away_from_home"]:
        others = [d for d in drawings().values() if d.place in places() and d not in chosen]
        chosen.append(rng.choice([drawing for drawing in others if not drawing.free]))
    return chosen


def draw_scene(rng: random.Random, place: Place, objects: list[Drawing]) -> Scene:
    """Draw objects in a place; one that finds no free spot is left out."""
    above = place.open_air and rng.random() < catalogue()["chances"]["without_sky"]
    horizon = 0.0 if above else rng.uniform(*place.horizon)
    spots: list[Spot] = []
    for drawing in objects:
        tries = (_try_spot(rng, drawing, horizon) for _ in range(12))
        spot = next((spot for spot in tries if not any(map(spot.crowds, spots))), None)
        if spot is not None:
            spots.append(spot)
    spots.sort(key=lambda spot: spot.base)  # what is nearer hides what is behind
    known = {"random": rng, "horizon": horizon, "spots": spots, "palettes": catalogue()["palettes"]}
    document = _template(f"{place.name}.svg").render(known)
    groups = re.findall(r'<g class="(\w+)"', document)
    flat = _template("labels.css").render(groups=groups, names=list(label_keys()))
    labels = _render(document, style_sheet=flat, shape_rendering="crisp_edges")[:, :, 2]
    boxes, visible, counts = {}, [], np.bincount(labels.ravel(), minlength=256)
    for label, (name, key) in enumerate(label_keys().items(), start=1):
        if counts[label] >= SMALLEST:
            visible.append(key)
            if name in drawings():
                rows, columns = np.nonzero(labels == label)
                boxes[key] = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    return Scene(_render(document), labels, boxes, tuple(sorted(visible)))


def _try_spot(rng: random.Random, drawing: Drawing, horizon: float) -> Spot:
    """A random spot: on the ground, or for what flies, swims or hangs, above it."""
    height = min(rng.uniform(*drawing.height) * UNITS, 0.94 * UNITS / drawing.aspect)
    width = height * drawing.aspect
    low, high = max(height, horizon + 0.3 * (UNITS - horizon)), UNITS - 6.0
    if drawing.free:
        low, high = height, max(130.0, horizon - 15, height + 5)
    x = rng.uniform(width / 2, UNITS - width / 2)
    return Spot(drawing, x, rng.uniform(low, high), width, height)


def _render(document: str, **options: str) -> np.ndarray:
    resvg = require("resvg_py", extra="report")
    png = resvg.svg_to_bytes(document, width=SIDE, height=SIDE, skip_system_fonts=True, **options)
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


@cache
def _template(name: str) -> Any:
    jinja2 = require("jinja2", extra="report")
    loader = jinja2.PackageLoader("mlimages.quickstart", "drawings/places")
    environment = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined)
    environment.filters["mix"] = _mix
    return environment.get_template(name)


def _mix(colour: str, other: str, share: float) -> str:
    """A colour between two; share 0 gives the first, 1 the second."""
    pairs = zip(ImageColor.getrgb(colour), ImageColor.getrgb(other), strict=True)
    return "#" + bytes(round(a + (b - a) * share) for a, b in pairs).hex()
