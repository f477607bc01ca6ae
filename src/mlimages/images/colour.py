"""Colour distortion of training images: brightness, saturation, hue and contrast.

The operations are those of TensorFlow's `adjust_*` on floating-point images, as the paper's code
used them: nothing is clipped between them, only at the end. Saturation and hue follow one another
in both orderings, so one conversion to HSV and back serves both: the hue turns in HSV, value and
chroma staying as they are. Compiled loops (colour_kernels.py) do all of it in two passes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlimages.errors import require


@dataclass(frozen=True)
class ColourParameters:
    """One draw of the colour distortion.

    Attributes:
        brightness: added to all channels, in units of the full range.
        saturation: factor on HSV's saturation.
        hue: added to HSV's hue, in turns.
        contrast: factor on the distance from each channel's mean.
        contrast_first: order is brightness, contrast, saturation, hue; otherwise brightness,
            saturation, hue, contrast.
    """

    brightness: float
    saturation: float
    hue: float
    contrast: float
    contrast_first: bool


def distort_colour(array: np.ndarray, parameters: ColourParameters) -> np.ndarray:
    """Apply brightness, saturation, hue and contrast in one of the paper's two orderings.

    Args:
        array: RGB uint8 [height, width, 3].
        parameters: what to apply.

    Returns:
        RGB uint8 [height, width, 3], a new array, rounded and clipped.

    Raises:
        MissingExtraError: OpenCV or numba is not installed.
    """
    cv2 = require("cv2", extra="train")
    require("numba", extra="train")
    from mlimages.images.colour_kernels import shift_hsv, to_bytes

    brightness = 255 * parameters.brightness
    first, last = parameters.contrast, 1.0
    # (x + b - mean(x + b)) * c + mean(x + b), regrouped: one pass from the bytes
    offset = [(1 - first) * mean + brightness for mean in cv2.mean(array)[:3]]
    if not parameters.contrast_first:
        first, last = last, first
        offset = [brightness] * 3
    planes = [plane.reshape(-1) for plane in cv2.split(array)]
    # Values stay on the scale 0 to 255, in float: HSV's hue and saturation do not depend on it.
    shifted = np.empty((3, len(planes[0])), dtype=np.float32)
    shift_hsv(
        *planes,
        np.float32(first),
        np.array(offset, dtype=np.float32),
        np.float32(parameters.saturation),
        np.float32(6 * (parameters.hue % 1.0)),
        shifted,
    )
    for plane, values in zip(planes, shifted, strict=True):
        to_bytes(values, np.float32(last), plane)
    return cv2.merge([plane.reshape(array.shape[:2]) for plane in planes])
