"""A PyTorch dataset over packed images and their tags, for any DataLoader.

    dataset = ShardDataset(db.reader(), selection, tags, AugmentationSettings(), size=224)
    sampler = LaneSampler(dataset.order(seed=0), batch_size=256, rank=0, ranks=8)
    for batch in DataLoader(dataset, batch_sampler=sampler, collate_fn=collate, num_workers=4):
        step(batch.images, batch.targets)

What an image looks like depends on (seed, epoch, row) only, and which image comes when on the
number of samples seen only: workers, ranks and resuming change neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from mlimages.errors import MlimagesError, TrainingError, require
from mlimages.images.augmentation import AugmentationSettings, draw
from mlimages.images.random_numbers import Uniform, sample_generator, sample_generators
from mlimages.images.shards import ShardReader
from mlimages.images.timed_reads import TimedReads
from mlimages.images.views import train_view
from mlimages.losses.targets import SparseTargets
from mlimages.selection import Selection
from mlimages.training.order import REMOTE_WINDOW, DataOrder, ShardLayout
from mlimages.training.sharing import SharedState
from mlimages.training.tags import TagMatrix

REPLACEMENT_STREAM = 3  # keeps these random numbers apart from others keyed by the same seed
REPLACEMENT_TRIES = 20


@dataclass(frozen=True)
class Keys:
    """The samples of a batch, before they are read.

    Attributes:
        epochs: int64 [batch].
        samples: int64 [batch], positions in the split.
        samples_seen: by all ranks, with this batch; what a checkpoint has to keep.
        size: side of the images, pixels; 0: the dataset's.
    """

    epochs: np.ndarray
    samples: np.ndarray
    samples_seen: int = 0
    size: int = 0

    def __len__(self) -> int:
        return len(self.samples)


@dataclass(frozen=True)
class Batch:
    """Images and tags.

    Attributes:
        samples: int64 [batch]; positions in the split, after replacing broken images.
        rows: int64 [batch]; their rows in the database.
        images: uint8 [batch, size, size, 3].
        targets: their tags.
        samples_seen: as in Keys.
        broken: why, by row, of images of this batch that another one has replaced.
    """

    samples: torch.Tensor
    rows: torch.Tensor
    images: torch.Tensor
    targets: SparseTargets
    samples_seen: int = 0
    broken: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def pin_memory(self) -> Batch:
        """The same in page-locked memory; the DataLoader calls this for `pin_memory=True`."""
        return replace(self, images=self.images.pin_memory())

    def to(self, device: torch.device | str) -> Batch:
        """The same with images and targets on a device."""
        images = self.images.to(device, non_blocking=True)
        return replace(self, images=images, targets=self.targets.to(device))


class ShardDataset(Dataset[Batch]):
    """The augmented images of a split and their tags, as a map-style dataset.

    An index is a position in the split; its augmentation is then random, from the generator of
    torch, which a DataLoader seeds in each worker. `Keys`, from a LaneSampler, are augmented by
    (seed, epoch, row). Each answer is a Batch; `collate` joins them.
    """

    def __init__(
        self,
        reader: ShardReader,
        selection: Selection,
        tags: TagMatrix,
        augmentation: AugmentationSettings,
        size: int = 224,
        seed: int = 0,
        read_seconds: float = 60.0,
    ) -> None:
        """Read nothing yet.

        Args:
            reader: gives an image's bytes by row.
            selection: the split.
            tags: its tags as targets.
            augmentation: of all images.
            size: side of the square images, pixels.
            seed: of augmentation and replacements.
            read_seconds: the longest wait for an image's bytes, after which another image takes
                its place; 0: for ever.
        """
        self.tags, self.augmentation, self.size, self.seed = tags, augmentation, size, seed
        self.rows = selection.rows
        self._reader = reader
        self._reads = TimedReads(reader, read_seconds)
        self._shared: SharedState | None = None
        _keep_opencv_to_one_thread()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, keys: Keys | Sequence[int]) -> Batch:
        """One batch.

        Raises:
            TrainingError: an image and its replacements are all broken.
        """
        if not isinstance(keys, Keys):
            keys = Keys(torch.randint(2**62, (len(keys),)).numpy(), np.array(keys, dtype=np.int64))
        samples = keys.samples.copy()
        side = keys.size or self.size
        images = np.empty((len(samples), side, side, 3), dtype=np.uint8)
        broken = self.fill(keys.epochs, samples, images)
        return Batch(
            torch.from_numpy(samples),
            torch.from_numpy(self.rows[samples].astype(np.int64)),
            torch.from_numpy(images),
            self.tags.take(samples),
            keys.samples_seen,
            broken,
        )

    def order(self, seed: int = 0, lanes: int = 128, window: int | None = None) -> DataOrder:
        """The design's order of the split; see order.py.

        Args:
            seed: another one gives another order.
            lanes: the number of ranks must divide it.
            window: samples of a lane that are permuted together; None: all of them when the shards
                are on this machine, 1,024 when they are in an object store.
        """
        if window is None and self._reader.remote:
            window = REMOTE_WINDOW
        layout = ShardLayout.of(*self._reader.places(self.rows))
        return DataOrder(len(self), seed, lanes, layout, window)

    def fill(self, epochs: np.ndarray, samples: np.ndarray, images: np.ndarray) -> dict[int, str]:
        """Write augmented images in place; where one is broken, also the sample that replaces it.

        Args:
            epochs: int64 [k].
            samples: int64 [k], positions in the split.
            images: uint8 [k, side, side, 3] of any side, overwritten.

        Returns:
            why, by row, of the images that were replaced.

        Raises:
            TrainingError: an image and its replacements are all broken.
        """
        broken: dict[int, str] = {}
        failed = []
        rows = self.rows[samples].tolist()
        numbers = sample_generators(self.seed, epochs.tolist(), rows)
        for position, data in enumerate(self._reads.read(rows)):
            try:
                self._view(data, numbers[position], images[position])
            except MlimagesError as error:
                broken[rows[position]] = error.cause
                failed.append(position)
        for position in failed:
            epoch, sample = int(epochs[position]), int(samples[position])
            samples[position] = self._replace(epoch, sample, images[position], broken)
        return broken

    def _view(self, data: bytes | MlimagesError, numbers: Uniform, image: np.ndarray) -> None:
        if isinstance(data, MlimagesError):
            raise data
        train_view(data, len(image), draw(self.augmentation, numbers), image)

    def _replace(self, epoch: int, sample: int, image: np.ndarray, broken: dict[int, str]) -> int:
        """Write another image; returns its sample."""
        first = int(self.rows[sample])
        candidates = np.random.Philox(
            key=[self.seed, first], counter=[0, 0, epoch, REPLACEMENT_STREAM]
        )
        for _ in range(REPLACEMENT_TRIES):
            sample = int(candidates.random_raw() % len(self))
            row = int(self.rows[sample])
            try:
                (data,) = self._reads.read([row])
                self._view(data, sample_generator(self.seed, epoch, row), image)
            except MlimagesError as error:
                broken[row] = error.cause
            else:
                return sample
        raise TrainingError(
            f"image of row {first}", "it and its replacements are broken", "run: mlimages check DB"
        )

    def __getstate__(self) -> tuple[Any, ...]:
        if self._shared is None:
            self._shared = SharedState(self.__dict__ | {"_shared": None})
        return self._shared.recipe()

    def __setstate__(self, recipe: tuple[Any, ...]) -> None:
        function, arguments = recipe
        self.__dict__.update(function(*arguments))
        _keep_opencv_to_one_thread()


def _keep_opencv_to_one_thread() -> None:
    # Workers are as many as are wanted already. It must happen before a process is forked: one that
    # inherits OpenCV's pool waits for ever for threads that it does not have.
    require("cv2", extra="train").setNumThreads(1)


class LaneSampler(Sampler[Keys]):
    """The batches of one rank in the design's order, from any number of samples seen on."""

    def __init__(
        self,
        order: DataOrder,
        batch_size: int,
        samples_seen: int = 0,
        stop: int | None = None,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        """Compute nothing yet.

        Args:
            order: of the split's samples.
            batch_size: samples of all ranks together.
            samples_seen: where to start.
            stop: number of samples seen at which to stop; the last batch may be smaller. None: at
                the end of the epoch that `samples_seen` is in.
            rank: of this process.
            ranks: number of processes; divides the order's lanes.
        """
        self.order, self.batch_size, self.samples_seen = order, batch_size, samples_seen
        epoch = samples_seen // order.num_samples
        self.stop = (epoch + 1) * order.num_samples if stop is None else stop
        self.rank, self.ranks = rank, ranks

    def __len__(self) -> int:
        return -(-max(0, self.stop - self.samples_seen) // self.batch_size)

    def __iter__(self) -> Iterator[Keys]:
        for seen in range(self.samples_seen, self.stop, self.batch_size):
            size = min(self.batch_size, self.stop - seen)
            epochs, samples = self.order.batch(seen, size, self.rank, self.ranks)
            yield Keys(epochs, samples, seen + size)


def collate(batches: Batch | Sequence[Batch]) -> Batch:
    """Join what a ShardDataset gave; for `DataLoader(collate_fn=collate)`."""
    if isinstance(batches, Batch):
        return batches
    return Batch(
        torch.cat([batch.samples for batch in batches]),
        torch.cat([batch.rows for batch in batches]),
        torch.cat([batch.images for batch in batches]),
        SparseTargets.concatenate([batch.targets for batch in batches]),
        max(batch.samples_seen for batch in batches),
        {row: reason for batch in batches for row, reason in batch.broken.items()},
    )
