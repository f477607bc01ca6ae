"""Scenes: objects in the places where they belong, and sometimes in others.

    scene = draw_scene(random.Random(0), "sea", ["sailboat", "bird"])
    scene.visible  # WordNet ids of all that can be seen: the truth

How places and objects look is data, described in drawings/README.md. A scene is one SVG document,
rendered twice: as it is, and with one flat colour a thing, from which masks and truth are read.
"""

from __future__ import annotations

import io
import random
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from PIL import Image, ImageColor

from mlimages.errors import require

SIDE = 64
"""Pixels of a side of a picture."""
UNITS = 256
"""Units of a side of its SVG document."""
AT_HOME = 0.9
"""Share of the photos in which an object is in its own place."""
SKY_SHARE = 0.7
"""Share of the open places that are seen with their sky; the others are seen from above."""
SMALLEST = 16
"""Pixels from which something counts as visible."""
FOLDER = resources.files("mlimages.quickstart") / "drawings"

FLAT = """
* { filter: none; fill-opacity: 1; stroke-opacity: 1 }
.air { display: none }
[fill] { fill: #000 }
"""
FLAT_THING = """
.NAME [fill] { fill: COLOUR }
.NAME [fill=none] { fill: none; stroke: COLOUR }
"""
"""Style sheets that turn a scene into its labels: black, and a colour for each thing."""


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
    body: str | list[str] = ""
    trim: str | list[str] = ""


@dataclass(frozen=True)
class Spot:
    """Where an object is put, in units: the middle of its lower edge, and its size."""

    drawing: Drawing
    x: float
    base: float
    width: float
    height: float

    def crowds(self, other: Spot) -> bool:
        """Whether the two share more than a quarter of the smaller one's area."""
        wide = (self.width + other.width) / 2 - abs(self.x - other.x)
        high = min(self.base, other.base) - max(self.base - self.height, other.base - other.height)
        smaller = min(self.width * self.height, other.width * other.height)
        return wide > 0 and high > 0 and wide * high > smaller / 4


@dataclass(frozen=True)
class Scene:
    """A finished picture and the truth about it.

    Attributes:
        picture: uint8 [SIDE, SIDE, 3].
        labels: uint8 [SIDE, SIDE], which of `labels()` each pixel shows, 0 where it is none.
        boxes: left, top, right, bottom of what can be seen of each object, in pixels, by name.
        visible: WordNet ids of the objects and scenery that can be seen, sorted.
    """

    picture: np.ndarray
    labels: np.ndarray
    boxes: dict[str, tuple[int, int, int, int]]
    visible: tuple[str, ...]


@cache
def _catalogue() -> dict[str, Any]:
    return tomllib.loads((FOLDER / "catalogue.toml").read_text(encoding="utf-8"))


@cache
def places() -> dict[str, Place]:
    """All places by name."""
    return {name: Place(name, **entry) for name, entry in _catalogue()["places"].items()}


@cache
def drawings() -> dict[str, Drawing]:
    """All objects by name; the place of those that are kept out of training is "transfer"."""
    found = {}
    for place, entries in _catalogue()["objects"].items():
        for name, entry in entries.items():
            svg = (FOLDER / "objects" / f"{name}.svg").read_text(encoding="utf-8")
            aspect = float(svg.split('width="')[1].split('"')[0]) / 100
            found[name] = Drawing(name, place=place, aspect=aspect, svg=svg, **entry)
    return found


@cache
def label_keys() -> dict[str, str]:
    """WordNet ids of scenery and objects by name; the first has label 1, the next 2, and so on."""
    things = (*places().values(), *drawings().values())
    return _catalogue()["scenery"] | {thing.name: thing.key for thing in things}


def objects_of(place: str) -> list[str]:
    """Names of the objects at home in a place ("anywhere" and "transfer" are such too)."""
    return [name for name, drawing in drawings().items() if drawing.place == place]


def choose_place(rng: random.Random, name: str) -> str:
    """The place of a photo of one object: mostly its own."""
    home = drawings()[name].place
    if home in places() and rng.random() < AT_HOME:
        return home
    return rng.choice([place.name for place in places().values() if place.visitors])


