"""Two hashes of what a picture looks like, 64 bits each, that small changes leave nearly the same.

The perceptual hash holds the signs of the 64 lowest frequencies of a cosine transform of the
luminance (after C. Zauner, "Implementation and benchmarking of perceptual image hash functions",
2010, with signs in place of a median), the gradient hash which of neighbouring cells is brighter.
Both stretch the picture to a square first. A picture is read as greyscale, a JPEG at the least
fraction of its size that leaves 64 pixels; averaging and transform are then one product of small
matrices.

With signs, turning or mirroring a picture flips or exchanges known bits: the hashes of all eight
positions follow from one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlimages.images.decoding import decode_luminance

MINIMUM_SIDE = 64  # pixels of the shorter side that a JPEG keeps
CELLS = 32  # a side of the square that is transformed
_ORDER = 11
# Frequencies (down, across) below the diagonal, the lowest first. Without the mean, and without
# the one in the middle of the diagonal, there are 64, and transposing maps them onto each other.
_FREQUENCIES = sorted(
    (
        (down, across)
        for down in range(_ORDER)
        for across in range(_ORDER - down)
        if down + across > 0 and (down, across) != (5, 5)
    ),
    key=lambda pair: (sum(pair), pair),
)
_DOWN, _ACROSS = np.array(_FREQUENCIES).T
# A coefficient of the orthonormal transform, in grey levels, above what recompressing changes.
SURE_LEVEL = 4.0


class Fingerprint(NamedTuple):
    """The hashes of one picture.

    Attributes:
        perceptual, gradient: 64 bits each.
        sure: how many bits of the perceptual hash stand on a coefficient above the noise; of a
            flat picture they are few, and its hashes say nothing.
    """

    perceptual: int
    gradient: int
    sure: int


def fingerprint(data: bytes) -> Fingerprint:
    """The hashes of an image file.

    Raises:
        BadImageError: see `decoding.decode`.
    """
    return fingerprint_of(decode_luminance(data, minimum_side=MINIMUM_SIDE))


def fingerprint_of(luminance: NDArray[np.uint8]) -> Fingerprint:
    """The hashes of a picture, upright, uint8 [height, width]."""
    height, width = luminance.shape
    both = _measures(height) @ luminance.astype(np.float32) @ _measures(width).T
    found = both[_DOWN, _ACROSS]
    cells = both[_ORDER : _ORDER + 8, _ORDER + 8 :]  # 8 rows of 9
    gradient = cells[:, 1:] > cells[:, :-1]
    sure = int(np.count_nonzero(np.abs(found) >= SURE_LEVEL))
    return Fingerprint(_word(found > 0), _word(gradient.ravel()), sure)


def _word(bits: NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


@lru_cache(maxsize=4096)
def _measures(size: int) -> NDArray[np.float32]:
    """float32 [11 + 8 + 9, size]: takes a side to its lowest frequencies, and to 8 and 9 means."""
    frequency, place = np.arange(_ORDER)[:, None], np.arange(CELLS)
    cosine = np.cos(np.pi * frequency * (2 * place + 1) / (2 * CELLS)) * np.sqrt(2 / CELLS)
    means = (area_means(CELLS, size), area_means(8, size), area_means(9, size))
    return np.concatenate([cosine @ means[0], means[1], means[2]]).astype(np.float32)


@lru_cache(maxsize=4096)
def area_means(cells: int, size: int) -> NDArray[np.float64]:
    """float64 [cells, size]: takes a side of `size` pixels to the means of equal pieces of it."""
    edges = np.linspace(0, size, cells + 1)
    low, high = edges[:-1, None], edges[1:, None]
    pixel = np.arange(size)
    shares = np.clip(np.minimum(high, pixel + 1) - np.maximum(low, pixel), 0, None)
    return shares / shares.sum(axis=1, keepdims=True)


def _moved(source: NDArray[np.int64], flipped: NDArray[np.bool_]) -> Callable:
    """A map of hashes: bit i becomes bit `source[i]` of the old hash, turned over where flipped."""
    mask = np.uint64(_word(flipped))
    if np.array_equal(source, np.arange(64)):
        return lambda hashes: hashes ^ mask
    shifts = (63 - source).astype(np.uint64)  # the first bit is the highest

    def move(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
        moved = np.zeros_like(hashes)
        for bit, shift in enumerate(shifts):
            moved |= ((hashes >> shift) & np.uint64(1)) << np.uint64(63 - bit)
        return moved ^ mask

    return move


_TRANSPOSED = np.array([_FREQUENCIES.index((across, down)) for down, across in _FREQUENCIES])
_SAME = np.arange(64)
_ODD_ACROSS, _ODD_DOWN = _ACROSS % 2 == 1, _DOWN % 2 == 1
_NONE = np.zeros(64, dtype=bool)
POSITIONS: dict[str, Callable[[NDArray[np.uint64]], NDArray[np.uint64]]] = {
    "mirrored": _moved(_SAME, _ODD_ACROSS),
    "upside down": _moved(_SAME, _ODD_ACROSS ^ _ODD_DOWN),
    "mirrored upside down": _moved(_SAME, _ODD_DOWN),
    "transposed": _moved(_TRANSPOSED, _NONE),
    "turned left": _moved(_TRANSPOSED, _ODD_DOWN),
    "turned right": _moved(_TRANSPOSED, _ODD_ACROSS),
    "transposed, upside down": _moved(_TRANSPOSED, _ODD_ACROSS ^ _ODD_DOWN),
}
"""From perceptual hashes to those of the same pictures in another position."""
TURNING: dict[str, Callable[[NDArray], NDArray]] = {
    "mirrored": lambda image: image[:, ::-1],
    "upside down": lambda image: image[::-1, ::-1],
    "mirrored upside down": lambda image: image[::-1],
    "transposed": lambda image: image.swapaxes(0, 1),
    "turned left": lambda image: np.rot90(image),
    "turned right": lambda image: np.rot90(image, -1),
    "transposed, upside down": lambda image: np.rot90(image, 2).swapaxes(0, 1),
}
"""The same for pixels [height, width, ...]."""
