"""The paper's training augmentation, and the view of an image that evaluation takes.

A training image is a random crop, resized, perhaps mirrored and perhaps rotated, all in one
bilinear step; then its colours may be distorted. A policy (policies.py) may follow. Randomness is
keyed by (seed, epoch, sample), so that any worker, order or resumed run gives a sample the same
view. OpenCV and numba (extra `train`) do the work.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mlimages.errors import RecipeError, require
from mlimages.images.colour import ColourParameters, distort_colour
from mlimages.images.decoding import decode
from mlimages.images.policies import Operation, Policy, draw_operations, draw_rectangle, erase

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


def sample_generator(seed: int, epoch: int, sample_id: int) -> np.random.Generator:
    """Random numbers of one sample in one epoch, independent of those of all others.

    Philox is a keyed function of a counter: seed and epoch are the key, the sample is the high half
    of the counter, so that two samples would meet only after 2**128 numbers.

    Args:
        seed: 0 to 2**64 - 1.
        epoch: 0 to 2**64 - 1.
        sample_id: 0 to 2**64 - 1.
    """
    bits = np.random.Philox(key=[seed, epoch], counter=[0, 0, sample_id, 0])
    return np.random.Generator(bits)


def draw(settings: AugmentationSettings, rng: np.random.Generator) -> AugmentationParameters:
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


def train_image(array: np.ndarray, size: int, parameters: AugmentationParameters) -> np.ndarray:
    """Augment one image: crop, resize, mirror and rotate in one bilinear step, then colour.

    As in the paper's code, interpolation is bilinear between the four nearest pixels, and what a
    rotation turns in from outside the crop is black. A crop of twice `size` or more is averaged
    down by a whole factor first: from then on less than one pixel in two is stepped over.

    Args:
        array: RGB uint8 [height, width, 3].
        size: side of the result.
        parameters: from `draw`.

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
    if parameters.angle:
        view = cv2.warpAffine(
            crop,
            output_to_crop(crop.shape[1], crop.shape[0], size, parameters),
            (size, size),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )
    else:  # the same map, three times as fast
        view = cv2.resize(crop, (size, size), interpolation=cv2.INTER_LINEAR)
        view = cv2.flip(view, 1) if parameters.flip else view
    if parameters.colour is not None:
        view = distort_colour(view, parameters.colour)
    for operation in parameters.operations:
        view = operation.apply(view)
    return view if parameters.erased is None else erase(view, parameters.erased)


def train_view(data: bytes, size: int, parameters: AugmentationParameters) -> np.ndarray:
    """Decode a file and augment it, decoding no more pixels than the crop needs.

    A JPEG is decoded at 1/2, 1/4 or 1/8 as long as the drawn crop keeps `size` pixels either way.

    Args:
        data: the file's bytes.
        size: side of the result.
        parameters: from `draw`.

    Returns:
        RGB uint8 [size, size, 3].

    Raises:
        BadImageError: as `decoding.decode`.
        MissingExtraError: OpenCV or numba is not installed.
    """

    def reduction(width: int, height: int) -> int:
        return min(crop_box(width, height, parameters)[2:]) // size

    return train_image(decode(data, reduction=reduction), size, parameters)


def _whole_factors(width: int, height: int, size: int) -> tuple[int, int]:
    """How many pixels across and down are averaged into one before the bilinear step.

    Square blocks, which OpenCV averages ten times as fast as oblong ones; those only where bilinear
    interpolation would otherwise step over two pixels in three.
    """
    across, down = max(1, width // size), max(1, height // size)
    block = min(across, down)
    return (across, down) if max(across, down) >= 3 * block else (block, block)


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


def _between(ends: tuple[float, float], share: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * share
