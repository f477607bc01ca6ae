"""Transfer of a backbone to a task: `transfer` is the whole run, from top to bottom.

result = transfer(find_transfer_recipe("caltech256"), photos, "runs/caltech")

Started by torchrun, every process runs all of it; the first one writes and speaks.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mlimages.errors import CheckpointError, TrainingError
from mlimages.storage import write_text
from mlimages.training.checkpoint import Checkpoint, Tensors
from mlimages.training.distribution import Ranks, joined
from mlimages.training.permutation import mix, permute
from mlimages.training.run import RESULT, RunFolder, open_on_all
from mlimages.training.session import Session
from mlimages.training.update import NonFiniteLossError
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
        return Transfer(run, task, ranks).go()


def _finished(path: Path) -> TransferResult | None:
    result = path / RESULT
    if not result.is_file():
        return None
    return TransferResult(**json.loads(result.read_text(encoding="utf-8")))


class Transfer(Session[TransferRecipe, list[Any]]):
    """One session of a run; a batch is what `Task.load` gives of this rank's photos."""

    memory_advice = "lower data.batch_norm_group"

    def __init__(self, run: RunFolder[TransferRecipe], task: Task, ranks: Ranks) -> None:
        batch_size = run.recipe.data.batch_size
        super().__init__(run, ranks, len(task.train), batch_size, task.describe())
        self.task = task
        self.learner = ranks.together(lambda: Learner(task, run.recipe, ranks))

    @property
    def step(self) -> int:
        """See `Session`."""
        return self.learner.step

    @property
    def fingerprint(self) -> str:
        """See `Session`."""
        names = [path.name for path in self.task.train.paths]
        return f"{len(names)} photos of {len(self.task.train.classes)} classes, {hash_of(names)}"

    def go(self) -> TransferResult:
        """Train to the end, measure, and write the results."""
        self.resume()
        # The page of a transfer is another one, with its pictures.
        with self.logging(dataclasses.replace(self.recipe.logging, page=False)):
            self.train()
            return self._finish(self._evaluate())

    def batches(self, last: int) -> Generator[list[Any]]:
        """See `Session`; the next photos are read while an update is made."""
        with ThreadPoolExecutor(self.recipe.data.workers) as pool:
            upcoming = self._fetch(pool, self.step)
            for step in range(self.step + 1, last + 1):
                samples = self._read(upcoming)
                upcoming = self._fetch(pool, step) if step < last else []
                yield samples

    def _fetch(self, pool: ThreadPoolExecutor, step: int) -> list[Future]:
        """Begin to read this rank's photos of an update."""
        epochs = self.recipe.schedule.epochs
        size = self.recipe.data.size_at(step * self.batch_size / self.images, epochs)
        places = self._places(step)[self.learner.division.share]
        return [pool.submit(self.task.load, index, epoch, size) for index, epoch in places]

    def _read(self, upcoming: list[Future]) -> list[Any]:
        """The photos that `_fetch` began to read; one that is broken ends all ranks."""
        return self.ranks.together(lambda: [item.result() for item in upcoming])

    def _places(self, step: int) -> list[tuple[int, int]]:
        """Photo and epoch of each sample of an update: arithmetic, so that resuming is exact."""
        number = self.images
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, inside = np.divmod(positions, number)
        keys = mix(self.recipe.seed, _ORDER_STREAM, epochs)
        indices = permute(inside, number, keys)
        return list(zip(indices.tolist(), epochs.tolist(), strict=True))

    def update(self, batch: list[Any], rate: float) -> tuple[float, float]:
        """See `Session`."""
        places = self._places(self.step)[self.learner.division.share]
        return self.learner.update(batch, [index for index, _ in places], rate)

    def measures_due(self) -> list[Callable[[], object]]:
        """See `Session`."""
        return [self._evaluate] if self.ends_epochs(self.recipe.evaluation.every_epochs) else []

    def capture(self, batch: list[Any], error: NonFiniteLossError) -> TrainingError:
        """See `Session`: the photos of the update."""
        place = self.run.path / "nan-capture" / f"step-{self.step:08d}.json"
        photos = [str(self.task.train.paths[i]) for i, _ in self._places(self.step)]
        record = {"step": self.step, "problem": str(error), "photos": photos}
        if self.ranks.is_first:
            write_text(place, json.dumps(record) + "\n")
        cause = f"{error} at update {self.step + 1} (its photos are in {place})"
        return TrainingError(self.run.path, cause, "lower optimizer.learning_rate, in a new folder")

    def tensors(self) -> tuple[Tensors, Tensors]:
        """See `Session`."""
        return self.learner.model_tensors(), self.learner.training_tensors()

    def restore(self, checkpoint: Checkpoint) -> None:
        """See `Session`."""
        if checkpoint.state["data"] != self.fingerprint:
            cause = "the run was started on other photos"
            raise CheckpointError(checkpoint.folder, cause, "name the same data, or a new folder")
        self.learner.restore(checkpoint)

    def how_to_continue(self) -> str:
        """See `Session`."""
        return "run the same command again with --resume"

    def _evaluate(self) -> Evaluation:
        with self.learner.measured():
            evaluation = self.task.evaluate(self.ranks)
        self.log("evaluation", metrics=evaluation.measures)
        value = evaluation.measures[evaluation.metric]
        logger.info("epoch %.2f  %s %.4f", self.epoch, evaluation.metric, value)
        return evaluation

    def _finish(self, evaluation: Evaluation) -> TransferResult:
        parameters = list(self.task.network.parameters())
        seconds = max(self.meter.seconds, 1e-9)
        result = TransferResult(
            run=str(self.run.path),
            checkpoint=self.checkpoint,
            recipe=self.recipe.name,
            task=self.recipe.task,
            backbone=self.recipe.model.backbone,
            expected=self.recipe.expected,
            steps=self.step,
            epochs=round(self.epoch, 4),
            images=self.images,
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
        first = self.ranks.is_first
        self.ranks.together(lambda: self._write(result, evaluation) if first else None)
        return result

    def _write(self, result: TransferResult, evaluation: Evaluation) -> None:
        lines = [json.dumps(image, ensure_ascii=False) for image in evaluation.images]
        write_text(self.run.path / "images.jsonl", "".join(line + "\n" for line in lines))
        if self.recipe.logging.page:
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
