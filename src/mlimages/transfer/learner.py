"""What a transfer changes: the task's network, its average, the optimizer; and one update of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch

from mlimages.training.averaging import WeightAverage
from mlimages.training.batch_norm import running_statistics_once
from mlimages.training.checkpoint import Checkpoint, Tensors, load_into, under
from mlimages.training.device import choose_device
from mlimages.training.optimizers import (
    build_optimizer,
    optimizer_tensors,
    restore_optimizer,
    set_rate,
)
from mlimages.training.permutation import mix
from mlimages.training.state import WEIGHTS
from mlimages.training.update import AUTOCAST, NonFiniteLossError, clip_gradient, gradient_norm
from mlimages.transfer.recipe import TransferRecipe
from mlimages.transfer.tasks.base import Task

_STEP_STREAM = 22  # keeps these draws apart from others of the same seed


class Learner:
    """The network of a task while it learns; `step` counts the updates done."""

    def __init__(self, task: Task, recipe: TransferRecipe) -> None:
        self.task, self.recipe, self.step = task, recipe, 0
        self.device = choose_device(recipe.hardware.device)
        self.network = task.network.to(self.device)
        self.optimizer = build_optimizer(recipe.optimizer, self.network)
        decay = recipe.optimizer.average_decay
        self.average = WeightAverage(self.network, decay) if decay else None

    def update(self, samples: list[Any], indices: list[int], rate: float) -> tuple[float, float]:
        """One update; returns the loss and the 2-norm of the gradient before it was clipped.

        Args:
            samples: what `Task.load` gave of the batch's photos.
            indices: of these photos among those to learn from.
            rate: the learning rate.

        Raises:
            NonFiniteLossError: before any weight is changed.
        """
        self.task.training_mode()
        set_rate(self.optimizer, rate)
        self.optimizer.zero_grad()
        dtype, total = AUTOCAST[self.recipe.hardware.precision], torch.zeros((), device=self.device)
        parts = _parts(len(samples), self.recipe.data.micro_batch)
        with running_statistics_once(self.network, len(parts)), torch.random.fork_rng(devices=[]):
            # Dropout and the like draw from this: the same after a resume.
            torch.manual_seed(int(mix(self.recipe.seed, _STEP_STREAM, self.step) >> np.uint64(1)))
            for part in parts:
                with torch.autocast(self.device.type, dtype, enabled=dtype is not torch.float32):
                    loss = self.task.loss(samples[part], indices[part], self.step)
                loss = loss * ((part.stop - part.start) / len(samples))
                loss.backward()
                total += loss.detach()
        norm = gradient_norm(self.network)
        if not torch.isfinite(total + norm):
            raise NonFiniteLossError(float(total), float(norm), float(total))
        clip_gradient(self.network, norm, self.recipe.optimizer.clip_norm)
        self.optimizer.step()
        self.step += 1
        if self.average is not None:
            self.average.update(self.network, self.step)
        return float(total), float(norm)

    def model_tensors(self) -> Tensors:
        """What is used afterwards: the weights, or their average."""
        return dict(self.network.state_dict() if self.average is None else self.average.tensors)

    def training_tensors(self) -> Tensors:
        """What else resuming needs."""
        tensors = optimizer_tensors(self.optimizer, self.network)
        if self.average is not None:
            tensors |= {f"{WEIGHTS}{name}": t for name, t in self.network.state_dict().items()}
        return tensors

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint; raises CheckpointError when it is of another network."""
        model, training = checkpoint.model_tensors(), checkpoint.training_tensors()
        weights = model if self.average is None else under(WEIGHTS, training)
        load_into(self.network, weights, checkpoint.folder)
        if self.average is not None:
            self.average.restore(model)
        restore_optimizer(self.optimizer, self.network, training, checkpoint.folder)
        self.step = checkpoint.step

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Inside, the network is as it would be used: averaged, and in evaluation mode."""
        self.network.eval()
        with self.average.applied(self.network) if self.average else nullcontext():
            yield


def _parts(number: int, micro_batch: int) -> list[slice]:
    step = micro_batch or number
    return [slice(start, min(start + step, number)) for start in range(0, number, step)]
