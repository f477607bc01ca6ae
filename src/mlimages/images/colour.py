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
        MissingExtraError: numba is not installed.
    """
    changed = array.copy()
    distort_in_place(changed, parameters)
    return changed


def distort_in_place(array: np.ndarray, parameters: ColourParameters) -> None:
    """As `distort_colour`, into the array itself.

    Args:
        array: RGB uint8 [height, width, 3], contiguous.
        parameters: what to apply.

    Raises:
        MissingExtraError: numba is not installed.
    """
    require("numba", extra="train")
    from mlimages.images import colour_kernels as kernels

    pixels = array.view()
    pixels.shape = (array.size,)  # an error where `reshape` would make a copy
    brightness = np.float32(255 * parameters.brightness)
    contrast = np.float32(parameters.contrast)
    saturation = np.float32(parameters.saturation)
    sectors = np.float32(6 * (parameters.hue % 1.0))
    # Values stay on the scale 0 to 255: HSV's hue and saturation do not depend on it.
    if parameters.contrast_first:
        # (x + b - mean(x + b)) * c + mean(x + b), regrouped: one pass from the bytes
        offset = (1 - contrast) * kernels.means(pixels) + brightness
        kernels.shift_hsv(pixels, contrast, offset.astype(np.float32), saturation, sectors)
    else:
        kernels.shift_hsv_then_contrast(pixels, brightness, saturation, sectors, contrast)
