"""What a transfer would cost, from a few updates of it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mlimages.training.distribution import joined
from mlimages.training.run import RunFolder
from mlimages.transfer.data import TransferPhotos, build_task
from mlimages.transfer.loop import Session
from mlimages.transfer.recipe import TransferRecipe


@dataclass(frozen=True)
class Cost:
    """What a run would take, from updates that were made and forgotten.

    Attributes:
        steps: of the whole run.
        seconds_per_step: mean of the measured ones.
        hours: of all steps, without tests.
        device, processes: on which, and by how many, they were measured.
    """

    steps: int
    seconds_per_step: float
    hours: float
    device: str
    processes: int = 1


def measure_cost(recipe: TransferRecipe, photos: TransferPhotos, measured: int = 2) -> Cost:
    """Make one update to warm up and a few that are timed, on real photos; nothing is kept."""
    run: RunFolder[TransferRecipe] = RunFolder(Path("-"), recipe)
    workers = ThreadPoolExecutor(recipe.data.workers)
    with joined(recipe.hardware.device) as ranks, workers as pool:
        task = ranks.together(lambda: build_task(recipe, photos))
        session = Session(run, task, ranks, fresh=True)
        for number in range(measured + 1):
            if number == 1:
                started = time.perf_counter()
            session.update(session.read(session.fetch(pool)), 0.0)
        seconds = (time.perf_counter() - started) / measured
        total = session.total_steps
        return Cost(total, seconds, seconds * total / 3600, str(ranks.device), ranks.size)
