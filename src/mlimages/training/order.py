"""Which sample comes when, as arithmetic: no state but the number of samples seen.

Samples are numbered by a position that runs on over all epochs. Epoch e permutes the split's n
samples with random numbers keyed by (seed, e); position p of the epoch lies in lane p % L, and rank
r of R reads the lanes l with l % R = r, where R divides L. So a run continues exactly from any
number of samples seen, with any number of workers and any such R.
"""

from __future__ import annotations

import numpy as np

from mlimages.errors import RecipeError

ORDER_STREAM = 2  # keeps these random numbers apart from others keyed by the same seed


class DataOrder:
    """The order of a split's samples.

    Args:
        num_samples: size of the split, n.
        seed: the recipe's seed.
        lanes: L; the number of ranks must divide it.
    """

    def __init__(self, num_samples: int, seed: int, lanes: int = 128) -> None:
        if num_samples < 1:
            raise RecipeError("the split", "has no samples", "choose another one")
        self.num_samples, self.seed, self.lanes = num_samples, seed, lanes
        self._epoch = -1
        self._permutation = np.zeros(0, dtype=np.int32)

    def batch(
        self, samples_seen: int, size: int, rank: int = 0, ranks: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """The samples at positions samples_seen to samples_seen + size that a rank reads.

        Returns:
            epochs and samples, int64 [k] each, in order of position; with one rank k = size.

        Raises:
            RecipeError: `ranks` does not divide the number of lanes.
        """
        if ranks < 1 or self.lanes % ranks:
            raise RecipeError(
                f"{ranks} processes", f"do not divide the {self.lanes} lanes", "set data.lanes"
            )
        positions = np.arange(samples_seen, samples_seen + size)
        epochs, places = np.divmod(positions, self.num_samples)
        mine = places % self.lanes % ranks == rank
        epochs, places = epochs[mine], places[mine]
        samples = np.empty(len(places), dtype=np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            samples[here] = self.permutation(int(epoch))[places[here]]
        return epochs, samples

    def permutation(self, epoch: int) -> np.ndarray:
        """All samples in the order of one epoch, int32 [n]."""
        if epoch != self._epoch:
            bits = np.random.Philox(key=[self.seed, epoch], counter=[0, 0, 0, ORDER_STREAM])
            # NumPy promises that a generator's raw bits never change, unlike `permutation`.
            keys = bits.random_raw(self.num_samples)
            self._permutation = np.argsort(keys, kind="stable").astype(np.int32)
            self._epoch = epoch
        return self._permutation
