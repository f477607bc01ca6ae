"""How long a run will take and what it will store, from a few measured steps: `train --dry-run`.

Steps are measured at every size of the images that the recipe goes through. A batch that would take
too long here, such as the paper's on a processor, is measured by one group of it.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from dataclasses import dataclass, replace
from itertools import pairwise

from mlimages.database import Database
from mlimages.training.distribution import Ranks, joined
from mlimages.training.recipe import Recipe
from mlimages.training.schedule import learning_rate, total_steps
from mlimages.training.setup import Setup
from mlimages.training.update import update

MEASURED_STEPS = 5
MEASURED_SECONDS = 60.0


@dataclass(frozen=True)
class RunEstimate:
    """What a run will need.

    Attributes:
        recipe: its name.
        processes, device: that were measured.
        steps, epochs, images, categories, parameters: of the run.
        step_seconds: of an update, data included: the mean over the run of the medians at each size
            of the images.
        measured_steps, measured_images: how many were measured after the first of each size, and
            the images of each, from which `step_seconds` is scaled up to a batch.
        hours: for all steps, without evaluation and saving.
        checkpoint_bytes: of one checkpoint.
        storage_bytes: of all that stay at once, one that is being written included.
    """

    recipe: str
    processes: int
    device: str
    steps: int
    epochs: float
    images: int
    categories: int
    parameters: int
    step_seconds: float
    measured_steps: int
    measured_images: int
    hours: float
    checkpoint_bytes: int
    storage_bytes: int


def estimate(db: Database, recipe: Recipe) -> RunEstimate:
    """Train for a few steps, alone or as one of torchrun's processes, and write nothing.

    Raises:
        InputError, RecipeError: as `train`.
    """
    with joined(recipe.hardware.device) as ranks:
        return _estimate(db, recipe, ranks)


def _estimate(db: Database, recipe: Recipe, ranks: Ranks) -> RunEstimate:
    batch = recipe.data.batch_size
    setup = _setup_to_measure(db, recipe, ranks)
    measured_images = setup.recipe.data.batch_size
    epochs = recipe.schedule.epochs
    ends = [min(end, epochs) for end in (0.0, *recipe.data.size_epochs, epochs)]
    step_seconds, measured_steps = 0.0, 0
    for size, (start, end) in zip(
        (*recipe.data.early_sizes, recipe.data.image_size), pairwise(ends), strict=True
    ):
        if start < end:
            seconds, steps = _measure(setup, size, MEASURED_STEPS)
            step_seconds += seconds * batch / measured_images * (end - start) / epochs
            measured_steps += steps
    state, steps = setup.state, total_steps(recipe.schedule, len(setup.data), batch)
    tensors = [*state.model_tensors().values(), *state.training_tensors().values()]
    checkpoint = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    kept = recipe.checkpoint.keep + 1 + (1 if recipe.evaluation.every_epochs else 0)
    return RunEstimate(
        recipe.name,
        ranks.size,
        str(ranks.device),
        steps,
        epochs,
        len(setup.data),
        len(setup.outputs),
        setup.parameters,
        round(step_seconds, 4),
        measured_steps,
        measured_images,
        round(steps * step_seconds / 3600, 3),
        checkpoint,
        checkpoint * kept,
    )


def _setup_to_measure(db: Database, recipe: Recipe, ranks: Ranks) -> Setup:
    """With the recipe's batch, or with one group for each process where that is slow."""
    batch, group = recipe.data.batch_size, recipe.data.batch_norm_group * ranks.size
    if batch > group:
        micro = min(recipe.data.micro_batch, group)
        small = replace(recipe, data=replace(recipe.data, batch_size=group, micro_batch=micro))
        setup = _connected(db, small, ranks)
        seconds, _ = _measure(setup, recipe.data.image_size, 1)
        if ranks.share(seconds * batch / group * MEASURED_STEPS > MEASURED_SECONDS):
            return setup
    return _connected(db, recipe, ranks)


def _connected(db: Database, recipe: Recipe, ranks: Ranks) -> Setup:
    setup = ranks.together(lambda: Setup(db, recipe, ranks))
    setup.connect()
    setup.state.network.train()
    return setup


def _measure(setup: Setup, size: int, most: int) -> tuple[float, int]:
    """Median seconds of updates with images of a size, at most so many, and their number."""
    recipe, ranks = setup.recipe, setup.ranks
    data = replace(recipe.data, image_size=size, early_sizes=(), size_epochs=())
    setup.data.recipe = replace(recipe, data=data)
    rate = learning_rate(recipe.schedule, recipe.optimizer.rate_for(data.batch_size), 0)
    precision, clip_norm = recipe.hardware.precision, recipe.optimizer.clip_norm
    seconds: list[float] = []
    started = time.perf_counter()
    with contextlib.closing(setup.data.steps(0, most + 1)) as batches:
        for batch in batches:
            update(setup.state, batch, rate, precision, clip_norm, ranks)
            seconds.append(time.perf_counter() - started)
            started = time.perf_counter()
            if ranks.share(sum(seconds) > MEASURED_SECONDS):
                break
    # The first step also starts the readers and compiles.
    measured = seconds[1:] or seconds
    return statistics.median(measured), len(measured)
