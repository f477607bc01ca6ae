"""From a database's split to batches: order, decoding, augmentation and sparse targets.

A pool of threads reads ahead: the decoder and OpenCV leave Python's lock while they work, and about
5,000 images of 64 pixels a second is far more than a network takes on the CPU. What a sample looks
like depends on (seed, epoch, row) only, so the number of threads changes nothing.
"""

from __future__ import annotations

import hashlib
import logging
import math
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from mlimages.database import Selection
from mlimages.errors import InputError, MlimagesError, TrainingError, require
from mlimages.images.augmentation import draw, sample_generator, train_image
from mlimages.images.shards import ShardReader
from mlimages.losses.targets import SparseTargets
from mlimages.training.order import DataOrder
from mlimages.training.recipe import Recipe

logger = logging.getLogger(__name__)

REPLACEMENT_STREAM = 3  # keeps these random numbers apart from others keyed by the same seed
IMAGES_PER_TASK = 16
READ_AHEAD = 64
REPLACEMENT_TRIES = 20


class TagMatrix:
    """The tags of a split, renumbered to the model's outputs.

    Args:
        selection: images and their tags as vocabulary indices.
        outputs: vocabulary indices of the model's outputs, in order.
    """

    def __init__(self, selection: Selection, outputs: np.ndarray) -> None:
        self.num_classes = len(outputs)
        size = int(max(selection.categories.max(initial=-1), outputs.max(initial=-1))) + 1
        place = np.full(size, -1, dtype=np.int32)
        place[outputs] = np.arange(len(outputs), dtype=np.int32)
        indices = place[selection.categories]
        kept = indices >= 0
        before = np.concatenate([[0], np.cumsum(kept)])
        self.indptr = before[selection.indptr]
        self.indices = indices[kept]
        self.values = selection.confidences[kept].astype(np.float32)

    def frequencies(self) -> np.ndarray:
        """Images of each output, int64 [num_classes]."""
        return np.bincount(self.indices, minlength=self.num_classes)

    def take(self, samples: np.ndarray) -> SparseTargets:
        """The tags of some images of the split, by their position in it."""
        starts, counts = self.indptr[samples], np.diff(self.indptr)[samples]
        indptr = np.concatenate([[0], np.cumsum(counts)])
        entries = np.repeat(starts - indptr[:-1], counts) + np.arange(indptr[-1])
        return SparseTargets(
            torch.from_numpy(indptr),
            torch.from_numpy(self.indices[entries].astype(np.int64)),
            torch.from_numpy(self.values[entries]),
            self.num_classes,
        )


def choose_outputs(selection: Selection, minimum_images: int) -> np.ndarray:
    """Vocabulary indices of the categories with enough images, in vocabulary order.

    Raises:
        InputError: there is none.
    """
    outputs = np.flatnonzero(np.bincount(selection.categories) >= minimum_images)
    if len(outputs) == 0:
        raise InputError(
            "the training images",
            f"no category has {minimum_images} or more",
            "lower data.minimum_images, or run: mlimages complete",
        )
    return outputs


