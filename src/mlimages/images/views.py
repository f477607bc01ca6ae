"""The views of an image that training and evaluation take, pixels to pixels.

Crop, resize, mirror and rotation are one bilinear step, straight to where the view is wanted; then
colours change in place. OpenCV and numba (extra `train`) do the work.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mlimages.errors import require
from mlimages.images.augmentation import AugmentationParameters, crop_box
from mlimages.images.colour import distort_in_place
from mlimages.images.decoding import decode
from mlimages.images.policies import erase


def train_image(
    array: np.ndarray,
    size: int,
    parameters: AugmentationParameters,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Augment one image: crop, resize, mirror and rotate in one bilinear step, then colour.

    As in the paper's code, interpolation is bilinear between the four nearest pixels, and what a
    rotation turns in from outside the crop is black. A crop of twice `size` or more is averaged
    down by a whole factor first: from then on less than one pixel in two is stepped over.

    Args:
        array: RGB uint8 [height, width, 3].
        size: side of the result.
        parameters: from `draw`.
        out: uint8 [size, size, 3], contiguous: where to put the result; None: in a new array.

    Returns:
        RGB uint8 [size, size, 3].

    Raises:
        MissingExtraError: OpenCV or numba is not installed.
    """
    cv2 = require("cv2", extra="train")
    left, top, width, height = crop_box(array.shape[1], array.shape[0], parameters)
    across, down = _whole_factors(width, height, size)
    # Whole factors are fast and exact; the crop loses at most a (factor - 1)-pixel margin.
    width, height = width - width % across, height - height % down
    crop = array[top : top + height, left : left + width]
    if across > 1 or down > 1:
        reduced = (width // across, height // down)
        crop = cv2.resize(crop, reduced, interpolation=cv2.INTER_AREA)
    view = np.empty((size, size, 3), dtype=np.uint8) if out is None else out
    if parameters.angle:
        _rotate(cv2, crop, parameters, view)
    else:  # the same map, twice as fast
        cv2.resize(crop, (size, size), dst=view, interpolation=cv2.INTER_LINEAR)
        if parameters.flip:
            cv2.flip(view, 1, dst=view)
    if parameters.colour is not None:
        distort_in_place(view, parameters.colour)
    for operation in parameters.operations:
        view[:] = operation.apply(view)
    if parameters.erased is not None:
        erase(view, parameters.erased)
    return view


def train_view(
    data: bytes, size: int, parameters: AugmentationParameters, out: np.ndarray | None = None
) -> np.ndarray:
    """Decode a file and augment it, decoding no more pixels than the crop needs.

    A JPEG is decoded at 1/2, 1/4 or 1/8 as long as the drawn crop keeps `size` pixels either way.

    Args:
        data: the file's bytes.
        size: side of the result.
        parameters: from `draw`.
        out: as of `train_image`.

    Returns:
        RGB uint8 [size, size, 3].

    Raises:
        BadImageError: as `decoding.decode`.
        MissingExtraError: OpenCV or numba is not installed.
    """

    def reduction(width: int, height: int) -> int:
        return min(crop_box(width, height, parameters)[2:]) // size

    return train_image(decode(data, reduction=reduction), size, parameters, out)


def _whole_factors(width: int, height: int, size: int) -> tuple[int, int]:
    """How many pixels across and down are averaged into one before the bilinear step.

    Square blocks, which OpenCV averages ten times as fast as oblong ones; those only where bilinear
    interpolation would otherwise step over two pixels in three.
    """
    across, down = max(1, width // size), max(1, height // size)
    block = min(across, down)
    return (across, down) if max(across, down) >= 3 * block else (block, block)


def _rotate(
    cv2: Any, crop: np.ndarray, parameters: AugmentationParameters, out: np.ndarray
) -> None:
    # OpenCV warps four channels twice as fast as three, and to the same values.
    padded = cv2.cvtColor(crop, cv2.COLOR_RGB2RGBA)
    size = len(out)
    turned = cv2.warpAffine(
        padded,
        output_to_crop(crop.shape[1], crop.shape[0], size, parameters),
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )
    cv2.cvtColor(turned, cv2.COLOR_RGBA2RGB, dst=out)


def output_to_crop(
    width: int, height: int, size: int, parameters: AugmentationParameters
) -> np.ndarray:
    """Affine map, float64 [2, 3], from a pixel of the result to the crop's pixel it shows.

    Pixel centres are at whole numbers. Read backwards, a pixel of the result is turned back about
    the centre, mirrored back, and then stretched to the crop.
    """
    angle = math.radians(parameters.angle)
    cosine, sine = math.cos(angle), math.sin(angle)
    across, down = width / size, height / size
    mirror = -across if parameters.flip else across
    centre = (size - 1) / 2
    x = (mirror * cosine, -mirror * sine)
    y = (down * sine, down * cosine)
    return np.array(
        [
            (*x, (width - 1) / 2 - centre * (x[0] + x[1])),
            (*y, (height - 1) / 2 - centre * (y[0] + y[1])),
        ]
    )


def evaluation_image(array: np.ndarray, size: int, crop_fraction: float = 224 / 256) -> np.ndarray:
    """Resize the shorter side to size / crop_fraction and cut out the centre, as the paper's tests.

    Args:
        array: RGB uint8 [height, width, 3].
        size: side of the result.
        crop_fraction: the crop's share of the resized shorter side; 1 keeps all of it, as befits
            photos that are no larger than `size` to begin with.

    Returns:
        RGB uint8 [size, size, 3]; averaged over areas when shrinking, bilinear when enlarging.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    cv2 = require("cv2", extra="train")
    # Of a long strip only the middle is seen; resizing all of it could exhaust the memory.
    longest = 4 * min(array.shape[:2])
    array = _centre(array, min(array.shape[1], longest), min(array.shape[0], longest))
    height, width = array.shape[:2]
    shorter = max(size, round(size / crop_fraction))
    scale = shorter / min(width, height)
    resized = (max(shorter, round(width * scale)), max(shorter, round(height * scale)))
    if resized != (width, height):
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        array = cv2.resize(array, resized, interpolation=method)
    return np.ascontiguousarray(_centre(array, size, size))


def _centre(array: np.ndarray, width: int, height: int) -> np.ndarray:
    left, top = (array.shape[1] - width) // 2, (array.shape[0] - height) // 2
    return array[top : top + height, left : left + width]
