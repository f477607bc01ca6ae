"""Whether two pictures whose hashes are close show the same photo: their pixels are compared.

One picture is laid over the other by the shift and scale that fit best (Gauss-Newton on the squared
difference, after Lucas and Kanade, IJCAI 1981), so that a crop or a border does not matter. Then,
where both overlap,

- `likeness` is the correlation of the luminance: brightness and contrast do not matter,
- `detail` is the correlation of what is finer than a 16th of the side,
- `colour` is the cosine between their colour differences; 1 where one picture is grey.

Either picture is laid over the other, beginning at two scales, and the best of the four counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlimages.images.decoding import decode
from mlimages.images.duplicates.fingerprints import area_means

SIDE = 64  # of the luminance that is compared
COARSE = 16  # a side when the shift and scale are looked for
COLOUR_SIDE = 16
MINIMUM_SIDE = 96  # pixels of the shorter side that a JPEG keeps: crops are enlarged
GREYNESS = 4.0  # grey levels of colour difference, root mean square, below which a picture is grey
_STEPS = {COARSE: 8, 2 * COARSE: 6}
_STARTS = (1.0, 1.07)  # a border hides the best scale from one that begins at 1
_EPSILON = 1e-6


class Looks(NamedTuple):
    """What is compared of a picture: uint8 [64, 64] luminance, float16 [2, 16, 16] colour."""

    luminance: NDArray[np.uint8]
    colour: NDArray[np.float16]

    def turned(self, turn: Callable[[NDArray], NDArray]) -> Looks:
        """The looks of the picture in another position; one of `fingerprints.TURNING`."""
        colour = turn(self.colour.transpose(1, 2, 0)).transpose(2, 0, 1)
        return Looks(turn(self.luminance), colour)


@dataclass(frozen=True)
class Threshold:
    """What two pictures must share to be the same photo; measured in benchmarks/duplicates.py.

    Attributes:
        likeness, detail, colour: least correlations.
        overlap: least share of the smaller picture.
    """

    likeness: float = 0.92
    detail: float = 0.75
    colour: float = 0.90
    overlap: float = 0.70


class Scores(NamedTuple):
    """What comparing gave, float32 [pairs] each; see the module.

    Attributes:
        likeness, detail, colour: correlations.
        overlap: the share of the smaller picture's area that both show.
    """

    likeness: NDArray[np.float32]
    detail: NDArray[np.float32]
    colour: NDArray[np.float32]
    overlap: NDArray[np.float32]

    def passed(self, threshold: Threshold) -> NDArray[np.bool_]:
        """bool [pairs]: which are the same photo."""
        return (
            (self.likeness >= threshold.likeness)
            & (self.detail >= threshold.detail)
            & (self.colour >= threshold.colour)
            & (self.overlap >= threshold.overlap)
        )


def looks_of(data: bytes) -> Looks:
    """What is compared of an image file; raises BadImageError as `decoding.decode`."""
    return looks_of_pixels(decode(data, minimum_side=MINIMUM_SIDE))


def looks_of_pixels(pixels: NDArray[np.uint8]) -> Looks:
    """What is compared of RGB uint8 [height, width, 3]."""
    height, width, _ = pixels.shape
    small = np.tensordot(area_means(SIDE, height), pixels.astype(np.float64), (1, 0))
    small = np.einsum("yxc,kx->ykc", small, area_means(SIDE, width))
    luminance = small @ (0.299, 0.587, 0.114)  # ITU-R BT.601
    across = SIDE // COLOUR_SIDE
    differences = np.stack([small[..., 0] - luminance, small[..., 2] - luminance])
    colour = differences.reshape(2, COLOUR_SIDE, across, COLOUR_SIDE, across).mean((2, 4))
    return Looks(luminance.round().astype(np.uint8), colour.astype(np.float16))


def compare_looks(first: list[Looks], second: list[Looks]) -> Scores:
    """Compare pictures pair by pair.

    Args:
        first, second: of the same length; some hundred at once are quickest.
    """
    found = [
        _compare(*sides, start) for sides in ((first, second), (second, first)) for start in _STARTS
    ]
    worth = [np.minimum(scores.likeness, scores.detail) for scores in found]
    best = np.argmax(worth, axis=0)[None]
    columns = (np.stack(column) for column in zip(*found, strict=True))
    return Scores(*(np.take_along_axis(column, best, 0)[0] for column in columns))


def _compare(first: list[Looks], second: list[Looks], start: float) -> Scores:
    """Lay the first pictures over the second ones, beginning at some scale."""
    left, right = (
        np.stack([looks.luminance for looks in side]).astype(np.float32) for side in (first, second)
    )
    placing = _place(left, right, start)
    moved, valid = _move(left, placing)
    likeness = _correlation(moved, right, valid)
    detail = _correlation(_fine(moved), _fine(right), valid)
    ours, theirs = (
        np.stack([looks.colour for looks in side]).astype(np.float32) for side in (first, second)
    )
    return Scores(likeness, detail, _colour(ours, theirs, placing), _overlap(valid, placing))


def _place(
    left: NDArray[np.float32], right: NDArray[np.float32], start: float
) -> NDArray[np.float32]:
    """float32 [pairs, 4]: scale and shift down, scale and shift across, of left onto right.

    The position y of the right picture, from -1 to 1, is at scale * y + shift in the left one.
    """
    placing = np.tile(np.array([start, 0, start, 0], np.float32), (len(left), 1))
    for side, steps in _STEPS.items():
        small, target = _shrink(left, side), _normal(_shrink(right, side))
        for _ in range(steps):
            placing = _improve(small, target, placing)
    return placing


def _improve(
    left: NDArray[np.float32], target: NDArray[np.float32], placing: NDArray[np.float32]
) -> NDArray[np.float32]:
    """One step of Gauss and Newton; it is taken back where it makes no sense."""
    pairs, side, _ = left.shape
    moved, valid = _move(left, placing)
    moved = _normal(moved, valid)
    down, across = (np.gradient(moved, 2.0 / side, axis=axis).astype(np.float32) for axis in (1, 2))
    at = _positions(side)
    # The last two let brightness and contrast differ.
    slopes = np.stack(
        [
            down * at[:, None],
            down,
            across * at,
            across,
            moved,
            np.ones_like(moved),
        ],
        axis=1,
    ).reshape(pairs, 6, -1)
    weighted = slopes * valid.reshape(pairs, 1, -1)
    normal = weighted @ slopes.swapaxes(1, 2) + 1e-3 * side * np.eye(6, dtype=np.float32)
    wanted = weighted @ (target - moved).reshape(pairs, -1, 1)
    step = np.linalg.solve(normal, wanted)[:, :4, 0].clip(-0.1, 0.1)
    # Slopes are of the moved picture: a step there is a step times the scale in the left one.
    step[:, :2] *= placing[:, :1]
    step[:, 2:] *= placing[:, 2:3]
    return (placing + step).clip([0.7, -0.3, 0.7, -0.3], [1.4, 0.3, 1.4, 0.3]).astype(np.float32)


def _move(
    left: NDArray[np.float32], placing: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The left pictures laid over the right ones, and where they are: 1 or 0."""
    side = left.shape[1]
    at, places = _positions(side), np.arange(side, dtype=np.float32)
    weights, inside = [], []
    for axis in (0, 2):
        wanted = placing[:, axis, None] * at + placing[:, axis + 1, None]
        pixel = (wanted + 1) * (side / 2) - 0.5
        inside.append((pixel > -0.51) & (pixel < side - 0.49))
        pixel = pixel.clip(0, side - 1)
        weights.append(np.maximum(0, 1 - np.abs(pixel[:, :, None] - places)))
    moved = weights[0] @ left @ weights[1].swapaxes(1, 2)
    valid = (inside[0][:, :, None] & inside[1][:, None, :]).astype(np.float32)
    return moved, valid


