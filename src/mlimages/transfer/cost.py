"""What a transfer would cost, from a few updates of it."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from mlimages.training.distribution import joined
from mlimages.training.run import RunFolder
from mlimages.transfer.data import TransferPhotos, build_task
from mlimages.transfer.loop import Transfer
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
    with joined(recipe.hardware.device) as ranks:
        task = ranks.together(lambda: build_task(recipe, photos))
        session = Transfer(run, task, ranks)
        with closing(session.batches(measured + 1)) as batches:
            for number, batch in enumerate(batches):
                if number == 1:
                    started = time.perf_counter()
                session.update(batch, 0.0)
        seconds = (time.perf_counter() - started) / measured
        total = session.total_steps
        return Cost(total, seconds, seconds * total / 3600, str(ranks.device), ranks.size)
