"""Random numbers of each sample in each epoch, the same in any worker, order or resumed run.

Philox is a keyed function of a counter (Salmon, Moraes, Dror and Shaw, Parallel random numbers: as
easy as 1, 2, 3, 2011): seed and epoch are the key, the sample is the high half of the counter, so
that two samples would meet only after 2**128 numbers. NumPy has it too, but a generator of its own
for every sample takes longer to make than all that it is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from mlimages.errors import require

_AT_FIRST = 16  # numbers: the paper's augmentation takes 13


class Uniform(Protocol):
    """What gives random numbers: one of the below, or a generator of NumPy."""

    def random(self, size: int | tuple[int, ...]) -> np.ndarray:
        """The next uniform numbers in [0, 1), float64 of this shape."""
        ...


class SampleNumbers:
    """Random numbers of one sample, as many as are asked for.

    They are those of np.random.Philox(key=[seed, epoch], counter=[0, 0, sample, 0]).
    """

    __slots__ = ("_key", "_numbers", "_taken")

    def __init__(self, seed: int, epoch: int, sample: int, numbers: np.ndarray) -> None:
        """Take what was drawn already.

        Args:
            seed: 0 to 2**64 - 1.
            epoch: 0 to 2**64 - 1.
            sample: 0 to 2**64 - 1.
            numbers: float64 [4 * k], the first ones.
        """
        self._key, self._numbers, self._taken = (seed, epoch, sample), numbers, 0

    def random(self, size: int | tuple[int, ...]) -> np.ndarray:
        """The next uniform numbers in [0, 1), float64 of this shape."""
        stop = self._taken + (size if isinstance(size, int) else math.prod(size))
        if stop > len(self._numbers):
            seed, epoch, sample = self._key
            (self._numbers,) = _uniform(seed, [epoch], [sample], 2 * stop)
        found = self._numbers[self._taken : stop]
        self._taken = stop
        return found if isinstance(size, int) else found.reshape(size)


def sample_generator(seed: int, epoch: int, sample: int) -> SampleNumbers:
    """Random numbers of one sample in one epoch, independent of those of all others.

    Raises:
        MissingExtraError: numba is not installed.
    """
    return sample_generators(seed, [epoch], [sample])[0]


def sample_generators(
    seed: int, epochs: Sequence[int], samples: Sequence[int]
) -> list[SampleNumbers]:
    """The same for each sample of a batch, for little more than the cost of one."""
    numbers = _uniform(seed, epochs, samples, _AT_FIRST)
    return [SampleNumbers(seed, *key) for key in zip(epochs, samples, numbers, strict=True)]


def _uniform(seed: int, epochs: Sequence[int], samples: Sequence[int], count: int) -> np.ndarray:
    """float64 [samples, at least count]: the first numbers of some samples."""
    require("numba", extra="train")
    from mlimages.images.random_kernels import philox

    found = np.empty((len(samples), -(-count // 4) * 4))
    keys = np.array(epochs, dtype=np.uint64), np.array(samples, dtype=np.uint64)
    philox(np.uint64(seed), *keys, found)
    return found
