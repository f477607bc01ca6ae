"""Augmentation policies in use since the paper: TrivialAugment, RandAugment and random erasing.

The operations and the ranges of their strengths are those of the two papers in torchvision's
31 bins, here without bins. Geometric operations are bilinear with black outside, about the centre.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mlimages.errors import require
from mlimages.images.random_numbers import Uniform

Policy = Literal["none", "trivial", "rand"]

# Greatest strength of each operation: in TrivialAugment's wide range, and in RandAugment.
# Shears are slopes, translations shares of the side, rotations degrees, enhancements the distance
# of the factor from 1, posterizing the bits lost, solarizing the share of the range inverted.
# TrivialAugment (Mueller and Hutter, 2021) moves by up to 32 pixels of 224.
_STRENGTHS: dict[str, tuple[float, float]] = {
    "identity": (0.0, 0.0),
    "shear_x": (0.99, 0.3),
    "shear_y": (0.99, 0.3),
    "translate_x": (32 / 224, 150 / 331),
    "translate_y": (32 / 224, 150 / 331),
    "rotate": (135.0, 30.0),
    "brightness": (0.99, 0.9),
    "colour": (0.99, 0.9),
    "contrast": (0.99, 0.9),
    "sharpness": (0.99, 0.9),
    "posterize": (6.0, 4.0),
    "solarize": (1.0, 1.0),
    "autocontrast": (0.0, 0.0),
    "equalize": (0.0, 0.0),
}
OPERATIONS = tuple(_STRENGTHS)
_ONE_SIDED = ("posterize", "solarize")
# Area and aspect of the rectangle (Zhong et al., Random Erasing, 2020).
_ERASED_AREA, _ERASED_ASPECT = (0.02, 0.33), (0.3, 3.3)
_GREY = 128


@dataclass(frozen=True)
class Operation:
    """One operation of a policy.

    Attributes:
        name: one of OPERATIONS.
        strength: in the operation's own unit, with its sign.
    """

    name: str
    strength: float = 0.0

    def apply(self, array: np.ndarray) -> np.ndarray:
        """The changed image, RGB uint8 [height, width, 3]; the input is left alone."""
        return _FUNCTIONS[self.name](require("cv2", extra="train"), array, self.strength)


def draw_operations(
    policy: Policy, count: int, magnitude: float, rng: Uniform
) -> tuple[Operation, ...]:
    """Draw what a policy does to one image.

    Args:
        policy: "trivial" takes one operation with a uniform strength (Mueller and Hutter, 2021);
            "rand" takes `count`, each of strength `magnitude` (Cubuk et al., 2020).
        count: operations of "rand".
        magnitude: their strength, 0 to 1.
        rng: the sample's random numbers.
    """
    if policy == "none":
        return ()
    wide = policy == "trivial"
    drawn = []
    for choice, strength, sign in rng.random((1 if wide else count, 3)).tolist():
        name = OPERATIONS[int(choice * len(OPERATIONS))]
        value = _STRENGTHS[name][0 if wide else 1] * (strength if wide else magnitude)
        drawn.append(Operation(name, -value if sign < 0.5 and name not in _ONE_SIDED else value))
    return tuple(drawn)


def draw_rectangle(fraction: float, rng: Uniform) -> tuple[float, float, float, float] | None:
    """Left, top, width and height of a rectangle to erase, as shares; None for most images."""
    if not fraction:
        return None
    chosen, area, aspect, left, top = rng.random(5).tolist()
    if chosen >= fraction:
        return None
    area = _ERASED_AREA[0] + area * (_ERASED_AREA[1] - _ERASED_AREA[0])
    low, high = map(math.log, _ERASED_ASPECT)
    root = math.sqrt(math.exp(low + aspect * (high - low)))
    # An aspect too long for the image becomes one whose longer side is the image's.
    width = min(1.0, max(area, math.sqrt(area) * root))
    height = min(1.0, area / width)
    return left * (1 - width), top * (1 - height), width, height


def erase(array: np.ndarray, rectangle: tuple[float, float, float, float]) -> None:
    """Make a rectangle grey, in place."""
    height, width = array.shape[:2]
    left, top = round(rectangle[0] * width), round(rectangle[1] * height)
    right, bottom = left + round(rectangle[2] * width), top + round(rectangle[3] * height)
    array[top:bottom, left:right] = _GREY


def _warp(cv2: Any, array: np.ndarray, matrix: tuple[float, float, float, float]) -> np.ndarray:
    """Take each pixel from where a linear map about the centre says."""
    height, width = array.shape[:2]
    x, y = (width - 1) / 2, (height - 1) / 2
    a, b, c, d = matrix
    affine = np.array([[a, b, x - a * x - b * y], [c, d, y - c * x - d * y]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(array, affine, (width, height), flags=flags)


def _rotate(cv2: Any, array: np.ndarray, degrees: float) -> np.ndarray:
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return _warp(cv2, array, (cosine, -sine, sine, cosine))


def _translate(cv2: Any, array: np.ndarray, right: float, down: float) -> np.ndarray:
    height, width = array.shape[:2]
    affine = np.array([[1.0, 0, -round(right * width)], [0, 1.0, -round(down * height)]])
    return cv2.warpAffine(array, affine, (width, height), flags=cv2.WARP_INVERSE_MAP)


def _blend(cv2: Any, array: np.ndarray, other: np.ndarray, strength: float) -> np.ndarray:
    """Move from `other` through the image: 0 is the image, -1 `other`."""
    return cv2.addWeighted(array, 1 + strength, other, -strength, 0)


def _greyed(cv2: Any, array: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.cvtColor(array, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def _contrast(cv2: Any, array: np.ndarray, strength: float) -> np.ndarray:
    mean = cv2.mean(cv2.cvtColor(array, cv2.COLOR_RGB2GRAY))[0]
    return _blend(cv2, array, np.full_like(array, round(mean)), strength)


def _sharpness(cv2: Any, array: np.ndarray, strength: float) -> np.ndarray:
    kernel = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13  # Pillow's SMOOTH; edges stay
    smooth = array.copy()
    smooth[1:-1, 1:-1] = cv2.filter2D(array, -1, kernel)[1:-1, 1:-1]
    return _blend(cv2, array, smooth, strength)


def _posterize(cv2: Any, array: np.ndarray, bits: float) -> np.ndarray:
    return array & np.uint8(0xFF << int(bits) & 0xFF)


def _solarize(cv2: Any, array: np.ndarray, share: float) -> np.ndarray:
    values = np.arange(256)
    table = np.where(values >= 256 * (1 - share), 255 - values, values).astype(np.uint8)
    return cv2.LUT(array, table)


def _autocontrast(cv2: Any, array: np.ndarray, strength: float) -> np.ndarray:
    low = array.min(axis=(0, 1)).astype(np.float64)
    high = array.max(axis=(0, 1)).astype(np.float64)
    scale = np.where(high > low, 255 / np.maximum(high - low, 1), 1.0)
    low = np.where(high > low, low, 0.0)
    values = (np.arange(256)[:, None] - low) * scale
    return cv2.LUT(array, np.clip(values, 0, 255).astype(np.uint8)[None])


def _equalize(cv2: Any, array: np.ndarray, strength: float) -> np.ndarray:
    return cv2.merge([cv2.equalizeHist(plane) for plane in cv2.split(array)])


_FUNCTIONS: dict[str, Callable[[Any, np.ndarray, float], np.ndarray]] = {
    "identity": lambda cv2, array, strength: array,
    "shear_x": lambda cv2, array, slope: _warp(cv2, array, (1, slope, 0, 1)),
    "shear_y": lambda cv2, array, slope: _warp(cv2, array, (1, 0, slope, 1)),
    "translate_x": lambda cv2, array, share: _translate(cv2, array, share, 0),
    "translate_y": lambda cv2, array, share: _translate(cv2, array, 0, share),
    "rotate": _rotate,
    "brightness": lambda cv2, array, s: _blend(cv2, array, np.zeros_like(array), s),
    "colour": lambda cv2, array, strength: _blend(cv2, array, _greyed(cv2, array), strength),
    "contrast": _contrast,
    "sharpness": _sharpness,
    "posterize": _posterize,
    "solarize": _solarize,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
}
