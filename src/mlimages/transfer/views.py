"""What a network sees of a photo: random views that are keyed, and the views of tests.

All randomness is a function of (seed, epoch, photo): see images/augmentation.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mlimages.errors import InputError, require
from mlimages.images.decoding import decode
from mlimages.images.random_numbers import sample_generator
from mlimages.images.reading import open_uri
from mlimages.images.rejection import RejectedError
from mlimages.metrics.segmentation import VOID

PLACES = ("centre", "top left", "top right", "bottom left", "bottom right")
_GREY = 128


def read_photo(path: Path) -> np.ndarray:
    """RGB uint8 [height, width, 3]; raises InputError."""
    with named_photo(path):
        return decode(open_uri(str(path.absolute())))


def read_bytes(path: Path) -> bytes:
    """A photo's file; raises InputError."""
    with named_photo(path):
        return open_uri(str(path.absolute()))


@contextmanager
def named_photo(path: Path) -> Iterator[None]:
    """Say which photo it is that cannot be read."""
    try:
        yield
    except RejectedError as error:
        action = "restore the photo, or leave it out"
        raise InputError(path, error.reason.value, action) from None


def ten_crops(image: np.ndarray, size: int, crop_fraction: float) -> np.ndarray:
    """Centre and corners of the resized photo, and the same mirrored.

    Args:
        image: RGB uint8 [height, width, 3].
        size: side of a crop.
        crop_fraction: as for one crop: the shorter side becomes size / crop_fraction.

    Returns:
        uint8 [10, size, size, 3]: PLACES in order, then these mirrored.
    """
    resized = _shorter_side(image, max(size, round(size / crop_fraction)))
    crops = np.stack([crop(resized, size, place) for place in PLACES])
    return np.concatenate([crops, crops[:, :, ::-1]])


def crop(resized: np.ndarray, size: int, place: str) -> np.ndarray:
    """The square of one of PLACES."""
    height, width = resized.shape[:2]
    top, left = (height - size) // 2, (width - size) // 2
    if place != "centre":
        top = 0 if place.startswith("top") else height - size
        left = 0 if place.endswith("left") else width - size
    return resized[top : top + size, left : left + size]


def segmentation_view(
    image: np.ndarray,
    mask: np.ndarray,
    size: int,
    scales: tuple[float, float],
    key: tuple[int, int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """A random scale, a random square of it, perhaps mirrored; what lies outside is void.

    Args:
        image: RGB uint8 [height, width, 3].
        mask: uint8 [height, width].
        size: side of the square.
        scales: range of the scale, drawn evenly on a logarithmic axis.
        key: seed, epoch, photo.

    Returns:
        uint8 [size, size, 3] and uint8 [size, size].
    """
    cv2 = require("cv2", extra="train")
    scale_draw, left_draw, top_draw, flip_draw = sample_generator(*key).random(4).tolist()
    low, high = scales
    scale = low * (high / low) ** scale_draw
    height, width = (max(1, round(side * scale)) for side in mask.shape)
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
    canvas = np.full((max(size, height), max(size, width), 3), _GREY, np.uint8)
    truth = np.full(canvas.shape[:2], VOID, np.uint8)
    canvas[:height, :width], truth[:height, :width] = image, mask
    top = int(top_draw * (canvas.shape[0] - size + 1))
    left = int(left_draw * (canvas.shape[1] - size + 1))
    canvas = canvas[top : top + size, left : left + size]
    truth = truth[top : top + size, left : left + size]
    if flip_draw < 0.5:
        canvas, truth = canvas[:, ::-1], truth[:, ::-1]
    return np.ascontiguousarray(canvas), np.ascontiguousarray(truth)


def mirrored_boxes(boxes: np.ndarray, width: int) -> np.ndarray:
    """Boxes [n, 4], counted from 1 with both ends inside, of the mirrored photo."""
    mirrored = boxes.copy()
    mirrored[:, 0], mirrored[:, 2] = width + 1 - boxes[:, 2], width + 1 - boxes[:, 0]
    return mirrored


def smaller(image: np.ndarray, short_side: int) -> np.ndarray:
    """The photo with its shorter side made `short_side`, where it is longer; 0 leaves it."""
    if not short_side or min(image.shape[:2]) <= short_side:
        return image
    return _shorter_side(image, short_side)


def _shorter_side(image: np.ndarray, side: int) -> np.ndarray:
    cv2 = require("cv2", extra="train")
    height, width = image.shape[:2]
    scale = side / min(height, width)
    target = (max(side, round(width * scale)), max(side, round(height * scale)))
    if target == (width, height):
        return image
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(image, target, interpolation=method)