def fingerprint(selection: Selection, keys: Sequence[str]) -> str:
    """32 hexadecimal digits that change when the images or their tags do."""
    digest = hashlib.blake2b(digest_size=16)
    for array in (
        selection.rows.astype(np.int64),
        selection.indptr.astype(np.int64),
        selection.categories.astype(np.int64),
        selection.confidences.astype(np.float32),
    ):
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update("\n".join(keys).encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class StepData:
    """One update's images and tags.

    Attributes:
        rows: int64 [batch]; the database's rows, after replacing broken images.
        parts: micro-batches, each images uint8 [b, size, size, 3] and their targets.
        targets: tags of the whole batch.
    """

    rows: np.ndarray
    parts: list[tuple[torch.Tensor, SparseTargets]]
    targets: SparseTargets


class BrokenImages:
    """Images that failed to decode during training: named, counted, and limited."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self.reasons: dict[int, str] = {}

    def add(self, row: int, reason: str) -> None:
        """Note an image; raises TrainingError when there are more than the limit."""
        with self._lock:
            if row in self.reasons:
                return
            self.reasons[row] = reason
            count = len(self.reasons)
        logger.warning("image of row %d is broken (%s); another one takes its place", row, reason)
        if count > self._limit:
            raise TrainingError(
                "the training images",
                f"{count} are broken, more than data.broken_limit allows",
                "run: mlimages check DB",
            )


class TrainingData:
    """The steps of a run, from any one on.

    Args:
        reader: decodes an image by its row.
        selection: the split.
        tags: its tags as targets.
        recipe: decides everything else.
    """

    def __init__(
        self, reader: ShardReader, selection: Selection, tags: TagMatrix, recipe: Recipe
    ) -> None:
        self.recipe, self.tags = recipe, tags
        self.size = recipe.data.image_size
        self._reader, self._rows = reader, selection.rows
        self._order = DataOrder(len(selection), recipe.seed, recipe.data.lanes)
        self.broken = BrokenImages(math.ceil(recipe.data.broken_limit * len(selection)))

    def __len__(self) -> int:
        return len(self._rows)

    def steps(self, first: int, last: int) -> Generator[StepData, None, None]:
        """The data of steps first to last - 1, reading ahead in other threads."""
        if self.recipe.data.workers == 0:
            for step in range(first, last):
                yield self._collect(self._plan(step, None))
            return
        # Large batches hold much memory: one more than the one in use is enough to overlap.
        ahead = 3 if self.recipe.data.batch_size <= 1024 else 1
        pending: deque[_PlannedStep] = deque()
        with _threads(self.recipe.data.workers) as pool:
            for step in range(first, last):
                while len(pending) <= ahead and step + len(pending) < last:
                    pending.append(self._plan(step + len(pending), pool))
                yield self._collect(pending.popleft())

    def load(self, epoch: int, sample: int) -> np.ndarray:
        """One augmented image, uint8 [size, size, 3]; raises MlimagesError when it is broken."""
        row = int(self._rows[sample])
        settings = self.recipe.augmentation
        array = self._reader.image(row, self._minimum_side())
        parameters = draw(settings, sample_generator(self.recipe.seed, epoch, row))
        return train_image(array, self.size, parameters)

    def _minimum_side(self) -> int:
        # The smallest crop still has this many pixels: decoding may shrink a photo down to it.
        area, aspect = self.recipe.augmentation.area[0], self.recipe.augmentation.aspect[0]
        return math.ceil(self.size / math.sqrt(area * aspect))

    def _plan(self, step: int, pool: ThreadPoolExecutor | None) -> _PlannedStep:
        settings = self.recipe.data
        epochs, samples = self._order.batch(step * settings.batch_size, settings.batch_size)
        images = np.empty((len(samples), self.size, self.size, 3), dtype=np.uint8)
        planned = _PlannedStep(samples, images, [])
        for start in range(0, len(samples), IMAGES_PER_TASK):
            where = slice(start, start + IMAGES_PER_TASK)
            arguments = (epochs[where], samples[where], images[where])
            if pool is None:
                self._fill(*arguments)
            else:
                planned.tasks.append(pool.submit(self._fill, *arguments))
        return planned

    def _fill(self, epochs: np.ndarray, samples: np.ndarray, images: np.ndarray) -> None:
        """Write images in place; where one is broken, also the sample that replaces it."""
        for position, (epoch, sample) in enumerate(
            zip(epochs.tolist(), samples.tolist(), strict=True)
        ):
            used, images[position] = self._load_or_replace(epoch, sample)
            samples[position] = used

    def _load_or_replace(self, epoch: int, sample: int) -> tuple[int, np.ndarray]:
        row = int(self._rows[sample])
        candidates = np.random.Philox(
            key=[self.recipe.seed, row], counter=[0, 0, epoch, REPLACEMENT_STREAM]
        )
        for _ in range(REPLACEMENT_TRIES):
            try:
                return sample, self.load(epoch, sample)
            except MlimagesError as error:
                self.broken.add(int(self._rows[sample]), error.cause)
                sample = int(candidates.random_raw() % len(self))
        raise TrainingError(
            f"image of row {row}", "it and its replacements are broken", "run: mlimages check DB"
        )

    def _collect(self, planned: _PlannedStep) -> StepData:
        for task in planned.tasks:
            task.result()
        samples, images = planned.samples, torch.from_numpy(planned.images)
        micro = self.recipe.data.micro_batch or len(samples)
        # Equal parts of at least two images: one alone would have no batch statistics.
        count = max(1, min(math.ceil(len(samples) / micro), len(samples) // 2))
        bounds = np.linspace(0, len(samples), count + 1).astype(int)
        parts = [
            (images[start:stop], self.tags.take(samples[start:stop]))
            for start, stop in pairwise(bounds)
        ]
        targets = parts[0][1] if len(parts) == 1 else self.tags.take(samples)
        return StepData(self._rows[samples].astype(np.int64), parts, targets)


@dataclass
class _PlannedStep:
    samples: np.ndarray
    images: np.ndarray
    tasks: list[Future[None]]


def read_images(
    reader: ShardReader, rows: np.ndarray, minimum_side: int | None, workers: int = 2
) -> Iterator[tuple[int, np.ndarray | str]]:
    """Decode images in order, reading ahead in other threads.

    Yields:
        (position in `rows`, RGB uint8 [height, width, 3]), or the reason in the image's place when
        it is broken.
    """

    def read(row: int) -> np.ndarray | str:
        try:
            return reader.image(row, minimum_side)
        except MlimagesError as error:
            return error.cause

    pending: deque[Future[np.ndarray | str]] = deque()
    with _threads(workers) as pool:
        for position in range(len(rows)):
            while len(pending) < READ_AHEAD and position + len(pending) < len(rows):
                pending.append(pool.submit(read, int(rows[position + len(pending)])))
            yield position, pending.popleft().result()


@contextmanager
def _threads(workers: int) -> Iterator[ThreadPoolExecutor]:
    """A pool that drops what it has not begun when it is left, for instance by Ctrl-C."""
    cv2 = require("cv2", extra="train")
    threads = cv2.getNumThreads()
    # OpenCV's own threads would spin beside ours: on small images they double the processor time.
    cv2.setNumThreads(1)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="images")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        cv2.setNumThreads(threads)
