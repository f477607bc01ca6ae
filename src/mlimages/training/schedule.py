"""The learning rate as a function of how far a run has come."""

from __future__ import annotations

import math

from mlimages.training.settings import ScheduleSettings


def learning_rate(settings: ScheduleSettings, peak: float, epoch: float) -> float:
    """The learning rate of a step.

    A warm-up, in stairs or straight, then, counted from the start of training, either decays at
    given epochs or half a cosine down to 0. The paper: 0.01 x 1.297^k in warm-up epoch k, 0.08 from
    epoch 8, a tenth of that from epoch 25 and again from epoch 50.

    Args:
        settings: the recipe's schedule.
        peak: optimizer.learning_rate.
        epoch: samples seen before the step / images of the split.
    """
    factor = 1.0
    if epoch < settings.warmup_epochs and settings.warmup == "linear":
        factor = 1 + (settings.warmup_start - 1) * (1 - epoch / settings.warmup_epochs)
    elif epoch < settings.warmup_epochs:
        stair = math.floor(epoch * settings.warmup_stairs / settings.warmup_epochs)
        factor = min(1.0, settings.warmup_start * settings.warmup_growth**stair)
    if settings.name == "cosine":
        return peak * factor * 0.5 * (1 + math.cos(math.pi * min(1.0, epoch / settings.epochs)))
    decays = sum(epoch >= start for start in settings.decay_epochs)
    return peak * factor * settings.decay_factor**decays


def total_steps(settings: ScheduleSettings, num_samples: int, batch_size: int) -> int:
    """Updates of a whole run: the batches that fit into its epochs, at least one."""
    return max(1, math.floor(num_samples * settings.epochs / batch_size + 1e-9))
