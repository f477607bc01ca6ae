"""What a transfer changes: the task's network, its average, the optimizer; and one update of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn

from mlimages.training.averaging import WeightAverage
from mlimages.training.batch_norm import BatchNormGroups
from mlimages.training.checkpoint import Checkpoint, Tensors, load_into, under
from mlimages.training.distribution import Ranks
from mlimages.training.division import Division
from mlimages.training.optimizers import (
    build_optimizer,
    optimizer_tensors,
    restore_optimizer,
    set_rate,
)
from mlimages.training.parallel import connected, gradients_exchanged, leaves_weights_out
from mlimages.training.permutation import mix
from mlimages.training.state import FORMATS, WEIGHTS
from mlimages.training.update import AUTOCAST, NonFiniteLossError, clip_gradient, gradient_norm
from mlimages.transfer.recipe import TransferRecipe
from mlimages.transfer.tasks.base import Task

_STEP_STREAM = 22  # keeps these draws apart from others of the same seed


class Learner:
    """The network of a task while it learns; `step` counts the updates done.

    Raises:
        RecipeError: there are more ranks than groups in a batch.
    """

    def __init__(self, task: Task, recipe: TransferRecipe, ranks: Ranks) -> None:
        self.task, self.recipe, self.ranks, self.step = task, recipe, ranks, 0
        settings = recipe.data
        self.division = Division.of(settings.batch_size, settings.batch_norm_group, ranks)
        memory_format = FORMATS[recipe.hardware.channels_last]
        self.network = task.network.to(ranks.device, memory_format=memory_format)  # type: ignore[call-overload]
        task.training_mode()
        self.batch_norms = BatchNormGroups(self.network)
        self.optimizer = build_optimizer(recipe.optimizer, self.network)
        decay = recipe.optimizer.average_decay
        self.average = WeightAverage(self.network, decay) if decay else None
        self._loss = _Loss(task)
        self._parallel: nn.Module | None = None

    def update(self, samples: list[Any], indices: list[int], rate: float) -> tuple[float, float]:
        """One update; returns the loss of the whole batch, and the 2-norm of its gradient before
        that was clipped.

        Args:
            samples: what `Task.load` gave of this rank's share of the batch.
            indices: of these photos among those to learn from.
            rate: the learning rate.

        Raises:
            NonFiniteLossError: on all ranks, before any weight is changed.
        """
        self.task.training_mode()
        set_rate(self.optimizer, rate)
        self.optimizer.zero_grad()
        if self._parallel is None:
            first = slice(0, self.division.passes[0][0])
            with self._drawing_for(0):
                self._parallel = self._connected(samples[first], indices[first])
        with self.batch_norms.step(self.division.groups, self.ranks):
            own_loss = self._gradients(self._parallel, samples, indices)
            loss = self.ranks.sum_tensor(own_loss.clone())
            norm = gradient_norm(self.network)
            if not torch.isfinite(loss + norm):
                raise NonFiniteLossError(float(loss), float(norm), float(own_loss))
        clip_gradient(self.network, norm, self.recipe.optimizer.clip_norm)
        self.optimizer.step()
        self.step += 1
        if self.average is not None:
            self.average.update(self.network, self.step)
        return float(loss), float(norm)

    def _gradients(
        self, network: nn.Module, samples: list[Any], indices: list[int]
    ) -> torch.Tensor:
        """This rank's part of the loss; the gradient of all ranks is left in the parameters."""
        total = torch.zeros((), device=self.ranks.device)
        batch, first = self.recipe.data.batch_size, 0
        self.batch_norms.sizes = ()  # a forward pass is one group
        passes = [size for (size,) in self.division.passes]
        for number, size in enumerate(passes, start=1):
            part = slice(first, first + size)
            exchanged = gradients_exchanged(network, number == len(passes))
            with self._drawing_for(self.division.share.start + first), exchanged:
                loss = self._run(network, samples[part], indices[part]) * (size / batch)
                # Ranks take the mean of their gradients, and the parts of the loss add up.
                (loss * self.ranks.size).backward()
            total += loss.detach()
            first += size
        return total

    @contextmanager
    def _drawing_for(self, place: int) -> Iterator[None]:
        """Inside, dropout and the like depend on the group's place in the batch alone: they are the
        same after a resume, and on any number of ranks."""
        with torch.random.fork_rng(devices=[]):
            seed = mix(self.recipe.seed, _STEP_STREAM, self.step, place)
            torch.manual_seed(int(seed >> np.uint64(1)))
            yield

    def _run(self, network: nn.Module, samples: list[Any], indices: list[int]) -> torch.Tensor:
        dtype = AUTOCAST[self.recipe.hardware.precision]
        enabled = dtype is not torch.float32
        with torch.autocast(self.ranks.device.type, dtype, enabled=enabled):
            return network(samples, indices, self.step)

    def _connected(self, samples: list[Any], indices: list[int]) -> nn.Module:
        """What forward passes call; photos are needed to see which weights take part."""
        if self.ranks.size == 1:
            return self._loss
        before = [buffer.clone() for buffer in self.network.buffers()]
        unused = leaves_weights_out(self.network, self._run(self._loss, samples, indices))
        for buffer, value in zip(self.network.buffers(), before, strict=True):
            buffer.copy_(value)
        anywhere = bool(self.ranks.sum(np.array(int(unused))))
        return connected(self._loss, self.ranks, self.recipe.hardware, anywhere)

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


class _Loss(nn.Module):
    """A task's loss as a module: what gives the gradients that ranks exchange."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.network, self._task = task.network, task

    def forward(self, samples: list[Any], indices: list[int], step: int) -> torch.Tensor:
        return self._task.loss(samples, indices, step)