def choose_objects(rng: random.Random, name: str) -> list[str]:
    """Up to three natives of a place, and now and then objects that are at home elsewhere."""
    place, natives = places()[name], objects_of(name)
    chosen = rng.sample(natives, min(rng.randint(1, 3), len(natives)))
    if place.visitors and rng.random() < 0.45:
        chosen.append(rng.choice(objects_of("anywhere")))
    if place.open_air and rng.random() < 0.25:
        chosen.append(rng.choice(objects_of("sky")))
    if place.visitors and rng.random() < 0.1:
        standing = [d.name for d in drawings().values() if d.place in places() and not d.free]
        chosen.append(rng.choice(standing))
    return list(dict.fromkeys(chosen))


def draw_scene(rng: random.Random, place: str, names: Iterable[str], scale: float = 1) -> Scene:
    """Draw objects in a place; one that finds no free spot is left out.

    Args:
        rng: decides everything that is not given.
        place: a name of `places`.
        names: names of `drawings`.
        scale: factor on the objects' sizes.

    Raises:
        MissingExtraError: the renderer or the template engine is not installed.
    """
    from_above = places()[place].open_air and rng.random() > SKY_SHARE
    horizon = 0.0 if from_above else rng.uniform(*places()[place].horizon)
    spots: list[Spot] = []
    for name in names:
        tries = (_try_spot(rng, drawings()[name], horizon, scale) for _ in range(12))
        free = next((spot for spot in tries if not any(map(spot.crowds, spots))), None)
        if free is not None:
            spots.append(free)
    document = _template(place).render(
        random=rng,
        horizon=horizon,
        spots=sorted(spots, key=lambda spot: spot.base),  # what is nearer hides what is behind
        palettes=_catalogue()["palettes"],
    )
    flat = FLAT
    for label, name in enumerate(label_keys(), start=1):
        if f'class="{name}"' in document:
            flat += FLAT_THING.replace("NAME", name).replace("COLOUR", f"#{label:06x}")
    labels = _render(document, style_sheet=flat, shape_rendering="crisp_edges")[:, :, 2]
    return _describe(_render(document), labels)


def _try_spot(rng: random.Random, drawing: Drawing, horizon: float, scale: float) -> Spot:
    """A random spot: on the ground, or for what flies, swims or hangs, above it."""
    height = rng.uniform(*drawing.height) * scale * UNITS
    height = min(height, 0.94 * UNITS / drawing.aspect)
    width = height * drawing.aspect
    x = rng.uniform(width / 2, UNITS - width / 2)
    if drawing.free:
        low, high = height + 4, max(130.0, horizon - 15, height + 5)
    else:
        low, high = max(height, horizon + 0.3 * (UNITS - horizon)), UNITS - 6.0
    return Spot(drawing, x, rng.uniform(min(low, high), high), width, height)


def _describe(picture: np.ndarray, labels: np.ndarray) -> Scene:
    """Read the truth from the labels of the pixels."""
    boxes, visible = {}, []
    for label, (name, key) in enumerate(label_keys().items(), start=1):
        rows, columns = np.nonzero(labels == label)
        if len(rows) < SMALLEST:
            continue
        visible.append(key)
        if name in drawings():
            left, top, right, bottom = columns.min(), rows.min(), columns.max(), rows.max()
            boxes[name] = (int(left), int(top), int(right) + 1, int(bottom) + 1)
    return Scene(picture, labels, boxes, tuple(sorted(visible)))


def _render(document: str, **options: str) -> np.ndarray:
    resvg = require("resvg_py", extra="report")
    png = resvg.svg_to_bytes(document, width=SIDE, height=SIDE, skip_system_fonts=True, **options)
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


@cache
def _template(place: str) -> Any:
    jinja2 = require("jinja2", extra="report")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mlimages.quickstart", "drawings/places"),
        finalize=lambda value: round(value, 2) if isinstance(value, float) else value,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["mix"] = _mix
    return environment.get_template(f"{place}.svg")


def _mix(colour: str, other: str, share: float) -> str:
    """A colour between two; share 0 gives the first, 1 the second."""
    pairs = zip(ImageColor.getrgb(colour), ImageColor.getrgb(other), strict=True)
    return "#" + bytes(round(a + (b - a) * share) for a, b in pairs).hex()
