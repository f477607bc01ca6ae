"""Changing the size of decoded images, and encoding them again.

"area" is the mean of what an output pixel covers, parts of pixels by their share: OpenCV's
INTER_AREA where OpenCV is installed, and the same in numpy, several times as slow, where it is not.
They differ by rounding. All other filters are Pillow's, which widen when they shrink and so do not
alias.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mlimages.images.settings import ImageSettings, Interpolation

try:
    import cv2
except ModuleNotFoundError:
    cv2 = None  # type: ignore[assignment]
try:
    import simplejpeg
except ModuleNotFoundError:
    simplejpeg = None

_PILLOW = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
}
_WHITE = 255


@dataclass(frozen=True)
class Geometry:
    """What becomes of an image's size: scaled to one, then cut or filled to the other.

    Attributes:
        scaled: (width, height) after scaling.
        result: (width, height) of the result.
    """

    scaled: tuple[int, int]
    result: tuple[int, int]


def geometry(width: int, height: int, settings: ImageSettings) -> Geometry | None:
    """How an upright image of this size is resized; None when it stays as it is."""
    side, mode = settings.side, settings.resize
    if mode == "no":
        return None
    by_longer = mode in ("longer", "border")
    reference = max(width, height) if by_longer else min(width, height)
    if settings.only_if_bigger and reference <= side:
        return None
    scaled = (_scaled(width, side, reference), _scaled(height, side, reference))
    result = (side, side) if mode in ("border", "centre-crop") else scaled
    return None if scaled == (width, height) == result else Geometry(scaled, result)


def _scaled(length: int, side: int, reference: int) -> int:
    return max(1, (2 * length * side + reference) // (2 * reference))  # rounded half up


def resize(pixels: np.ndarray, shape: Geometry, interpolation: Interpolation) -> np.ndarray:
    """Scale, then cut out the middle or fill up with white.

    Args:
        pixels: uint8 [height, width, 3].
        shape: sizes to reach.
        interpolation: see `ImageSettings`.

    Returns:
        uint8 [result height, result width, 3], contiguous.
    """
    height, width = pixels.shape[:2]
    if (width, height) != shape.scaled:
        pixels = _scale(pixels, shape.scaled, interpolation)
    (width, height), (result_width, result_height) = shape.scaled, shape.result
    if result_width < width or result_height < height:
        left, top = (width - result_width) // 2, (height - result_height) // 2
        pixels = pixels[top : top + result_height, left : left + result_width]
    elif result_width > width or result_height > height:
        canvas = np.full((result_height, result_width, 3), _WHITE, dtype=np.uint8)
        left, top = (result_width - width) // 2, (result_height - height) // 2
        canvas[top : top + height, left : left + width] = pixels
        pixels = canvas
    return np.ascontiguousarray(pixels)


def _scale(pixels: np.ndarray, size: tuple[int, int], interpolation: Interpolation) -> np.ndarray:
    height, width = pixels.shape[:2]
    enlarging = size[0] > width or size[1] > height
    if interpolation == "area" and enlarging:
        interpolation = "bicubic"
    if interpolation == "area":
        if cv2 is None:
            return np.rint(_mean(_mean(pixels, size[1], 0), size[0], 1)).astype(np.uint8)
        return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return np.asarray(Image.fromarray(pixels).resize(size, _PILLOW[interpolation]))


def _mean(values: np.ndarray, length: int, axis: int) -> np.ndarray:
    """Means of equal stretches along an axis, by the integral up to their ends."""
    values = np.moveaxis(values, axis, 0)
    integral = np.zeros((len(values) + 1, *values.shape[1:]))
    np.cumsum(values, axis=0, out=integral[1:])
    ends = np.linspace(0, len(values), length + 1)
    whole = np.minimum(ends.astype(np.int64), len(values) - 1)
    part = (ends - whole)[:, None, None]
    at_ends = integral[whole] * (1 - part) + integral[whole + 1] * part
    return np.moveaxis(np.diff(at_ends, axis=0) * (length / len(values)), 0, axis)


def encode(pixels: np.ndarray, format_name: str, quality: int) -> bytes:
    """Encode RGB pixels as JPEG (baseline, 4:2:0), PNG or WebP."""
    if format_name == "JPEG" and simplejpeg is not None:
        return simplejpeg.encode_jpeg(
            np.ascontiguousarray(pixels), quality, "RGB", "420", fastdct=False
        )
    options = {"JPEG": {"quality": quality, "subsampling": 2}, "WEBP": {"quality": quality}}
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format_name, **options.get(format_name, {}))
    return buffer.getvalue()
