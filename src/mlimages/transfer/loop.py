"""Transfer of a backbone to a task: `transfer` is the whole run, from top to bottom.

result = transfer(find_transfer_recipe("caltech256"), photos, "runs/caltech")
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlimages import __version__
from mlimages.errors import CheckpointError, InterruptedTrainingError, TrainingError
from mlimages.storage import write_text
from mlimages.training.checkpoint import newest_checkpoint, write_checkpoint
from mlimages.training.interruption import StopRequest
from mlimages.training.permutation import mix, permute
from mlimages.training.reporting import Meter, Progress
from mlimages.training.run import RESULT, RunFolder, open_run
from mlimages.training.schedule import learning_rate, total_steps
from mlimages.training.update import (
    NonFiniteLossError,
    ran_out_of_memory,
)
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
        TrainingError: the loss became infinite or NaN, or memory ran out.
        InterruptedTrainingError: Ctrl-C or SIGTERM came; the run is saved and can be continued.
    """
    with open_run(Path(out), recipe, resume, TransferRecipe) as run:
        finished = run.path / RESULT
        if finished.is_file():
            return TransferResult(**json.loads(finished.read_text(encoding="utf-8")))
        return _Run(run, build_task(recipe, photos)).go()


@dataclass(frozen=True)
class Cost:
    """What a run would take, from updates that were made and forgotten.

    Attributes:
        steps: of the whole run.
        seconds_per_step: mean of the measured ones.
        hours: of all steps, without tests.
        device: on which they were measured.
    """

    steps: int
    seconds_per_step: float
    hours: float
    device: str


def measure_cost(recipe: TransferRecipe, photos: TransferPhotos, measured: int = 2) -> Cost:
    """Make one update to warm up and a few that are timed, on real photos; nothing is kept."""
    task = build_task(recipe, photos)
    run: RunFolder[TransferRecipe] = RunFolder(Path("-"), recipe)
    session = _Run(run, task, fresh=True)
    with ThreadPoolExecutor(recipe.data.workers) as pool:
        for number in range(measured + 1):
            if number == 1:
                started = time.perf_counter()
            samples = [item.result() for item in session.fetch(pool)]
            session.update(samples, 0.0)
    seconds = (time.perf_counter() - started) / measured
    total = session.total_steps
    return Cost(total, seconds, seconds * total / 3600, str(session.learner.device))


class _Run:
    """One session of a run; the methods stand in the order in which they are called."""

    def __init__(self, run: RunFolder[TransferRecipe], task: Task, fresh: bool = False) -> None:
        self.run, self.task, self.recipe = run, task, run.recipe
        recipe = self.recipe
        # What is trained.
        self.learner = Learner(task, recipe)
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
        checkpoint = newest_checkpoint(self.run.path)
        if checkpoint is None:
            return Meter()
        if checkpoint.state["data"] != self._fingerprint():
            cause = "the run was started on other photos"
            raise CheckpointError(checkpoint.folder, cause, "name the same data, or a new folder")
        self.learner.restore(checkpoint)
        self.run.forget_after(self.step)
        logger.info("continuing after update %s of %s", self.step, self.total_steps)
        return Meter(checkpoint.state["totals"])

    def go(self) -> TransferResult:
        """Train to the end, measure, and write the results."""
        recipe, saved_at = self.recipe, time.monotonic()
        with (
            StopRequest() as stop,
            Progress(self.total_steps, self.batch_size, self.step) as progress,
            ThreadPoolExecutor(recipe.data.workers) as pool,
        ):
            upcoming = self.fetch(pool) if self.step < self.total_steps else []
            while self.step < self.total_steps:
                started = time.perf_counter()
                samples = [item.result() for item in upcoming]
                waited = time.perf_counter() - started
                peak = recipe.optimizer.rate_for(self.batch_size)
                rate = learning_rate(recipe.schedule, peak, self.epoch)
                if self.step + 1 < self.total_steps:
                    upcoming = self.fetch(pool, self.step + 1)
                loss, norm = self._checked_update(samples, rate)
                self.meter.add(self.batch_size, loss, norm, waited)
                self._report(progress, rate)
                if stop.signal_name is not None:
                    self._save()
                    raise self._stopped(stop.signal_name)
                if self._evaluation_is_due():
                    with self.meter.paused(), progress.hidden(self.step):
                        self._log_evaluation(self._evaluate())
                if recipe.checkpoint.is_due(self.step, saved_at):
                    with self.meter.paused():
                        self._save()
                    saved_at = time.monotonic()
        checkpoint = self._save()
        return self._finish(checkpoint)

    def fetch(self, pool: ThreadPoolExecutor, step: int | None = None) -> list[Future]:
        """Begin to read the photos of an update, by default of the next one."""
        step = self.step if step is None else step
        epochs = self.recipe.schedule.epochs
        size = self.recipe.data.size_at(step * self.batch_size / len(self.task.train), epochs)
        places = self._places(step)
        return [pool.submit(self.task.load, index, epoch, size) for index, epoch in places]

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
        return self.learner.update(samples, [index for index, _ in self._places(self.step)], rate)

    def _checked_update(self, samples: list[Any], rate: float) -> tuple[float, float]:
        try:
            return self.update(samples, rate)
        except NonFiniteLossError as error:
            place = self.run.path / "nan-capture" / f"step-{self.step:08d}.json"
            photos = [str(self.task.train.paths[i]) for i, _ in self._places(self.step)]
            record = {"step": self.step, "problem": str(error), "rate": rate, "photos": photos}
            write_text(place, json.dumps(record) + "\n")
            raise TrainingError(
                self.run.path,
                f"{error} at update {self.step + 1} (its photos are in {place})",
                "lower optimizer.learning_rate, in a new folder",
            ) from None
        except (RuntimeError, MemoryError) as error:
            if not ran_out_of_memory(error):
                raise
            cause = f"out of memory at update {self.step + 1}"
            raise TrainingError(self.run.path, cause, "lower data.micro_batch") from None

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
            return self.task.evaluate()

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
        return write_checkpoint(
            self.run.path,
            self.task.describe(),
            self.learner.model_tensors(),
            state,
            self.learner.training_tensors(),
            self.recipe.checkpoint.keep,
        )

    def _stopped(self, signal_name: str) -> InterruptedTrainingError:
        return InterruptedTrainingError(
            self.run.path,
            f"stopped by {signal_name} after update {self.step:,} of {self.total_steps:,}, saved",
            "run the same command again with --resume",
        )

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
        lines = [json.dumps(image, ensure_ascii=False) for image in evaluation.images]
        write_text(self.run.path / "images.jsonl", "".join(line + "\n" for line in lines))
        with self.learner.measured():
            write_report(self.run.path, asdict(result), evaluation, self.task, self.recipe)
        self.run.finish(result)
        return result


def hash_of(names: list[str]) -> str:
    """A short name of a list of names."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def _without_nan(per_class: dict[str, dict[str, float]]) -> dict[str, Any]:
    return {
        name: {key: None if value != value else value for key, value in values.items()}
        for name, values in per_class.items()
    }
