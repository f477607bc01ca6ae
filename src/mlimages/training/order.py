"""Which sample comes when, as arithmetic: no state but the number of samples seen.

Samples are numbered by a position that runs on over all epochs. Each epoch puts the shards in a
keyed order and cuts the sequence of their samples into L lanes of equal length; inside a lane,
windows of W samples are permuted. Position p of the epoch is sample p // L of lane p % L, and rank
r of R reads the lanes l with l % R = r, where R divides L. So a run continues exactly from any
number of samples seen, with any number of workers and any such R, and an epoch reads each shard
about once in all: only those that a lane's end cuts in two are read by two.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from mlimages.errors import RecipeError
from mlimages.training.permutation import mix, permute

# Keep these random numbers apart from others keyed by the same seed.
ORDER_STREAM = 2
REMOTE_WINDOW = 1024


@dataclass(frozen=True)
class ShardLayout:
    """Which samples of a split lie in which shard.

    Attributes:
        bounds: int64 [shards + 1]; shard s holds places bounds[s] to bounds[s + 1].
        samples: int32 [samples], the sample at each place; None when they are the same.
    """

    bounds: np.ndarray
    samples: np.ndarray | None = None

    @classmethod
    def of(cls, shards: np.ndarray, offsets: np.ndarray) -> ShardLayout:
        """Sort samples by shard and offset.

        Args:
            shards: integers [samples].
            offsets: integers [samples], in the shard.
        """
        # A database packed in its canonical order needs no sorting, and then no array here.
        order = None
        rising = shards[1:] > shards[:-1]
        if not np.all(rising | ((shards[1:] == shards[:-1]) & (offsets[1:] > offsets[:-1]))):
            order = np.lexsort((offsets, shards)).astype(np.int32)
            shards = shards[order]
        starts = np.flatnonzero(np.diff(shards, prepend=-1) != 0)
        return cls(np.append(starts, len(shards)).astype(np.int64), order)


class DataOrder:
    """The order of a split's samples.

    Args:
        num_samples: size of the split, n.
        seed: the recipe's seed.
        lanes: L; the number of ranks must divide it.
        layout: where the samples lie; None: in no shards, so that their order does not matter.
        window: W, samples of a lane that are permuted together; None: all of them.

    Raises:
        RecipeError: there are no samples.
    """

    def __init__(
        self,
        num_samples: int,
        seed: int,
        lanes: int = 128,
        layout: ShardLayout | None = None,
        window: int | None = None,
    ) -> None:
        if num_samples < 1:
            raise RecipeError("the split", "has no samples", "choose another one")
        self.num_samples, self.seed, self.lanes = num_samples, seed, lanes
        self.window = window
        # Fewer shards than lanes would leave lanes with the same few samples every epoch, and
        # windows that hold all samples together lose nothing by exchanging them.
        few = layout is None or len(layout.bounds) - 1 < lanes
        if few if window is None else num_samples <= lanes * window:
            layout = None
        self.layout = layout
        self._shards: dict[int, tuple[np.ndarray, np.ndarray]] = {}

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
        for epoch in np.unique(epochs).tolist():
            here = epochs == epoch
            samples[here] = self._samples(epoch, places[here])
        return epochs, samples

    def fingerprint(self) -> str:
        """Changes when the same positions may hold other samples; "" for an order without shards.

        The number of samples, seed and lanes are left to the recipe and to the samples' own.
        """
        if self.layout is None:
            return ""
        digest = hashlib.blake2b(str(self.window).encode(), digest_size=16)
        digest.update(self.layout.bounds.tobytes())
        if self.layout.samples is not None:
            digest.update(self.layout.samples.tobytes())
        return digest.hexdigest()

    def _samples(self, epoch: int, places: np.ndarray) -> np.ndarray:
        """The samples at some places of an epoch."""
        number, lane = np.divmod(places, self.lanes)
        if self.layout is None:
            return permute(places, self.num_samples, mix(self.seed, ORDER_STREAM, epoch))
        # Lanes take turns, so the first ones hold one sample more when the division is not even.
        least, more = divmod(self.num_samples, self.lanes)
        start = lane * least + np.minimum(lane, more)
        length = least + (lane < more)
        window = number // self.window if self.window else np.zeros_like(number)
        first = window * (self.window or 0)
        size = np.minimum(length - first, self.window) if self.window else length
        key = mix(self.seed, ORDER_STREAM, epoch, lane, window)
        sequence = start + first + permute(number - first, size, key)
        return self._in_shards(self.layout, epoch, sequence)

    def _in_shards(self, layout: ShardLayout, epoch: int, sequence: np.ndarray) -> np.ndarray:
        """The samples at places of the sequence of shards in their order of the epoch."""
        if epoch not in self._shards:
            bits = np.random.Philox(key=[self.seed, epoch], counter=[0, 0, 0, ORDER_STREAM])
            # NumPy promises that a generator's raw bits never change, unlike `permutation`.
            order = np.argsort(bits.random_raw(len(layout.bounds) - 1), kind="stable")
            ends = np.cumsum(np.diff(layout.bounds)[order])
            # A batch may reach into the next epoch.
            self._shards = {e: kept for e, kept in self._shards.items() if e == epoch - 1}
            self._shards[epoch] = order, ends
        order, ends = self._shards[epoch]
        shard = np.searchsorted(ends, sequence, side="right")
        # From the end of the shard, in the sequence and in the layout alike.
        place = layout.bounds[order[shard] + 1] - (ends[shard] - sequence)
        return place if layout.samples is None else layout.samples[place].astype(np.int64)
