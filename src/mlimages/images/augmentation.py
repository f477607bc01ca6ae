"""The paper's training augmentation: its settings, and what is drawn from them for one image.

A training image is a random crop, resized, perhaps mirrored and perhaps rotated; then its colours
may be distorted. A policy (policies.py) may follow. The numbers come from random_numbers.py, so
that any worker, order or resumed run gives a sample the same view; views.py makes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlimages.errors import RecipeError
from mlimages.images.colour import ColourParameters
from mlimages.images.policies import Operation, Policy, draw_operations, draw_rectangle
from mlimages.images.random_numbers import Uniform

_SHARES = (
    *("flip_fraction", "rotation_fraction", "colour_fraction", "erase_fraction"),
    *("brightness", "policy_magnitude"),
)


@dataclass(frozen=True)
class AugmentationSettings:
    """Ranges and shares of the training augmentation; the defaults are the paper's."""

    area: tuple[float, float] = (0.7, 1.0)
    """Share of the image's area that the crop keeps."""
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    """Width over height of the crop, in pixels of the image."""
    flip_fraction: float = 0.5
    """Share of the images that are mirrored left to right."""
    rotation_fraction: float = 0.25
    """Share of the images that are rotated."""
    rotation_degrees: float = 45.0
    """Greatest angle, either way."""
    colour_fraction: float = 0.5
    """Share of the images whose colours are distorted, one half in each ordering."""
    brightness: float = 32 / 255
    """Greatest shift of brightness, either way, in units of the full range."""
    saturation: tuple[float, float] = (0.5, 1.5)
    """Range of the factor on saturation."""
    hue: float = 0.2
    """Greatest shift of hue, either way, in turns."""
    contrast: tuple[float, float] = (0.5, 1.5)
    """Range of the factor on contrast."""
    policy: Policy = "none"
    """Operations drawn after the above: "trivial" (TrivialAugment) or "rand" (RandAugment)."""
    policy_operations: int = 2
    """Operations an image, of "rand"."""
    policy_magnitude: float = 0.3
    """Strength of the operations of "rand", as a share of the greatest (9 of 30)."""
    erase_fraction: float = 0.0
    """Share of the images in which a random rectangle is made grey (random erasing)."""

    def __post_init__(self) -> None:
        self._expect_range("area", 0.01, 1.0)
        self._expect_range("aspect", 0.1, 10.0)
        for name in _SHARES:
            self._expect(name, 0 <= getattr(self, name) <= 1, "0 to 1")
        self._expect("rotation_degrees", 0 <= self.rotation_degrees <= 180, "0 to 180")
        self._expect("hue", 0 <= self.hue <= 0.5, "0 to 0.5")
        self._expect("policy_operations", 0 <= self.policy_operations <= 16, "0 to 16")
        self._expect_range("saturation", 0.0, 10.0)
        self._expect_range("contrast", 0.0, 10.0)

    def _expect_range(self, name: str, lowest: float, highest: float) -> None:
        values = getattr(self, name)
        holds = len(values) == 2 and lowest <= values[0] <= values[1] <= highest
        self._expect(name, holds, f"two numbers from {lowest:g} to {highest:g}, in order")

    def _expect(self, name: str, holds: bool, range_: str) -> None:
        if not holds:
            cause = f"{getattr(self, name)!r} is out of range"
            raise RecipeError(f"augmentation.{name}", cause, f"use {range_}")


@dataclass(frozen=True)
class AugmentationParameters:
    """One draw, for an image of any size.

    Attributes:
        area: range of the crop's share of the image.
        aspect: range of the crop's aspect.
        crop: four numbers in [0, 1): where in their feasible ranges the crop's aspect, height,
            left edge and top edge lie.
        flip: mirror left to right.
        angle: degrees, anticlockwise; 0 for an image that is not rotated.
        colour: None for an image whose colours stay.
        operations: a policy's, in their order.
        erased: left, top, width and height of the rectangle to erase, as shares of the result.
    """

    area: tuple[float, float]
    aspect: tuple[float, float]
    crop: tuple[float, float, float, float]
    flip: bool = False
    angle: float = 0.0
    colour: ColourParameters | None = None
    operations: tuple[Operation, ...] = ()
    erased: tuple[float, float, float, float] | None = None


def draw(settings: AugmentationSettings, rng: Uniform) -> AugmentationParameters:
    """Draw one augmentation; flip, rotation and colour are independent of one another.

    The paper's part takes the same count of random numbers always, and what follows draws after
    it, so that changing one of its settings leaves the others' draws as they are.
    """
    uniform = rng.random(13).tolist()
    flip, rotate, angle, distort = uniform[4:8]
    colour = None
    if distort < settings.colour_fraction:
        brightness, saturation, hue, contrast, ordering = uniform[8:]
        colour = ColourParameters(
            brightness=settings.brightness * (2 * brightness - 1),
            saturation=_between(settings.saturation, saturation),
            hue=settings.hue * (2 * hue - 1),
            contrast=_between(settings.contrast, contrast),
            contrast_first=ordering < 0.5,
        )
    rotated = rotate < settings.rotation_fraction
    return AugmentationParameters(
        area=settings.area,
        aspect=settings.aspect,
        crop=(uniform[0], uniform[1], uniform[2], uniform[3]),
        flip=flip < settings.flip_fraction,
        angle=settings.rotation_degrees * (2 * angle - 1) if rotated else 0.0,
        colour=colour,
        operations=draw_operations(
            settings.policy, settings.policy_operations, settings.policy_magnitude, rng
        ),
        erased=draw_rectangle(settings.erase_fraction, rng),
    )


def crop_box(
    width: int, height: int, parameters: AugmentationParameters
) -> tuple[int, int, int, int]:
    """Left, top, width and height of the crop, in whole pixels.

    TensorFlow's `sample_distorted_bounding_box` draws an aspect, then a height, and draws again
    when the crop does not fit. This draws from what fits: the aspect uniformly among those for
    which some height gives a crop of a permitted area inside the image, then the height uniformly,
    then the place. An image too elongated for any permitted crop is taken whole, as there.
    """
    (least, most), (narrowest, widest) = parameters.area, parameters.aspect
    shape = width / height
    # A crop as wide as the image covers shape / aspect of it, one as high aspect / shape.
    feasible = max(narrowest, least * shape), min(widest, shape / least)
    if feasible[0] > feasible[1]:
        return 0, 0, width, height
    aspect_draw, height_draw, left_draw, top_draw = parameters.crop
    aspect = _between(feasible, aspect_draw)
    pixels = width * height
    lowest = math.sqrt(least * pixels / aspect)
    highest = min(math.sqrt(most * pixels / aspect), width / aspect, height)
    crop_height = _between((min(lowest, highest), highest), height_draw)
    crop_width = min(width, max(1, round(crop_height * aspect)))
    crop_height = min(height, max(1, round(crop_height)))
    left = int(left_draw * (width - crop_width + 1))
    top = int(top_draw * (height - crop_height + 1))
    return left, top, crop_width, crop_height


def _between(ends: tuple[float, float], share: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * share
