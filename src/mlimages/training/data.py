"""The steps of a training run, from any one on: batches in order, read ahead and cut to measure.

Threads read ahead: the decoder, OpenCV and numba leave Python's lock alone while they work, which
keeps about eight cores busy; beyond that, or beside other busy Python threads, use processes. What
a sample looks like depends on (seed, epoch, row) only, so neither changes anything.
"""

from __future__ import annotations

import logging
import math
import signal
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.utils.data import DataLoader

from mlimages.errors import TrainingError
from mlimages.images.shards import ShardReader
from mlimages.losses.targets import SparseTargets
from mlimages.selection import Selection
from mlimages.training.dataset import Batch, Keys, ShardDataset, collate
from mlimages.training.distribution import Ranks
from mlimages.training.division import Division, check_lanes, lane_places
from mlimages.training.mixing import Mixture, draw_mixture
from mlimages.training.recipe import Recipe
from mlimages.training.tags import TagMatrix
from mlimages.training.threads import image_threads

logger = logging.getLogger(__name__)

IMAGES_PER_TASK = 16


@dataclass(frozen=True)
class MicroBatch:
    """The images of one forward pass.

    Attributes:
        images: uint8 [b, size, size, 3].
        targets: their tags.
        group_sizes: how many of them, one after the other, are normalised together.
    """

    images: torch.Tensor
    targets: SparseTargets
    group_sizes: tuple[int, ...]


@dataclass(frozen=True)
class StepData:
    """One update's images and tags, as one rank sees it.

    Attributes:
        rows: int64 [batch]; the database's rows, after replacing broken images, of all ranks.
        parts: this rank's micro-batches.
        targets: tags of the whole batch, of all ranks, without known absences.
        groups: of batch normalisation, in the whole batch.
    """

    rows: np.ndarray
    parts: list[MicroBatch]
    targets: SparseTargets
    groups: int


