"""Training a network on a database: `train` is the whole run, from top to bottom.

result = train(Database.open("DB"), find_recipe("photos"), "runs/photos")
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from pathlib import Path

import torch

from mlimages import __version__
from mlimages.database import Database, Selection
from mlimages.errors import (
    CheckpointError,
    InterruptedTrainingError,
    MlimagesError,
    TrainingError,
)
from mlimages.images.shard_cache import ShardCache
from mlimages.storage import write_text
from mlimages.training.checkpoint import newest_checkpoint, write_checkpoint
from mlimages.training.data import StepData, TrainingData
from mlimages.training.evaluation import EvaluationReport, evaluate, training_frequencies
from mlimages.training.inference import choose_device, loaded_network
from mlimages.training.interruption import StopRequest
from mlimages.training.objective import OutputStatistics
from mlimages.training.recipe import Recipe
from mlimages.training.reporting import Meter, Progress
from mlimages.training.run import RunFolder, TrainingResult, open_run
from mlimages.training.schedule import learning_rate, total_steps
from mlimages.training.state import build_state, describe_categories, describe_model
from mlimages.training.tags import TagMatrix, choose_outputs, fingerprint
from mlimages.training.update import NonFiniteLossError, ran_out_of_memory, update

logger = logging.getLogger(__name__)


def train(
    db: Database, recipe: Recipe | None, out: Path | str, resume: bool = False
) -> TrainingResult:
    """Train a network.

    Args:
        db: a database with tags and packed images.
        recipe: all settings; None when `resume` continues a run with its own.
        out: the run's folder, new unless `resume`.
        resume: continue the run in `out` exactly where its newest checkpoint is.

    Raises:
        InputError: `out` holds something else, or a split has no images.
        RecipeError, CheckpointError: the run in `out` cannot be continued like this.
        TrainingError: the loss became infinite or NaN, memory ran out, or too many images are
            broken.
        InterruptedTrainingError: Ctrl-C or SIGTERM came; the run is saved and can be continued.
        StorageError: the disk is full; the older checkpoints are intact.
    """
    with open_run(Path(out), recipe, resume) as run:
        if run.result is not None:
            logger.info("%s: finished already", run.path)
            return run.result
        return _Run(db, run).go()


class _Run:
    """One session of a run; the methods stand in the order in which they are called."""

    def __init__(self, db: Database, run: RunFolder) -> None:
        self.db, self.run, self.recipe = db, run, run.recipe
        recipe = run.recipe
        # What is trained on.
        self.keys = [category.key for category in db.taxonomy.categories]
        self.selection = db.select(split=recipe.data.split, part=recipe.data.part)
        self.validation = self._select_validation()
        self.outputs = choose_outputs(self.selection, recipe.data.minimum_images)
        tags = TagMatrix(self.selection, self.outputs)
        where, most = recipe.data.cache, recipe.data.cache_gb
        self.reader = db.reader(ShardCache(where, most) if where else None)
        self.data = TrainingData(self.reader, self.selection, tags, recipe)
        self.total_steps = total_steps(recipe.schedule, len(self.data), recipe.data.batch_size)
        # What is trained.
        self.device = choose_device(recipe.hardware.device)
        hierarchy = db.taxonomy.hierarchy(db.rules.hierarchy)
        statistics = OutputStatistics.of(
            tags.frequencies(), len(self.data), hierarchy, self.outputs
        )
        self.state = build_state(recipe, statistics, self.device)
        self.network = self.state.network
        categories = describe_categories(db, self.outputs)
        self.model = describe_model(recipe, self.network, categories)
        # Where it starts: at the newest intact checkpoint, or from scratch.
        self.fingerprint = fingerprint(self.selection, [self.keys[i] for i in self.outputs])
        self.fingerprint += self.data.order.fingerprint()
        self.meter = self._resume()

    @property
    def epoch(self) -> float:
        """How often each image has been seen."""
        return self.samples_seen / len(self.data)

    @property
    def samples_seen(self) -> int:
        """Images seen, repeats included."""
        return self.state.step * self.recipe.data.batch_size

    def _select_validation(self) -> Selection | None:
        split = self.recipe.evaluation.split
        if not split:
            return None
        try:
            return self.db.select(split=split, part=self.recipe.data.part)
        except MlimagesError as error:
            logger.warning("%s: %s; training without evaluation", error.thing, error.cause)
            return None

    def _resume(self) -> Meter:
        totals = None
        checkpoint = newest_checkpoint(self.run.path)
        if checkpoint is not None:
            if checkpoint.state["data"] != self.fingerprint:
                raise CheckpointError(
                    checkpoint.folder,
                    "the database's images, tags or shards have changed since",
                    "restore the database, or train in a new folder",
                )
            self.state.restore(checkpoint)
            broken = checkpoint.state["broken"]
            self.data.broken.reasons.update({int(row): why for row, why in broken.items()})
            totals = checkpoint.state.get("totals")
            logger.info("%s: continuing after update %d", self.run.path, checkpoint.step)
        self.run.forget_after(self.state.step)
        return Meter(totals)

    def go(self) -> TrainingResult:
        """Train to the end, evaluate, and write the result."""
        recipe, state = self.recipe, self.state
        peak = recipe.optimizer.rate_for(recipe.data.batch_size)
        self._announce()
        self.network.train()
        saved_at = time.monotonic()
        batches = self.data.steps(state.step, self.total_steps)
        progress = Progress(self.total_steps, recipe.data.batch_size, state.step)
        with StopRequest() as stop, contextlib.closing(batches), progress:
            while state.step < self.total_steps:
                rate = learning_rate(recipe.schedule, peak, self.epoch)
                started = time.perf_counter()
                batch = next(batches)
                waited = time.perf_counter() - started
                loss, norm = self._update(batch, rate)
                self.meter.add(len(batch.rows), loss, norm, waited)
                self._report(progress, rate)
                if self._evaluation_is_due():
                    with progress.hidden(state.step), self.meter.paused():
                        self._evaluate()
                if stop.signal_name is not None:
                    raise self._stopped(stop.signal_name, self._save())
                if self._saving_is_due(saved_at):
                    with self.meter.paused():
                        self._save()
                    saved_at = time.monotonic()
        # Saved before the evaluation: from here on Ctrl-C may leave at once and loses nothing.
        checkpoint = self._save()
        return self._finish(checkpoint, self._evaluate())

    def _announce(self) -> None:
        logger.info(
            "%s: %s images, %s categories, %s weights; %s updates of %s images on %s",
            self.recipe.name,
            f"{len(self.data):,}",
            f"{len(self.outputs):,}",
            f"{count_parameters(self.network):,}",
            f"{self.total_steps:,}",
            f"{self.recipe.data.batch_size:,}",
            self.device,
        )

    def _update(self, batch: StepData, rate: float) -> tuple[float, float]:
        precision, clip_norm = self.recipe.hardware.precision, self.recipe.optimizer.clip_norm
        try:
            return update(self.state, batch, rate, precision, self.device, clip_norm)
        except NonFiniteLossError as error:
            raise self._capture(batch, str(error), rate) from None
        except (RuntimeError, MemoryError) as error:
            if not ran_out_of_memory(error):
                raise
            raise TrainingError(
                self.run.path,
                f"out of memory at update {self.state.step + 1}",
                "lower data.micro_batch, in a new folder",
            ) from None

    def _capture(self, batch: StepData, problem: str, rate: float) -> TrainingError:
        """Write down the batch of a non-finite loss."""
        path = self.run.path / "nan-capture" / f"step-{self.state.step:08d}.json"
        record = {
            "step": self.state.step,
            "epoch": self.epoch,
            "problem": problem,
            "learning_rate": rate,
            "rows": batch.rows.tolist(),
        }
        write_text(path, json.dumps(record) + "\n")
        return TrainingError(
            self.run.path,
            f"{problem} at update {self.state.step + 1} (its batch is in {path})",
            "lower optimizer.learning_rate or use hardware.precision=float32, in a new folder",
        )

    def _report(self, progress: Progress, rate: float) -> None:
        progress.step(self.state.step)
        last = self.state.step == self.total_steps
        if last or self.meter.window_seconds >= self.recipe.hardware.log_seconds:
            record = self.meter.record(self.state.step, self.epoch, self.samples_seen, rate)
            self.run.log(record.to_json())
            progress.show(record)

    def _evaluation_is_due(self) -> bool:
        every = self.recipe.evaluation.every_epochs
        if not every or self.state.step == self.total_steps:
            return False
        before = (self.samples_seen - self.recipe.data.batch_size) / len(self.data)
        return self.epoch // every > before // every

    def _evaluate(self) -> EvaluationReport | None:
        """Measure the network as it is now, and write the measures to the log."""
        if self.validation is None:
            return None
        settings = self.recipe.evaluation
        with self.state.measured() as network:
            report = evaluate(
                loaded_network(str(self.run.path), network, self.model, self.device),
                self.reader,
                self.keys,
                self.validation,
                training_frequencies(self.selection, len(self.keys)),
                settings.minimum_positives,
                settings.batch_size,
            )
        record = {"kind": "evaluation", "step": self.state.step, "epoch": round(self.epoch, 6)}
        metrics, baseline = report.model.summary(), report.baseline.summary()
        self.run.log({**record, "metrics": metrics, "baseline": baseline})
        logger.info(
            "epoch %.2f  macro mAP %.4f (frequencies: %.4f) over %d categories",
            self.epoch,
            metrics["map_macro"],
            baseline["map_macro"],
            metrics["categories"],
        )
        return report

    def _saving_is_due(self, saved_at: float) -> bool:
        settings = self.recipe.checkpoint
        if settings.every_steps and self.state.step % settings.every_steps == 0:
            return True
        waited = (time.monotonic() - saved_at) / 60
        return settings.every_minutes > 0 and waited >= settings.every_minutes

    def _save(self) -> Path:
        state = {
            "step": self.state.step,
            "samples_seen": self.samples_seen,
            "epoch": self.epoch,
            "data": self.fingerprint,
            "broken": {str(row): why for row, why in self.data.broken.reasons.items()},
            "scaler": self.state.scaler.state_dict(),
            "totals": self.meter.totals,
            "versions": {"mlimages": __version__, "torch": torch.__version__},
        }
        return write_checkpoint(
            self.run.path,
            self.model,
            self.state.model_tensors(),
            state,
            self.state.training_tensors(),
            self.recipe.checkpoint.keep,
        )

    def _stopped(self, signal_name: str, checkpoint: Path) -> InterruptedTrainingError:
        return InterruptedTrainingError(
            self.run.path,
            f"stopped by {signal_name} after update {self.state.step:,} of {self.total_steps:,}, "
            f"saved in {checkpoint.name}",
            f"continue with: mlimages train {self.db.root} --out {self.run.path} --resume",
        )

    def _finish(self, checkpoint: Path, report: EvaluationReport | None) -> TrainingResult:
        seconds = max(self.meter.seconds, 1e-9)
        result = TrainingResult(
            run=str(self.run.path),
            checkpoint=str(checkpoint),
            recipe=self.recipe.name,
            steps=self.state.step,
            samples_seen=self.samples_seen,
            epochs=round(self.epoch, 4),
            images=len(self.data),
            categories=len(self.outputs),
            parameters=count_parameters(self.network),
            seconds=round(self.meter.seconds, 3),
            images_per_second=round(self.meter.images / seconds, 2),
            data_wait=round(self.meter.waited / seconds, 4),
            loss=self.meter.loss,
            broken=[f"row {row}: {why}" for row, why in self.data.broken.reasons.items()],
            evaluation=report.summary() if report else None,
        )
        self.run.finish(result)
        return result


def count_parameters(network: torch.nn.Module) -> int:
    """Number of weights."""
    return sum(parameter.numel() for parameter in network.parameters())
