"""One session of a run, whatever is trained: updates, measuring, saving, stopping, continuing.

`Pretraining` (loop.py) and `Transfer` (transfer/loop.py) say what a batch and an update of theirs
are; everything else about a run is here. Started by torchrun, every process goes through all of it;
the first one writes and speaks.
"""

from __future__ import annotations

import contextlib
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from typing import Any, ClassVar, Generic, TypeVar

import torch

from mlimages import __version__
from mlimages.errors import InterruptedTrainingError, TrainingError
from mlimages.training.checkpoint import (
    Checkpoint,
    Tensors,
    checkpoint_folder,
    newest_checkpoint,
)
from mlimages.training.distribution import Ranks, is_lost_peer, lost_peer
from mlimages.training.interruption import StopRequest
from mlimages.training.logs import RunLogs
from mlimages.training.operation import LoggingSettings
from mlimages.training.recipe import R
from mlimages.training.reporting import Meter, Progress
from mlimages.training.run import RunFolder
from mlimages.training.saving import Saver
from mlimages.training.schedule import learning_rate, total_steps
from mlimages.training.update import NonFiniteLossError, ran_out_of_memory

logger = logging.getLogger(__name__)

B = TypeVar("B")


class Session(ABC, Generic[R, B]):
    """The updates of a run that are left.

    Args:
        run: its folder.
        ranks: its processes.
        images: how many are trained on.
        batch_size: of them, in an update.
        model: content of model.json.

    Attributes:
        total_steps: updates of the whole run.
        saver, meter, logs: see their classes.
    """

    memory_advice: ClassVar[str]

    def __init__(
        self, run: RunFolder[R], ranks: Ranks, images: int, batch_size: int, model: dict[str, Any]
    ) -> None:
        self.run, self.recipe, self.ranks = run, run.recipe, ranks
        self.images, self.batch_size = images, batch_size
        self.total_steps = total_steps(self.recipe.schedule, images, batch_size)
        self.saver = Saver(run.path, model, self.recipe.checkpoint.keep, writes=ranks.is_first)
        self.meter = Meter()
        self.logs: RunLogs | None = None

    # What a kind of run says.

    @property
    @abstractmethod
    def step(self) -> int:
        """Updates done."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Changes when the same updates would see other data."""

    @abstractmethod
    def batches(self, last: int) -> Generator[B]:
        """What this rank sees of the updates from now on to the one numbered `last`."""

    @abstractmethod
    def update(self, batch: B, rate: float) -> tuple[float, float]:
        """One update: the loss, and the 2-norm of its gradient before that was clipped.

        Raises:
            NonFiniteLossError: on all ranks, before any weight is changed.
        """

    @abstractmethod
    def measures_due(self) -> list[Callable[[], object]]:
        """What is to be measured after the update just done."""

    @abstractmethod
    def capture(self, batch: B, error: NonFiniteLossError) -> TrainingError:
        """Write an update down that was not made; returns the error that ends the run."""

    @abstractmethod
    def tensors(self) -> tuple[Tensors, Tensors]:
        """Those of the model, and what else resuming needs."""

    @abstractmethod
    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint of the same data; raises CheckpointError."""

    @abstractmethod
    def how_to_continue(self) -> str:
        """What to do after an interruption."""

    # What all do.

    @property
    def samples_seen(self) -> int:
        """Images seen, repeats included."""
        return self.step * self.batch_size

    @property
    def epoch(self) -> float:
        """How often each image has been seen."""
        return self.samples_seen / self.images

    def ends_epochs(self, every: int) -> bool:
        """Whether the update just done was the last of `every` epochs, but not of the run."""
        if not every or self.step == self.total_steps:
            return False
        before = (self.samples_seen - self.batch_size) / self.images
        return self.epoch // every > before // every

    def resume(self) -> None:
        """Start at the newest intact checkpoint, or from scratch; the first rank decides."""
        ranks, path = self.ranks, self.run.path
        found = ranks.together(lambda: newest_checkpoint(path) if ranks.is_first else None)
        checkpoint = ranks.share(found)
        saved: dict[str, Any] = checkpoint.state if checkpoint else {}
        if checkpoint is not None:
            ranks.together(lambda: self.restore(checkpoint))
            logger.info("%s: continuing after update %d", path, checkpoint.step)
        self.saver.restore(saved.get("best"))
        self.run.forget_after(self.step)
        self.meter = Meter(saved.get("totals"))

    @contextlib.contextmanager
    def logging(self, settings: LoggingSettings) -> Generator[None]:
        """Inside, what `log` gets goes to all logs.

        Raises:
            MissingExtraError: a library that is asked for is not installed.
        """
        run, ranks, recipe = self.run.path, self.ranks, self.recipe.to_dict()
        self.logs = ranks.together(lambda: RunLogs(run, settings, recipe, ranks.is_first))
        with self.logs:
            yield

    def train(self) -> None:
        """All updates that are left; the last checkpoint is sealed when this returns.

        Raises:
            TrainingError: the loss became infinite or NaN, memory ran out, or another process of
                the run ended.
            InterruptedTrainingError: Ctrl-C or SIGTERM came; the run is saved.
            StorageError: the disk is full; the older checkpoints are intact.
        """
        recipe, total = self.recipe, self.total_steps
        peak, saved_at = recipe.optimizer.rate_for(self.batch_size), time.monotonic()
        batches = self.batches(total)
        progress = Progress(total, self.batch_size, self.step, self.ranks.is_first)
        with self.saver, StopRequest() as stop, contextlib.closing(batches), progress:
            while self.step < total:
                rate = learning_rate(recipe.schedule, peak, self.epoch)
                started = time.perf_counter()
                batch = next(batches)
                waited = time.perf_counter() - started
                loss, norm = self._checked_update(batch, rate)
                self.meter.add(self.batch_size, loss, norm, waited)
                self._report(progress, rate)
                best = self.saver.best
                for measure in self.measures_due():
                    with progress.hidden(self.step), self.meter.paused():
                        measure()
                due = recipe.checkpoint.is_due(self.step, saved_at) or self.saver.best is not best
                signal_name, due = stop.agreed(self.ranks, due)
                if signal_name is not None:
                    raise self._stopped(signal_name)
                if due:
                    with self.meter.paused():
                        self._save()
                    saved_at = time.monotonic()
                self.saver.check()
            self._save()
            self.saver.finish()

    def log(self, kind: str, **content: Any) -> None:
        """Log what was measured after the updates done."""
        self._log({"kind": kind, "step": self.step, "epoch": round(self.epoch, 6), **content})

    def record(self) -> dict[str, Any]:
        """What state.json says."""
        return {
            "step": self.step,
            "samples_seen": self.samples_seen,
            "epoch": self.epoch,
            "data": self.fingerprint,
            "totals": self.meter.totals,
            "ranks": self.ranks.size,
            "versions": {"mlimages": __version__, "torch": torch.__version__},
        }

    @property
    def checkpoint(self) -> str:
        """The folder of the checkpoint that the session ended with."""
        return str(checkpoint_folder(self.run.path, self.step))

    def _checked_update(self, batch: B, rate: float) -> tuple[float, float]:
        try:
            return self.update(batch, rate)
        except NonFiniteLossError as error:
            raise self.ranks.everywhere(self.capture(batch, error)) from None
        except (RuntimeError, MemoryError) as error:
            if isinstance(error, RuntimeError) and self.ranks.size > 1 and is_lost_peer(error):
                raise lost_peer() from None
            if not ran_out_of_memory(error):
                raise
            cause = f"out of memory at update {self.step + 1}"
            raise TrainingError(self.run.path, cause, self.memory_advice) from None

    def _report(self, progress: Progress, rate: float) -> None:
        progress.step(self.step)
        due = self.meter.window_seconds >= self.recipe.hardware.log_seconds
        if due or self.step == self.total_steps:
            record = self.meter.record(self.step, self.epoch, self.samples_seen, rate)
            self._log(record.to_json())
            progress.show(record)

    def _log(self, record: dict[str, Any]) -> None:
        self.run.log(record)
        if self.logs is not None:
            self.logs.add(record)

    def _save(self) -> None:
        if self.ranks.is_first:
            self.saver.save(self.record(), *self.tensors())

    def _stopped(self, signal_name: str) -> InterruptedTrainingError:
        """Save, wait until it is done on all ranks, and say how to continue."""
        step, path = self.step, self.run.path
        self._save()
        self.saver.finish()
        self.ranks.wait()
        error = InterruptedTrainingError(
            path,
            f"stopped by {signal_name} after update {step:,} of {self.total_steps:,}, "
            f"saved in {checkpoint_folder(path, step).name}",
            self.how_to_continue(),
        )
        self.ranks.everywhere(error)
        return error