def _positions(side: int) -> NDArray[np.float32]:
    return ((np.arange(side) + 0.5) * (2 / side) - 1).astype(np.float32)


def _shrink(pictures: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    factor = pictures.shape[1] // side
    return pictures.reshape(len(pictures), side, factor, side, factor).mean((2, 4))


def _fine(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a picture of a 16th of the side does not show."""
    means = _shrink(pictures, COARSE)
    factor = pictures.shape[1] // COARSE
    smooth = np.repeat(np.repeat(means, factor, axis=1), factor, axis=2)
    # Means of neighbours, so that the blocks leave no edges.
    return pictures - _means_of_neighbours(_means_of_neighbours(smooth, 1), 2)


def _means_of_neighbours(pictures: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    size, places = pictures.shape[axis], np.arange(pictures.shape[axis])
    near = [np.take(pictures, (places + step).clip(0, size - 1), axis) for step in range(-2, 3)]
    return np.mean(near, axis=0)


def _normal(
    pictures: NDArray[np.float32], valid: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Mean 0 and deviation 1."""
    weights = np.ones_like(pictures) if valid is None else valid
    total = weights.sum((1, 2), keepdims=True) + _EPSILON
    centred = pictures - (pictures * weights).sum((1, 2), keepdims=True) / total
    variance = (centred**2 * weights).sum((1, 2), keepdims=True) / total
    return centred / np.sqrt(variance + _EPSILON)


def _correlation(
    left: NDArray[np.float32], right: NDArray[np.float32], valid: NDArray[np.float32]
) -> NDArray[np.float32]:
    total = valid.sum((1, 2)) + _EPSILON
    return (_normal(left, valid) * _normal(right, valid) * valid).sum((1, 2)) / total


def _overlap(valid: NDArray[np.float32], placing: NDArray[np.float32]) -> NDArray[np.float32]:
    """The share of the smaller picture that is seen in both."""
    of_right = valid.mean((1, 2))
    of_left = of_right * placing[:, 0] * placing[:, 2]
    return np.maximum(of_left, of_right)


def _colour(
    left: NDArray[np.float32], right: NDArray[np.float32], placing: NDArray[np.float32]
) -> NDArray[np.float32]:
    moved, valid = zip(*(_move(left[:, plane], placing) for plane in (0, 1)), strict=True)
    both, where = np.stack(moved, axis=1), valid[0][:, None]
    count = 2 * where.sum((1, 2, 3)) + _EPSILON
    product, *energy = (
        (where * values).sum((1, 2, 3)) / count for values in (both * right, both**2, right**2)
    )
    strength = np.sqrt(np.minimum(*energy))
    cosine = product / np.sqrt(energy[0] * energy[1] + _EPSILON)
    return np.where(strength < GREYNESS, 1.0, cosine).astype(np.float32)
