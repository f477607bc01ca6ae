"""Transfer of a backbone to a task: `transfer` is the whole run, from top to bottom.

result = transfer(find_transfer_recipe("caltech256"), photos, "runs/caltech")

Started by torchrun, every process runs all of it; the first one writes and speaks.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlimages import __version__
from mlimages.errors import CheckpointError, InterruptedTrainingError, TrainingError
from mlimages.storage import write_text
from mlimages.training.checkpoint import (
    Checkpoint,
    checkpoint_folder,
    newest_checkpoint,
    write_checkpoint,
)
from mlimages.training.distribution import Ranks, is_lost_peer, joined, lost_peer
from mlimages.training.interruption import StopRequest
from mlimages.training.permutation import mix, permute
from mlimages.training.reporting import Meter, Progress
from mlimages.training.run import RESULT, RunFolder, open_on_all
from mlimages.training.schedule import learning_rate, total_steps
from mlimages.training.update import NonFiniteLossError, ran_out_of_memory
from mlimages.transfer.data import TransferPhotos, build_task
from mlimages.transfer.learner import Learner
from mlimages.transfer.recipe import TransferRecipe
from mlimages.transfer.report import write_report
from mlimages.transfer.result import TransferResult
from mlimages.transfer.tasks.base import Evaluation, Task

logger = logging.getLogger(__name__)

_ORDER_STREAM = 21  # keeps these draws apart from others of the same seed


def transfer(
    recipe: TransferRecipe, photos: TransferPhotos, out: Path | str, resume: bool = False
) -> TransferResult:
    """Train, measure, and write RUN/result.json, images.jsonl and report.html.

    Args:
        recipe: all settings, the backbone included.
        photos: from `data.read_data`, or one's own.
        out: the run's folder, new unless `resume`.
        resume: continue the run in `out` exactly where its newest checkpoint is.

    Raises:
        InputError: a photo cannot be read, or `out` holds something else.
        RecipeError, CheckpointError: the run in `out` cannot be continued like this.
        TrainingError: the loss became infinite or NaN, memory ran out, or another process of the
            run ended.
        InterruptedTrainingError: Ctrl-C or SIGTERM came; the run is saved and can be continued.
    """
    with (
        joined(recipe.hardware.device) as ranks,
        open_on_all(Path(out), recipe, resume, ranks, TransferRecipe) as run,
    ):
        finished = ranks.share(_finished(run.path) if ranks.is_first else None)
        if finished is not None:
            return finished
        task = ranks.together(lambda: build_task(recipe, photos))
        return Session(run, task, ranks).go()


def _finished(path: Path) -> TransferResult | None:
    result = path / RESULT
    if not result.is_file():
        return None
    return TransferResult(**json.loads(result.read_text(encoding="utf-8")))


class Session:
    """One session of a run; the methods stand in the order in which they are called."""

    def __init__(
        self, run: RunFolder[TransferRecipe], task: Task, ranks: Ranks, fresh: bool = False
    ) -> None:
        self.run, self.task, self.ranks, self.recipe = run, task, ranks, run.recipe
        recipe = self.recipe
        # What is trained.
        self.learner = ranks.together(lambda: Learner(task, recipe, ranks))
        # How long.
        self.batch_size = recipe.data.batch_size
        self.total_steps = total_steps(recipe.schedule, len(task.train), self.batch_size)
        # Where it starts: at the newest intact checkpoint, or at the backbone.
        self.meter = Meter() if fresh else self._resume()

    @property
    def step(self) -> int:
        """Updates done."""
        return self.learner.step

    @property
    def samples_seen(self) -> int:
        """Photos seen, repeats included."""
        return self.step * self.batch_size

    @property
    def epoch(self) -> float:
        """How often each photo has been seen."""
        return self.samples_seen / len(self.task.train)

    def _resume(self) -> Meter:
        ranks, path = self.ranks, self.run.path
        found = ranks.together(lambda: newest_checkpoint(path) if ranks.is_first else None)
        checkpoint = ranks.share(found)
        if checkpoint is None:
            return Meter()
        ranks.together(lambda: self._restore(checkpoint))
        self.run.forget_after(self.step)
        logger.info("continuing after update %s of %s", self.step, self.total_steps)
        return Meter(checkpoint.state["totals"])

    def _restore(self, checkpoint: Checkpoint) -> None:
        if checkpoint.state["data"] != self._fingerprint():
            cause = "the run was started on other photos"
            raise CheckpointError(checkpoint.folder, cause, "name the same data, or a new folder")
        self.learner.restore(checkpoint)

    def go(self) -> TransferResult:
        """Train to the end, measure, and write the results."""
        recipe, saved_at = self.recipe, time.monotonic()
        with (
            StopRequest() as stop,
            Progress(self.total_steps, self.batch_size, self.step, self.ranks.is_first) as progress,
            ThreadPoolExecutor(recipe.data.workers) as pool,
        ):
            upcoming = self.fetch(pool) if self.step < self.total_steps else []
            while self.step < self.total_steps:
                started = time.perf_counter()
                samples = self.read(upcoming)
                waited = time.perf_counter() - started
                peak = recipe.optimizer.rate_for(self.batch_size)
                rate = learning_rate(recipe.schedule, peak, self.epoch)
                if self.step + 1 < self.total_steps:
                    upcoming = self.fetch(pool, self.step + 1)
                loss, norm = self._checked_update(samples, rate)
                self.meter.add(self.batch_size, loss, norm, waited)
                self._report(progress, rate)
                if self._evaluation_is_due():
                    with self.meter.paused(), progress.hidden(self.step):
                        self._log_evaluation(self._evaluate())
                due = recipe.checkpoint.is_due(self.step, saved_at)
                signal_name, due = stop.agreed(self.ranks, due)
                if signal_name is not None:
                    self._save()
                    raise self._stopped(signal_name)
                if due:
                    with self.meter.paused():
                        self._save()
                    saved_at = time.monotonic()
        checkpoint = self._save()
        return self._finish(checkpoint)

    def fetch(self, pool: ThreadPoolExecutor, step: int | None = None) -> list[Future]:
        """Begin to read this rank's photos of an update, by default of the next one."""
        step = self.step if step is None else step
        epochs = self.recipe.schedule.epochs
        size = self.recipe.data.size_at(step * self.batch_size / len(self.task.train), epochs)
        places = self._places(step)[self.learner.division.share]
        return [pool.submit(self.task.load, index, epoch, size) for index, epoch in places]

    def read(self, upcoming: list[Future]) -> list[Any]:
        """The photos that `fetch` began to read; one that is broken ends all ranks."""
        return self.ranks.together(lambda: [item.result() for item in upcoming])

    def _places(self, step: int) -> list[tuple[int, int]]:
        """Photo and epoch of each sample of an update: arithmetic, so that resuming is exact."""
        number = len(self.task.train)
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, inside = np.divmod(positions, number)
        keys = mix(self.recipe.seed, _ORDER_STREAM, epochs)
        indices = permute(inside, number, keys)
        return list(zip(indices.tolist(), epochs.tolist(), strict=True))

    def update(self, samples: list[Any], rate: float) -> tuple[float, float]:
        """One update with the photos of `fetch`; see `Learner.update`."""
        places = self._places(self.step)[self.learner.division.share]
        return self.learner.update(samples, [index for index, _ in places], rate)

    def _checked_update(self, samples: list[Any], rate: float) -> tuple[float, float]:
        try:
            return self.update(samples, rate)
        except NonFiniteLossError as error:
            place = self.run.path / "nan-capture" / f"step-{self.step:08d}.json"
            photos = [str(self.task.train.paths[i]) for i, _ in self._places(self.step)]
            record = {"step": self.step, "problem": str(error), "rate": rate, "photos": photos}
            if self.ranks.is_first:
                write_text(place, json.dumps(record) + "\n")
            cause = f"{error} at update {self.step + 1} (its photos are in {place})"
            action = "lower optimizer.learning_rate, in a new folder"
            raise self.ranks.everywhere(TrainingError(self.run.path, cause, action)) from None
        except (RuntimeError, MemoryError) as error:
            if isinstance(error, RuntimeError) and self.ranks.size > 1 and is_lost_peer(error):
                raise lost_peer() from None
            if not ran_out_of_memory(error):
                raise
            cause = f"out of memory at update {self.step + 1}"
            raise TrainingError(self.run.path, cause, "lower data.batch_norm_group") from None

    def _report(self, progress: Progress, rate: float) -> None:
        progress.step(self.step)
        last = self.step == self.total_steps
        if last or self.meter.window_seconds >= self.recipe.hardware.log_seconds:
            record = self.meter.record(self.step, self.epoch, self.samples_seen, rate)
            self.run.log(record.to_json())
            progress.show(record)

    def _evaluation_is_due(self) -> bool:
        every = self.recipe.evaluation.every_epochs
        if not every or self.step == self.total_steps:
            return False
        before = (self.samples_seen - self.batch_size) / len(self.task.train)
        return self.epoch // every > before // every

    def _evaluate(self) -> Evaluation:
        with self.learner.measured():
            return self.task.evaluate(self.ranks)

    def _log_evaluation(self, evaluation: Evaluation) -> None:
        record = {"kind": "evaluation", "step": self.step, "epoch": round(self.epoch, 6)}
        self.run.log({**record, "metrics": evaluation.measures})
        value = evaluation.measures[evaluation.metric]
        logger.info("epoch %.2f  %s %.4f", self.epoch, evaluation.metric, value)

    def _fingerprint(self) -> str:
        names = [path.name for path in self.task.train.paths]
        return f"{len(names)} photos of {len(self.task.train.classes)} classes, {hash_of(names)}"

    def _save(self) -> Path:
        state = {
            "step": self.step,
            "samples_seen": self.samples_seen,
            "epoch": self.epoch,
            "data": self._fingerprint(),
            "totals": self.meter.totals,
            "versions": {"mlimages": __version__, "torch": torch.__version__},
        }
        parts = self.task.describe(), self.learner.model_tensors(), state
        training, keep = self.learner.training_tensors(), self.recipe.checkpoint.keep
        self._first(lambda: write_checkpoint(self.run.path, *parts, training, keep))
        return checkpoint_folder(self.run.path, self.step)

    def _first(self, action: Callable[[], object]) -> None:
        """Do what the first rank does for all, which wait for it and fail if it does."""
        self.ranks.together(lambda: action() if self.ranks.is_first else None)

    def _stopped(self, signal_name: str) -> InterruptedTrainingError:
        error = InterruptedTrainingError(
            self.run.path,
            f"stopped by {signal_name} after update {self.step:,} of {self.total_steps:,}, saved",
            "run the same command again with --resume",
        )
        self.ranks.everywhere(error)
        return error

    def _finish(self, checkpoint: Path) -> TransferResult:
        evaluation = self._evaluate()
        self._log_evaluation(evaluation)
        parameters = list(self.task.network.parameters())
        seconds = max(self.meter.seconds, 1e-9)
        result = TransferResult(
            run=str(self.run.path),
            checkpoint=str(checkpoint),
            recipe=self.recipe.name,
            task=self.recipe.task,
            backbone=self.recipe.model.backbone,
            expected=self.recipe.expected,
            steps=self.step,
            epochs=round(self.epoch, 4),
            images=len(self.task.train),
            test_images=len(self.task.test),
            parameters=sum(p.numel() for p in parameters),
            learning=sum(p.numel() for p in parameters if p.requires_grad),
            seconds=round(self.meter.seconds, 3),
            images_per_second=round(self.meter.images / seconds, 2),
            loss=self.meter.loss,
            metric=evaluation.metric,
            value=evaluation.measures[evaluation.metric],
            measures=evaluation.measures,
            per_class=_without_nan(evaluation.per_class),
        )
        self._first(lambda: self._write(result, evaluation))
        return result

    def _write(self, result: TransferResult, evaluation: Evaluation) -> None:
        lines = [json.dumps(image, ensure_ascii=False) for image in evaluation.images]
        write_text(self.run.path / "images.jsonl", "".join(line + "\n" for line in lines))
        with self.learner.measured():
            write_report(self.run.path, asdict(result), evaluation, self.task, self.recipe)
        self.run.finish(result)


def hash_of(names: list[str]) -> str:
    """A short name of a list of names."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def _without_nan(per_class: dict[str, dict[str, float]]) -> dict[str, Any]:
    return {
        name: {key: None if value != value else value for key, value in values.items()}
        for name, values in per_class.items()
    }
