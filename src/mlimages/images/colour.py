"""Colour distortion of training images: brightness, saturation, hue and contrast.

The operations are those of TensorFlow's `adjust_*` on floating-point images, as the paper's code
used them: nothing is clipped between them, only at the end. Saturation and hue follow one another
in both orderings, so one conversion to HSV and back serves both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
        MissingExtraError: OpenCV is not installed.
    """
    cv2 = require("cv2", extra="train")
    # Values stay on the scale 0 to 255, in float: HSV's hue and saturation do not depend on it.
    brightness = 255 * parameters.brightness
    if parameters.contrast_first:
        # (x + b - mean(x + b)) * c + mean(x + b), regrouped: one pass from the bytes
        mean = cv2.mean(array)
        values = cv2.multiply(array, _scalar(parameters.contrast), dtype=cv2.CV_32F)
        offset = [(1 - parameters.contrast) * channel + brightness for channel in mean[:3]]
        values = _shift_hsv(cv2, cv2.add(values, (*offset, 0.0)), parameters)
        return cv2.add(values, _scalar(0.0), dtype=cv2.CV_8U)
    values = cv2.add(array, _scalar(brightness), dtype=cv2.CV_32F)
    values = _shift_hsv(cv2, values, parameters)
    offset = [(1 - parameters.contrast) * channel for channel in cv2.mean(values)[:3]]
    values = cv2.multiply(values, _scalar(parameters.contrast))
    return cv2.add(values, (*offset, 0.0), dtype=cv2.CV_8U)


def _shift_hsv(cv2: Any, values: np.ndarray, parameters: ColourParameters) -> np.ndarray:
    hsv = cv2.cvtColor(values, cv2.COLOR_RGB2HSV)  # hue 0 to 360, saturation 0 to 1
    hue, saturation, value = hsv[..., 0], hsv[..., 1], hsv[..., 2]
    # OpenCV's vectorised way back is wrong below 0, and undocumented above 360.
    np.add(hue, 360 * (parameters.hue % 1.0), out=hue)
    np.subtract(hue, 360, out=hue, where=hue >= 360)
    np.multiply(saturation, parameters.saturation, out=saturation)
    np.minimum(saturation, 1.0, out=saturation)
    # A negative value, from brightness or contrast, has no saturation in TensorFlow's definition.
    np.multiply(saturation, value > 0, out=saturation)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def _scalar(value: float) -> tuple[float, float, float, float]:
    return (value, value, value, 0.0)  # OpenCV wants one number a channel, padded to four
