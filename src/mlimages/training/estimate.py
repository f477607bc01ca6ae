"""How long a run will take and what it will store, from a few measured steps: `train --dry-run`."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

from mlimages.database import Database
from mlimages.training.distribution import Ranks, joined
from mlimages.training.recipe import Recipe
from mlimages.training.schedule import learning_rate
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
        step_seconds: the median of `measured_steps` steps after the first, data included.
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
    setup = ranks.together(lambda: Setup(db, recipe, ranks))
    setup.connect()
    state = setup.state
    state.network.train()
    rate = learning_rate(recipe.schedule, recipe.optimizer.rate_for(recipe.data.batch_size), 0)
    precision, clip_norm = recipe.hardware.precision, recipe.optimizer.clip_norm
    seconds: list[float] = []
    batches = setup.data.steps(0, MEASURED_STEPS + 1)
    started = time.perf_counter()
    for batch in batches:
        update(state, batch, rate, precision, clip_norm, ranks)
        seconds.append(time.perf_counter() - started)
        started = time.perf_counter()
        if ranks.share(sum(seconds) > MEASURED_SECONDS):
            break
    batches.close()
    # The first step also starts the readers and compiles.
    measured = seconds[1:] or seconds
    step_seconds = statistics.median(measured)
    tensors = [*state.model_tensors().values(), *state.training_tensors().values()]
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    kept = recipe.checkpoint.keep + 1 + (1 if recipe.evaluation.every_epochs else 0)
    return RunEstimate(
        recipe.name,
        ranks.size,
        str(ranks.device),
        setup.total_steps,
        recipe.schedule.epochs,
        len(setup.data),
        len(setup.outputs),
        setup.parameters,
        round(step_seconds, 4),
        len(measured),
        round(setup.total_steps * step_seconds / 3600, 3),
        size,
        size * kept,
    )
