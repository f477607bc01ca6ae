"""The places of the drawn scenes, from sea to forest, and what they are made of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mlimages.quickstart.painting import FULL, Canvas, Colour, mix, rgb

SCENERY = {
    "sea": "n09426788",
    "beach": "n09217230",
    "road": "n04096066",
    "sky": "n09436708",
    "cloud": "n09247410",
    "meadow": "n08570634",
    "dune": "n09270735",
    "snow": "n11508382",
    "room": "n04105893",
    "ocean_floor": "n09376526",
    "forest": "n09284015",
    "sun": "n09450163",
    "mountain": "n09359803",
}
"""WordNet ids of what the places are made of."""
LABELS = {name: number for number, name in enumerate(SCENERY, start=1)}


def _sky(canvas: Canvas, horizon: float, weather: float = 0.5) -> None:
    """Paint the sky down to the horizon, perhaps with sun and clouds."""
    top = canvas.pick("#3f86d0", "#5a9bd8", "#7fb2dc", "#8ea3b8", "#4a6fb0", "#d88f6a")
    canvas.gradient(top, mix(top, (250, 246, 236), 0.62), 0, horizon, LABELS["sky"])
    if horizon < 50:
        return
    if canvas.rng.random() < 0.25:
        radius = canvas.between(13, 22)
        x, y = canvas.between(radius, FULL - radius), canvas.between(radius, horizon - radius)
        canvas.oval(x, y, radius * 1.35, radius * 1.35, (255, 240, 190, 90))
        canvas.oval(x, y, radius, radius, (255, 226, 120), LABELS["sun"])
    if canvas.rng.random() < weather:
        for _ in range(canvas.rng.integers(1, 4)):
            x, y = canvas.between(0, FULL), canvas.between(12, max(13, horizon - 28))
            size = canvas.between(9, 20)
            for shift in range(-2, 3):
                wide, high = size * canvas.between(0.8, 1.4), size * (1 - abs(shift) * 0.22)
                canvas.oval(x + shift * size, y, wide, high, (248, 249, 251), LABELS["cloud"])


def _mountains(canvas: Canvas, horizon: float, colour: Colour, cap: Colour | None) -> None:
    for _ in range(canvas.rng.integers(1, 4)):
        x, high = canvas.between(0, FULL), canvas.between(35, 85)
        peak, wide = horizon - high, high * canvas.between(0.9, 1.5)
        canvas.area(
            [(x - wide, horizon), (x, peak), (x + wide, horizon)], colour, LABELS["mountain"]
        )
        if cap is not None:
            low, side = peak + high * 0.35, wide * 0.35
            canvas.area([(x, peak), (x + side, low), (x, low - 8), (x - side, low)], cap)


def _specks(
    canvas: Canvas, count: int, first: float, colours: list[Colour], wide: float, high: float
) -> None:
    """Scatter strokes that grow towards the viewer."""
    for _ in range(count):
        y = canvas.between(first, FULL)
        near = 0.4 + 0.9 * (y - first) / max(1.0, FULL - first)
        x = canvas.between(-10, FULL + 10)
        canvas.oval(x, y, wide * near, high * near, colours[canvas.rng.integers(len(colours))])


def sea(canvas: Canvas, horizon: float) -> None:
    """Water with waves under the sky."""
    _sky(canvas, horizon)
    water = canvas.pick("#1f6f9f", "#2b83a8", "#2a5f8f", "#3a8f9a", "#4a7488")
    canvas.gradient(
        mix(water, (235, 245, 250), 0.3),
        mix(water, (0, 10, 30), 0.25),
        horizon,
        FULL,
        LABELS["sea"],
    )
    crest = mix(water, (255, 255, 255), 0.45)
    _specks(canvas, 34, horizon, [crest, mix(water, (255, 255, 255), 0.2)], 17, 1.9)


def beach(canvas: Canvas, horizon: float) -> None:
    """Sand in front, with a strip of sea and foam behind it."""
    _sky(canvas, horizon)
    shore = horizon + canvas.between(18, 45)
    canvas.gradient(rgb("#2f86ab"), rgb("#58b3c0"), horizon, shore, LABELS["sea"])
    sand = canvas.pick("#e3c78f", "#d8b57a", "#ecd9ac")
    canvas.gradient(sand, mix(sand, (120, 85, 40), 0.2), shore, FULL, LABELS["beach"])
    for x in range(-10, FULL + 20, 22):
        canvas.oval(x, shore + canvas.between(-3, 3), 18, 4, (244, 250, 250))
    _specks(
        canvas,
        40,
        shore + 8,
        [mix(sand, (90, 60, 20), 0.35), mix(sand, (255, 255, 255), 0.4)],
        3.5,
        1.6,
    )


def _houses(canvas: Canvas, horizon: float) -> None:
    """A row of houses with windows, between sky and ground; they have no label."""
    x = canvas.between(-30, 0)
    while x < FULL:
        wide, high = canvas.between(22, 50), canvas.between(0.2, 0.65) * horizon
        tone = mix(rgb("#8a8f98"), rgb("#b98f78"), canvas.between(0, 1))
        corners = [(x, horizon), (x, horizon - high), (x + wide, horizon - high)]
        canvas.area([*corners, (x + wide, horizon)], tone, 0)
        for row in np.arange(horizon - high + 6, horizon - 8, 13):
            for column in np.arange(x + 5, x + wide - 8, 12):
                canvas.box(column, row, 5, 6, (225, 225, 195))
        x += wide


def road(canvas: Canvas, horizon: float) -> None:
    """Asphalt with a dashed line and a verge; houses may stand behind it."""
    _sky(canvas, horizon)
    if canvas.rng.random() < 0.5:
        _houses(canvas, horizon)
    verge = horizon + canvas.between(8, 24)
    green = mix(rgb("#6d9a4a"), rgb("#a5a07a"), canvas.between(0, 1))
    canvas.gradient(green, green, horizon, verge, 0)
    asphalt = mix(rgb("#4d5157"), rgb("#85868a"), canvas.between(0, 1))
    canvas.gradient(mix(asphalt, (255, 255, 255), 0.15), asphalt, verge, FULL, LABELS["road"])
    canvas.box(0, verge, FULL, 4, (225, 225, 220))
    line, offset = verge + (FULL - verge) * canvas.between(0.5, 0.62), canvas.between(0, 60)
    for x in np.arange(-offset, FULL, 64):
        canvas.box(x, line, 34, 6, (240, 236, 215))


def sky(canvas: Canvas, horizon: float) -> None:
    """Nothing but air, mostly with clouds."""
    _sky(canvas, FULL, weather=0.8)


def meadow(canvas: Canvas, horizon: float) -> None:
    """Grass with flowers, perhaps hills behind it."""
    _sky(canvas, horizon)
    green = canvas.pick("#6fae3f", "#5b9a3c", "#86b04a", "#a3ad4f")
    if canvas.rng.random() < 0.35:
        _mountains(canvas, horizon, mix(green, (90, 110, 140), 0.55), None)
    canvas.gradient(
        mix(green, (235, 240, 190), 0.25),
        mix(green, (10, 40, 0), 0.25),
        horizon,
        FULL,
        LABELS["meadow"],
    )
    _specks(
        canvas,
        60,
        horizon,
        [mix(green, (20, 60, 10), 0.4), mix(green, (240, 250, 160), 0.3)],
        1.6,
        6,
    )
    flowers = [(250, 245, 240), (245, 210, 60), (225, 70, 80), (190, 120, 210)]
    _specks(canvas, int(canvas.rng.integers(0, 22)), horizon + 14, flowers, 3.4, 3.2)


def dune(canvas: Canvas, horizon: float) -> None:
    """Ridges of sand, one behind the other."""
    _sky(canvas, horizon, weather=0.15)
    sand = canvas.pick("#dca860", "#d2944c", "#e5bd7c", "#c98a55")
    canvas.gradient(sand, sand, horizon, FULL, LABELS["dune"])
    for number in range(3):
        base = horizon + number * (FULL - horizon) / 3.2
        x = np.linspace(-10, FULL + 10, 24)
        crest = (
            base
            - 14 * np.sin(x / canvas.between(28, 60) + canvas.between(0, 6))
            - (6 if number else 12)
        )
        shade = mix(sand, (95, 50, 20), 0.08 + 0.13 * number)
        corners = [*zip(x, crest, strict=True), (FULL + 10, FULL), (-10, FULL)]
        canvas.area(corners, shade, LABELS["dune"])
        edge = [*zip(x, crest, strict=True), *zip(x[::-1], crest[::-1] + 5, strict=True)]
        canvas.area(edge, mix(shade, (255, 240, 200), 0.45))


def snow(canvas: Canvas, horizon: float) -> None:
    """Snow on the ground and in the air, before mountains or firs."""
    _sky(canvas, horizon, weather=0.3)
    if canvas.rng.random() < 0.6:
        _mountains(
            canvas,
            horizon,
            mix(rgb("#6f7f95"), rgb("#8fa0b5"), canvas.between(0, 1)),
            (246, 249, 252),
        )
    canvas.gradient((247, 250, 253), (205, 220, 236), horizon, FULL, LABELS["snow"])
    _specks(canvas, 14, horizon + 10, [(190, 208, 230), (228, 238, 247)], 26, 4)


def room(canvas: Canvas, horizon: float) -> None:
    """A wall with a window or a picture, and a floor of boards or carpet."""
    wall = canvas.pick("#e8dcc3", "#cfdccd", "#d6cfe0", "#e9c9b5", "#bcd0dc", "#f0ead8")
    floor_line = max(horizon, 120) + 45
    canvas.gradient(wall, mix(wall, (80, 60, 50), 0.12), 0, floor_line, LABELS["room"])
    stripe = (*mix(wall, (255, 255, 255), 0.5), 90)
    for x in np.arange(canvas.between(0, 20), FULL, canvas.between(18, 40)):
        canvas.box(x, 0, 3, floor_line, stripe)
    boards = canvas.pick("#a8774a", "#8a5f3c", "#b98d62", "#8f8a86")
    canvas.gradient(boards, mix(boards, (0, 0, 0), 0.2), floor_line, FULL, LABELS["room"])
    gap = mix(boards, (0, 0, 0), 0.3)
    for x in range(-FULL, 2 * FULL, 46):
        far, near = (x, floor_line), (2 * x - FULL / 2, FULL)
        canvas.area([far, (x + 2, floor_line), (near[0] + 4, FULL), near], gap)
    frame = (246, 243, 237)
    canvas.box(0, floor_line - 7, FULL, 7, frame)
    left, top = canvas.between(10, 170), canvas.between(14, 36)
    wide, high = canvas.between(46, 70), canvas.between(50, 70)
    canvas.box(left, top, wide, high, frame)
    view = canvas.pick("#a9d3ee", "#2f3f63", "#c98f6a", "#8fb08a")
    canvas.box(left + 6, top + 6, wide - 12, high - 12, view)
    canvas.box(left + wide / 2 - 2, top, 4, high, frame)


def ocean_floor(canvas: Canvas, horizon: float) -> None:
    """Blue water with rays of light over sand, coral and weed."""
    water = canvas.pick("#1c6fa8", "#168f9f", "#1a4f8a", "#2f8fb5")
    bottom = canvas.between(165, 205)
    canvas.gradient(
        mix(water, (210, 250, 255), 0.4),
        mix(water, (0, 10, 40), 0.35),
        0,
        FULL,
        LABELS["ocean_floor"],
    )
    for _ in range(4):
        ray = canvas.between(-20, FULL)
        canvas.area(
            [(ray, 0), (ray + 22, 0), (ray - 20, bottom), (ray - 75, bottom)], (225, 250, 255, 26)
        )
    sand = mix(rgb("#cdb98a"), water, 0.3)
    x = np.linspace(-10, FULL + 10, 20)
    crest = bottom + 8 * np.sin(x / 37 + canvas.between(0, 6))
    canvas.area([*zip(x, crest, strict=True), (FULL + 10, FULL), (-10, FULL)], sand)
    for _ in range(canvas.rng.integers(2, 6)):
        x0, high = canvas.between(0, FULL), canvas.between(30, 80)
        tone = canvas.pick("#2f7a4f", "#4f9a4a", "#d8607a", "#e08a4f")
        for stem in (x0 - 9, x0, x0 + 9):
            top = (
                2 * stem - x0 + canvas.between(-5, 5),
                bottom + 12 - high * canvas.between(0.6, 1),
            )
            canvas.area(
                [(stem - 4, bottom + 16), top, (stem + 4, bottom + 16)], mix(tone, water, 0.25)
            )
    for _ in range(canvas.rng.integers(3, 9)):
        canvas.oval(canvas.between(0, FULL), canvas.between(0, bottom), 4, 4, (230, 250, 255, 130))


def forest(canvas: Canvas, horizon: float) -> None:
    """Trunks in green twilight over moss."""
    deep = mix(rgb("#27452c"), rgb("#5f7f45"), canvas.between(0, 1))
    ground = canvas.between(150, 190)
    canvas.gradient(mix(deep, (215, 235, 170), 0.35), deep, 0, FULL, LABELS["forest"])
    for depth in (0.55, 0.25, 0.0):
        for _ in range(4):
            x, wide = canvas.between(-5, FULL), canvas.between(6, 13) * (1.5 - depth)
            trunk = mix(rgb("#4a3526"), mix(deep, (215, 235, 170), 0.3), depth)
            foot = ground + 18 * (1 - depth)
            root = wide * 0.25
            canvas.area([(x, 0), (x + wide, 0), (x + wide + root, foot), (x - root, foot)], trunk)
    for _ in range(16):
        leaf = mix(deep, (150, 190, 70), canvas.between(0.1, 0.6))
        canvas.oval(canvas.between(0, FULL), canvas.between(-10, 42), 26, 17, leaf)
    moss = mix(rgb("#4f6a2f"), rgb("#7a6038"), canvas.between(0, 1))
    canvas.gradient(moss, mix(moss, (0, 0, 0), 0.35), ground, FULL, LABELS["forest"])
    _specks(
        canvas, 46, ground, [mix(moss, (150, 170, 60), 0.5), mix(moss, (60, 40, 10), 0.5)], 5, 3
    )


PLACES: dict[str, Callable[[Canvas, float], None]] = {
    place.__name__: place
    for place in (sea, beach, road, sky, meadow, dune, snow, room, ocean_floor, forest)
}
"""Painters of places by name; they take the canvas and the height of the horizon, in its pixels."""
OPEN_AIR = ("sea", "beach", "road", "meadow", "dune", "snow")
"""Places with a sky, in which the horizon matters."""