class BrokenImages:
    """Images that failed to decode during training: named, counted, and limited."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.reasons: dict[int, str] = {}

    def add(self, row: int, reason: str) -> None:
        """Note an image; raises TrainingError when there are more than the limit."""
        if row in self.reasons:
            return
        self.reasons[row] = reason
        logger.warning("image of row %d is broken (%s); another one takes its place", row, reason)
        if len(self.reasons) > self._limit:
            raise TrainingError(
                "the training images",
                f"{len(self.reasons)} are broken, more than data.broken_limit allows",
                "run: mlimages check DB",
            )


class TrainingData:
    """The steps of a run, from any one on.

    Args:
        reader: gives an image's bytes by row.
        selection: the split.
        tags: its tags as targets.
        recipe: decides everything else.
        ranks: the processes that share each batch.

    Raises:
        RecipeError: a batch cannot be divided among the ranks.
    """

    def __init__(
        self,
        reader: ShardReader,
        selection: Selection,
        tags: TagMatrix,
        recipe: Recipe,
        ranks: Ranks | None = None,
    ) -> None:
        self.recipe, self.tags, self.ranks = recipe, tags, ranks or Ranks()
        settings = recipe.data
        self.dataset = ShardDataset(
            reader,
            selection,
            tags,
            recipe.augmentation,
            settings.image_size,
            recipe.seed,
            settings.read_seconds,
        )
        self.order = self.dataset.order(recipe.seed, settings.lanes, settings.window or None)
        check_lanes(settings.lanes, self.ranks)
        batch, group = settings.batch_size, settings.batch_norm_group
        self.division = Division.of(batch, group, self.ranks, settings.micro_batch)
        self._lane_places = lane_places(settings.lanes)
        self.broken = BrokenImages(math.ceil(settings.broken_limit * len(selection)))

    def __len__(self) -> int:
        return len(self.dataset)

    def steps(self, first: int, last: int) -> Generator[StepData, None, None]:
        """The data of steps first to last - 1, reading ahead in threads or processes."""
        settings = self.recipe.data
        if settings.workers == 0:
            for step in range(first, last):
                planned = self._plan(step)
                for part in planned.tasks:
                    planned.broken.update(self._fill(planned, part))
                yield self._collect(planned)
        elif settings.worker_kind == "threads":
            yield from self._with_threads(first, last)
        else:
            yield from self._with_processes(first, last)

    def _with_threads(self, first: int, last: int) -> Iterator[StepData]:
        # Large batches hold much memory: one more than the one in use is enough to overlap.
        ahead = 3 if self.recipe.data.batch_size <= 1024 else 1
        pending: deque[tuple[_PlannedStep, list[Future[dict[int, str]]]]] = deque()
        with image_threads(self.recipe.data.workers) as pool:
            for step in range(first, last):
                while len(pending) <= ahead and step + len(pending) < last:
                    planned = self._plan(step + len(pending))
                    tasks = [pool.submit(self._fill, planned, part) for part in planned.tasks]
                    pending.append((planned, tasks))
                planned, tasks = pending.popleft()
                for task in tasks:
                    planned.broken.update(task.result())
                yield self._collect(planned)

    def _with_processes(self, first: int, last: int) -> Iterator[StepData]:
        pending: deque[_PlannedStep] = deque()

        def keys() -> Iterator[Keys]:  # the loader asks for them as its workers become free
            for step in range(first, last):
                pending.append(self._plan(step))
                for part in pending[-1].tasks:
                    planned = pending[-1]
                    epochs, samples = planned.epochs[part], planned.samples[part]
                    yield Keys(epochs, samples, size=planned.images.shape[1])

        batches: Iterator[Batch] = iter(
            DataLoader(
                self.dataset,
                # The stubs know lists only; the loader hands on whatever comes.
                batch_sampler=keys(),  # type: ignore[arg-type]
                collate_fn=collate,
                num_workers=self.recipe.data.workers,
                prefetch_factor=4,
                worker_init_fn=_leave_signals_to_the_parent,
            )
        )
        for _ in range(first, last):
            try:
                batch = next(batches)
                planned = pending.popleft()
                for number, part in enumerate(planned.tasks):
                    batch = batch if number == 0 else next(batches)
                    planned.broken.update(batch.broken)
                    planned.samples[part] = batch.samples.numpy()
                    planned.images[part] = batch.images.numpy()
            except RuntimeError as error:  # what torch makes of any error in a worker
                cause = str(error).strip().splitlines()[-1]
                raise TrainingError(
                    "the loading processes", cause, "set data.worker_kind=threads, or fewer workers"
                ) from error
            yield self._collect(planned)

    def _plan(self, step: int) -> _PlannedStep:
        size = self.recipe.data.batch_size
        epochs, samples = self.order.batch(step * size, size)
        lanes = np.arange(step * size, (step + 1) * size) % len(self) % len(self._lane_places)
        order = np.argsort(self._lane_places[lanes], kind="stable")
        epochs, samples, share = epochs[order], samples[order], self.division.share
        side = self.recipe.data.size_at(step * size / len(self))
        images = np.empty((share.stop - share.start, side, side, 3), dtype=np.uint8)
        mixture = None
        if self.recipe.mixing:
            settings, seed, groups = self.recipe.mixing, self.recipe.seed, self.division.bounds
            mixture = draw_mixture(settings, seed, epochs, samples, groups, side)
        return _PlannedStep(epochs[share], samples[share].copy(), images, samples, mixture)

    def _fill(self, planned: _PlannedStep, part: slice) -> dict[int, str]:
        return self.dataset.fill(planned.epochs[part], planned.samples[part], planned.images[part])

    def _collect(self, planned: _PlannedStep) -> StepData:
        samples, images, mixture = planned.samples, planned.images, planned.mixture
        parts, start, first = [], 0, self.division.share.start
        for sizes in self.division.passes:
            part = slice(start, start + sum(sizes))
            targets = self.tags.take(samples[part])
            if mixture is not None:
                mixed = mixture.part(slice(first + part.start, first + part.stop))
                mixed.mix_images(images[part])
                targets = mixed.mix_targets(targets, self.recipe.loss.weight_of_unknown)
            parts.append(MicroBatch(torch.from_numpy(images[part]), targets, sizes))
            start = part.stop
        everyones = self.ranks.gather(samples)
        if not np.array_equal(everyones, planned.batch):  # on some rank, broken ones were replaced
            for broken in self.ranks.collect(planned.broken):
                for row, reason in broken.items():
                    self.broken.add(row, reason)
        targets = self.tags.present(everyones)
        if mixture is not None:
            targets = mixture.mix_targets(targets)
        rows = self.dataset.rows[everyones].astype(np.int64)
        return StepData(rows, parts, targets, self.division.groups)


@dataclass
class _PlannedStep:
    epochs: np.ndarray
    samples: np.ndarray
    images: np.ndarray
    batch: np.ndarray  # the samples of all ranks
    mixture: Mixture | None  # of all ranks
    broken: dict[int, str] = field(default_factory=dict)

    @property
    def tasks(self) -> list[slice]:
        """Parts of the batch that one worker fills."""
        starts = range(0, len(self.samples), IMAGES_PER_TASK)
        return [slice(start, start + IMAGES_PER_TASK) for start in starts]


def _leave_signals_to_the_parent(worker: int) -> None:
    # Ctrl-C and a scheduler's SIGTERM reach all processes; the parent saves first, then ends us.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
