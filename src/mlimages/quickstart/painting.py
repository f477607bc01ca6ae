"""A canvas, and the drawings that are painted on it: shapes of `drawings/`, shaded and labelled.

Everything is painted four times too large and reduced at the end, which smooths the edges. Beside
the picture the canvas keeps a label of every pixel, from which boxes, masks and the truth are read.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageColor, ImageDraw

SIDE = 64
"""Pixels of a side of a finished picture."""
SCALE = 4
FULL = SIDE * SCALE
"""Pixels of a side while painting."""

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Drawing:
    """How an object looks and where it is at home; see drawings/README.md.

    Attributes:
        name: its name in the drawings' files.
        key: WordNet id.
        place: name of its place, "anywhere" or "transfer".
        free: flies, swims or hangs instead of standing on the ground.
        size: range of its height as a share of the picture's side.
        choices: colours to choose from, by role ("body", "trim").
        shapes: (colour, points float [n, 2], line width or None for an area), back to front.
        half_width: largest |x| of the shapes.
    """

    name: str
    key: str
    place: str
    free: bool
    size: tuple[float, float]
    choices: dict[str, list[str]]
    shapes: tuple[tuple[str, np.ndarray, float | None], ...]
    half_width: float


@cache
def drawings() -> dict[str, Drawing]:
    """All drawings by name."""
    folder = resources.files("mlimages.quickstart") / "drawings"
    palettes = _read(folder / "colours.toml")["palettes"]
    found = {}
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        place, _, ending = file.name.rpartition(".")
        if ending == "toml" and place != "colours":
            for name, entry in _read(file).items():
                found[name] = _drawing(name, place, entry, palettes)
    return found


@cache
def named_colours() -> dict[str, Colour]:
    """Colours of `drawings/colours.toml` by name."""
    entries = _read(resources.files("mlimages.quickstart") / "drawings" / "colours.toml")["colours"]
    return {name: rgb(text) for name, text in entries.items()}


def rgb(text: str) -> Colour:
    """The red, green and blue of a colour written as #rrggbb."""
    red, green, blue = ImageColor.getrgb(text)[:3]
    return red, green, blue


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """A colour between two; share 0 gives the first, 1 the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _read(file: Any) -> dict[str, Any]:
    return tomllib.loads(file.read_text(encoding="utf-8"))


def _drawing(name: str, place: str, entry: dict[str, Any], palettes: dict) -> Drawing:
    shapes = tuple(_shape(line.split()) for line in entry["shapes"].strip().splitlines())
    roles = {role: entry[role] for role in ("body", "trim") if role in entry}
    return Drawing(
        name=name,
        key=entry["key"],
        place=place,
        free=entry.get("free", False),
        size=tuple(entry["size"]),
        choices={r: palettes[c] if isinstance(c, str) else c for r, c in roles.items()},
        shapes=shapes,
        half_width=max(float(np.abs(points[:, 0]).max()) for _, points, _ in shapes),
    )


def _shape(words: list[str]) -> tuple[str, np.ndarray, float | None]:
    """Turn a line of a drawing into points: of an area, or of a line with its width."""
    kind, colour, numbers = words[0], words[1], np.array(words[2:], dtype=np.float64)
    if kind == "oval":
        x, y, width, height = numbers
        return colour, _ellipse(x, y, width, height, 0, 360), None
    if kind == "arc":
        return colour, _ellipse(*numbers[1:]), float(numbers[0])
    if kind == "line":
        return colour, numbers[1:].reshape(-1, 2), float(numbers[0])
    points = numbers.reshape(-1, 2)
    return colour, _smooth(points) if kind == "blob" else points, None


def _ellipse(
    x: float, y: float, width: float, height: float, first: float, last: float
) -> np.ndarray:
    angles = np.radians(np.linspace(first, last, 25))
    return np.stack([x + width * np.cos(angles), y + height * np.sin(angles)], axis=1)


def _smooth(points: np.ndarray, steps: int = 6) -> np.ndarray:
    """A closed Catmull-Rom curve through the points."""
    before, after, further = (np.roll(points, shift, axis=0) for shift in (1, -1, -2))
    t = (np.arange(steps) / steps)[:, None, None]
    curve = 0.5 * (
        2 * points
        + (after - before) * t
        + (2 * before - 5 * points + 4 * after - further) * t**2
        + (3 * points - before - 3 * after + further) * t**3
    )  # [steps, points, 2]
    return curve.transpose(1, 0, 2).reshape(-1, 2)


class Canvas:
    """A picture under way, with the label of every pixel (0: none)."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.picture = Image.new("RGB", (FULL, FULL))
        self.labels = Image.new("L", (FULL, FULL))
        # In this mode a fourth number of a colour is its opacity.
        self.pen = ImageDraw.Draw(self.picture, "RGBA")
        self.label_pen = ImageDraw.Draw(self.labels)
        self.light_from_left = bool(rng.random() < 0.5)

    def between(self, low: float, high: float) -> float:
        """A random number."""
        return float(self.rng.uniform(low, high))

    def pick(self, *colours: str) -> Colour:
        """One of some colours written as #rrggbb."""
        return rgb(colours[self.rng.integers(len(colours))])

    def gradient(self, top: Colour, bottom: Colour, first: float, last: float, label: int) -> None:
        """Fill the rows from `first` to `last` from one colour to another."""
        first, last = max(0, round(first)), min(FULL, round(last))
        if last <= first:
            return
        shares = np.linspace(0, 1, last - first)[:, None]
        column = np.array(top) * (1 - shares) + np.array(bottom) * shares
        strip = Image.fromarray(column.astype(np.uint8)[:, None, :]).resize((FULL, last - first))
        self.picture.paste(strip, (0, first))
        self.label_pen.rectangle((0, first, FULL, last), fill=label)

    def area(self, points: Any, colour: tuple[int, ...], label: int | None = None) -> None:
        """Paint a polygon, and label its pixels unless `label` is None."""
        corners = [(float(x), float(y)) for x, y in points]
        self.pen.polygon(corners, fill=colour)
        if label is not None:
            self.label_pen.polygon(corners, fill=label)

    def box(self, x: float, y: float, wide: float, high: float, colour: tuple[int, ...]) -> None:
        """Paint a rectangle with its upper left corner at (x, y), without a label of its own."""
        self.pen.rectangle((x, y, x + wide, y + high), fill=colour)

    def oval(
        self,
        x: float,
        y: float,
        wide: float,
        high: float,
        colour: tuple[int, ...],
        label: int | None = None,
    ) -> None:
        """Paint an ellipse with the given centre and half axes."""
        box = (x - wide, y - high, x + wide, y + high)
        self.pen.ellipse(box, fill=colour)
        if label is not None:
            self.label_pen.ellipse(box, fill=label)

    def place(self, drawing: Drawing, x: float, base: float, half: float, label: int) -> None:
        """Paint an object with its centre at x, standing on `base`, of half height `half`."""
        colours = self._colours(drawing)
        angle = np.radians(self.between(-14, 14) if drawing.free else self.between(-3, 3))
        flip = -1.0 if self.rng.random() < 0.5 else 1.0
        stretch = self.between(0.9, 1.1) * flip
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) * half
        turn[0] *= stretch
        if not drawing.free:
            wide = half * drawing.half_width
            self.oval(x, base - half * 0.02, wide * 0.95, half * 0.13, (20, 24, 40, 70))
        layer = Image.new("RGBA", (FULL, FULL))
        pen = ImageDraw.Draw(layer)
        for colour, points, width in drawing.shapes:
            moved = points @ turn + [x, base - half]
            corners = list(map(tuple, moved.tolist()))
            if width is None:
                pen.polygon(corners, fill=colours[colour])
                continue
            thick = max(2, round(width * half))
            pen.line(corners, fill=colours[colour], width=thick, joint="curve")
            for u, v in (corners[0], corners[-1]):  # rounded ends
                r = thick / 2
                pen.ellipse((u - r, v - r, u + r, v + r), fill=colours[colour])
        self._stamp(layer, label)

    def _stamp(self, layer: Image.Image, label: int) -> None:
        """Shade a layer from one side to the other, and put it on the picture."""
        box = layer.getbbox()
        if box is None:
            return
        layer = layer.crop(box)
        alpha = layer.getchannel("A")
        ramp = np.linspace(255, 175, layer.width, dtype=np.float32)
        ramp = ramp if self.light_from_left else ramp[::-1]
        shade = Image.fromarray(np.broadcast_to(ramp.astype(np.uint8), layer.size[::-1]).copy())
        shaded = ImageChops.multiply(layer.convert("RGB"), Image.merge("RGB", [shade] * 3))
        self.picture.paste(shaded, box[:2], alpha)
        self.labels.paste(label, box, alpha)

    def _colours(self, drawing: Drawing) -> dict[str, Colour]:
        """The colours of one object's shapes: its roles chosen anew, all jittered."""
        base = dict(named_colours())
        for role, choices in drawing.choices.items():
            base[role] = self.pick(*choices)
        shifts = dict(zip(base, self.rng.normal(0, 7, (len(base), 3)), strict=True))
        chosen: dict[str, Colour] = {}
        for name in {name for name, _, _ in drawing.shapes}:
            plain = name.rstrip("+-")
            red, green, blue = np.clip(base[plain] + shifts[plain], 0, 255).astype(int).tolist()
            tint = {"+": (255, 255, 255), "-": (0, 0, 0)}.get(name[-1])
            chosen[name] = (red, green, blue)
            if tint is not None:
                chosen[name] = mix(chosen[name], tint, 0.35 if name[-1] == "+" else 0.3)
        return chosen

    def finish(self, light: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Reduce to the final size, under a light.

        Args:
            light: factors of red, green and blue, float [3].

        Returns:
            The picture, uint8 [SIDE, SIDE, 3], and its labels, uint8 [SIDE, SIDE].
        """
        small = self.picture.resize((SIDE, SIDE), Image.Resampling.BOX)
        grain = self.rng.normal(0, 2.5, (SIDE, SIDE, 1))
        pixels = np.asarray(small, dtype=np.float32) * light + grain
        centre = slice(SCALE // 2, None, SCALE)
        return np.clip(pixels, 0, 255).astype(np.uint8), np.asarray(self.labels)[centre, centre]
