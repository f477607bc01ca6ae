"""How a batch is divided: into groups for batch normalisation, the groups among ranks, and a rank's
groups into forward passes.

A batch is put in the order of the reversed digits of its lanes, which brings together the lanes
that leave the same remainder by 2, by 4 and so on: the share of each of R ranks is then one piece,
for every R of such a chain. It is cut into groups before it is dealt out, so that which images are
normalised together depends neither on the number of ranks nor on the size of a forward pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mlimages.errors import RecipeError
from mlimages.training.distribution import Ranks


@dataclass(frozen=True)
class Division:
    """The pieces of every batch of a run.

    Attributes:
        bounds: int64 [groups + 1], where each group of the whole batch starts, and its end.
        share: this rank's images, a slice of the batch in lane order.
        passes: for each forward pass of this rank, the sizes of its groups.
    """

    bounds: np.ndarray
    share: slice
    passes: tuple[tuple[int, ...], ...]

    @property
    def groups(self) -> int:
        """Number of groups of the whole batch, of all ranks."""
        return len(self.bounds) - 1

    @classmethod
    def of(cls, batch: int, largest: int, ranks: Ranks, micro_batch: int = 0) -> Division:
        """Divide the batches of a run.

        Args:
            batch: images an update.
            largest: images of a group, at most.
            ranks: that share the groups.
            micro_batch: images that a forward pass has room for; 0: one group.

        Raises:
            RecipeError: there are more ranks than groups.
        """
        # Equal groups of at least two images: one alone would have no batch statistics.
        groups = max(1, min(math.ceil(batch / largest), batch // 2))
        if ranks.size > groups:
            raise RecipeError(
                f"{ranks.size} processes",
                f"are more than the groups of {largest} in a batch of {batch}",
                "raise data.batch_size or lower data.batch_norm_group",
            )
        bounds = np.linspace(0, batch, groups + 1).astype(int)
        first, last = (groups * (ranks.rank + more) // ranks.size for more in (0, 1))
        sizes = np.diff(bounds)[first:last].tolist()
        a_pass = max(1, micro_batch // math.ceil(batch / groups))
        passes = tuple(tuple(sizes[i : i + a_pass]) for i in range(0, len(sizes), a_pass))
        return cls(bounds, slice(int(bounds[first]), int(bounds[last])), passes)


def check_lanes(lanes: int, ranks: Ranks) -> None:
    """Raise RecipeError when the ranks do not divide the lanes."""
    if lanes % ranks.size:
        problem = "are more than" if ranks.size > lanes else "do not divide"
        raise RecipeError(
            f"{ranks.size} processes",
            f"{problem} the {lanes} lanes of the data order",
            "start another number of them, or set data.lanes in a new folder",
        )


def lane_places(lanes: int) -> np.ndarray:
    """int64 [lanes]: where each lane comes when their digits are read from the lowest.

    The digits are those of the mixed base of the prime factors of `lanes`, in rising order.
    """
    place, rest, length = np.zeros(lanes, np.int64), np.arange(lanes), lanes
    for factor in _prime_factors(lanes):
        length //= factor
        place += rest % factor * length
        rest = rest // factor
    return place


def _prime_factors(number: int) -> list[int]:
    factors, factor = [], 2
    while number > 1:
        while number % factor == 0:
            factors.append(factor)
            number //= factor
        factor += 1
    return factors
