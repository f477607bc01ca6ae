"""A training step against a bare PyTorch loop with the same network and plain cross-entropy.

Both take the recipe `photos` on photos of tiny-imagenet and read, decode and augment each batch
inside their step, by the same code and without workers, so that nothing runs ahead in the other's
time. The bare side is what a tutorial has: forward, torch's cross-entropy on a dense target,
backward, SGD. Ours adds the paper's loss, batch normalisation in groups, and the watch over the
loss and the gradient. Steps take turns on one core; seconds are of the processor.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from harness import Outcome, medians, one_core, real_data
from torch import nn

from mlimages.database import Database
from mlimages.training.distribution import Ranks
from mlimages.training.recipe import Recipe, find_recipe
from mlimages.training.setup import Setup
from mlimages.training.update import normalise, update

WARM_UP = 3
RESAMPLES = 2_000


def measure(quick: bool, db: Database) -> Outcome:
    """Interleaved steps, the median of the ratios of neighbours, and its 95 % interval."""
    steps = 12 if quick else 60
    # One group, so that both sides normalise, and pass forward, the same images together.
    changes = ("data.batch_norm_group=64", "data.workers=0", "hardware.device=cpu")
    recipe = find_recipe("photos").override(*changes)
    with one_core():
        ours, bare = OurSide(db, recipe, steps), BareSide(db, recipe, steps)
        times: dict[str, list[float]] = {"step": [], "bare_step": []}
        for number in range(WARM_UP + steps):
            # The one that goes first changes: neither always finds the other's data in the caches.
            pair = [("step", ours.step), ("bare_step", bare.step)]
            for name, step in pair if number % 2 else reversed(pair):
                start = time.process_time()
                step()
                if number >= WARM_UP:
                    times[name].append(time.process_time() - start)
    pairs = np.array(times["step"]) / np.array(times["bare_step"])
    low, high = interval(pairs)
    return Outcome(
        seconds=medians(times),
        ratios={"step_vs_bare_loop": float(np.median(pairs))},
        raw=times,
        figures={
            "step_vs_bare_loop, 95 % from": low,
            "step_vs_bare_loop, 95 % to": high,
            "step images": recipe.data.batch_size,
            "step categories": len(ours.setup.outputs),
        },
    )


def photos(folder: Path, classes: int) -> Database:
    """A database of some classes of tiny-imagenet, 100 photos each."""
    tars = sorted((real_data("tiny-imagenet") / "train").glob("*.tar"))[:classes]
    source, db = folder / "photos", folder / "DB"
    source.mkdir()
    for tar in tars:
        (source / tar.name).symlink_to(tar)
    for command in (["import", "imagenet", source, db], ["complete", db], ["pack", db]):
        words = [sys.executable, "-m", "mlimages", *map(str, command)]
        subprocess.run(words, check=True, capture_output=True)
    return Database.open(db)


def interval(pairs: np.ndarray) -> tuple[float, float]:
    """95 % of the medians of samples drawn from the pairs with replacement."""
    drawn = np.random.default_rng(0).choice(pairs, (RESAMPLES, len(pairs)))
    low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
    return float(low), float(high)


class OurSide:
    """The loop's own step."""

    def __init__(self, db: Database, recipe: Recipe, steps: int) -> None:
        self.recipe = recipe
        self.setup = Setup(db, recipe, Ranks())
        self.setup.connect()
        self.setup.state.network.train()
        self.batches = self.setup.data.steps(0, WARM_UP + steps)

    def step(self) -> None:
        """One update."""
        update(self.setup.state, next(self.batches), self.recipe.optimizer.learning_rate)


class BareSide:
    """Forward, cross-entropy, backward, step."""

    def __init__(self, db: Database, recipe: Recipe, steps: int) -> None:
        setup = Setup(db, recipe, Ranks())
        self.network: nn.Module = setup.state.network.train()
        self.optimizer = torch.optim.SGD(
            self.network.parameters(),
            recipe.optimizer.learning_rate,
            recipe.optimizer.momentum,
            weight_decay=recipe.optimizer.weight_decay,
        )
        self.batches = setup.data.steps(0, WARM_UP + steps)

    def step(self) -> None:
        """One update."""
        batch = next(self.batches)
        images = torch.cat([part.images for part in batch.parts])
        truth = batch.targets.dense()
        self.optimizer.zero_grad()
        logits = self.network(normalise(images))
        loss = F.binary_cross_entropy_with_logits(logits, truth, reduction="sum") / len(images)
        loss.backward()
        self.optimizer.step()
        loss.item()  # for the log, as in ours
