"""Training a network on a database: `train` is the whole run, from top to bottom.

result = train(Database.open("DB"), find_recipe("photos"), "runs/photos")

Started by torchrun, every process runs all of it; the first one writes and speaks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlimages.database import Database
from mlimages.errors import CheckpointError, TrainingError
from mlimages.training.capture import capture
from mlimages.training.checkpoint import Checkpoint, Tensors
from mlimages.training.data import StepData
from mlimages.training.distribution import Ranks, joined
from mlimages.training.evaluation import EvaluationReport
from mlimages.training.probing import Probe
from mlimages.training.recipe import Recipe
from mlimages.training.run import RunFolder, TrainingResult, open_on_all, saved_recipe
from mlimages.training.session import Session
from mlimages.training.setup import Setup
from mlimages.training.update import NonFiniteLossError, update
from mlimages.training.validation import Validation

logger = logging.getLogger(__name__)


def train(
    db: Database, recipe: Recipe | None, out: Path | str, resume: bool = False
) -> TrainingResult:
    """Train a network, alone or as one of torchrun's processes.

    Args:
        db: a database with tags and packed images.
        recipe: all settings; None when `resume` continues a run with its own.
        out: the run's folder, new unless `resume`; every process must see it.
        resume: continue the run in `out` exactly where its newest checkpoint is, with any number of
            processes.

    Raises:
        InputError: `out` holds something else, or a split has no images.
        RecipeError, CheckpointError: the run in `out` cannot be continued like this.
        TrainingError: the loss became infinite or NaN, memory ran out, too many images are
            broken, or another process of the run ended.
        InterruptedTrainingError: Ctrl-C or SIGTERM came; the run is saved and can be continued.
        StorageError: the disk is full; the older checkpoints are intact.
    """
    out = Path(out)
    device = (recipe or saved_recipe(out) or Recipe()).hardware.device
    with joined(device) as ranks, open_on_all(out, recipe, resume, ranks) as run:
        finished = ranks.share(ranks.together(lambda: run.result if ranks.is_first else None))
        if finished is not None:
            logger.info("%s: finished already", run.path)
            return finished
        setup = ranks.together(lambda: Setup(db, run.recipe, ranks))
        return Pretraining(run, setup, ranks).go()


class Pretraining(Session[Recipe, StepData]):
    """One session of a run."""

    memory_advice = "lower data.micro_batch or data.batch_norm_group, in a new folder"

    def __init__(self, run: RunFolder[Recipe], setup: Setup, ranks: Ranks) -> None:
        data = setup.data
        super().__init__(run, ranks, len(data), run.recipe.data.batch_size, setup.model)
        self.setup, self.state, self.data = setup, setup.state, data
        self.validation = Validation(setup, str(run.path))
        self.probe = Probe(setup, str(run.path))

    @property
    def step(self) -> int:
        """See `Session`."""
        return self.state.step

    @property
    def fingerprint(self) -> str:
        """See `Session`."""
        return self.setup.fingerprint

    def go(self) -> TrainingResult:
        """Train to the end, evaluate, and write the result."""
        self.resume()
        with self.logging(self.recipe.logging):
            self.setup.connect()
            self._announce()
            self.state.network.train()
            self.train()
            # All is saved: from here on Ctrl-C may leave at once and loses nothing.
            best = self.saver.best
            report = self._evaluate()
            if self.saver.best is not best:
                self.saver.name_best()
            return self._finish(report, self._probe())

    def batches(self, last: int) -> Generator[StepData]:
        """See `Session`."""
        return self.data.steps(self.step, last)

    def update(self, batch: StepData, rate: float) -> tuple[float, float]:
        """See `Session`."""
        precision, clip_norm = self.recipe.hardware.precision, self.recipe.optimizer.clip_norm
        return update(self.state, batch, rate, precision, clip_norm, self.ranks)

    def measures_due(self) -> list[Callable[[], object]]:
        """See `Session`."""
        settings = self.recipe.evaluation
        due = (
            (self._evaluate, settings.every_epochs),
            (self._probe, settings.probe_every_epochs),
        )
        return [measure for measure, every in due if self.ends_epochs(every)]

    def capture(self, batch: StepData, error: NonFiniteLossError) -> TrainingError:
        """See `Session`."""
        return capture(self.run.path, self.setup, batch, error, self.record())

    def tensors(self) -> tuple[Tensors, Tensors]:
        """See `Session`."""
        return self.state.model_tensors(), self.state.training_tensors()

    def record(self) -> dict[str, Any]:
        """See `Session`."""
        broken = {str(row): why for row, why in self.data.broken.reasons.items()}
        return {**super().record(), "broken": broken, "scaler": self.state.scaler.state_dict()}

    def restore(self, checkpoint: Checkpoint) -> None:
        """See `Session`."""
        if checkpoint.state["data"] != self.fingerprint:
            raise CheckpointError(
                checkpoint.folder,
                "the database's images, tags or shards have changed since",
                "restore the database, or train in a new folder",
            )
        self.state.restore(checkpoint)
        broken = checkpoint.state["broken"]
        self.data.broken.reasons.update({int(row): why for row, why in broken.items()})

    def how_to_continue(self) -> str:
        """See `Session`."""
        command = f"mlimages train {self.setup.db.root} --out {self.run.path} --resume"
        return f"continue with: {command}"

    def _announce(self) -> None:
        logger.info(
            "%s: %s images, %s categories, %s weights; %s updates of %s images on %s%s",
            self.recipe.name,
            f"{self.images:,}",
            f"{len(self.setup.outputs):,}",
            f"{self.setup.parameters:,}",
            f"{self.total_steps:,}",
            f"{self.batch_size:,}",
            self.ranks.device,
            f" by {self.ranks.size} processes" if self.ranks.size > 1 else "",
        )

    def _evaluate(self) -> EvaluationReport | None:
        """Measure the network, log the measures, and note whether it is the best so far."""
        report = self.validation.measure(self.epoch)
        if report is not None:
            measures = {"metrics": report.model.summary(), "baseline": report.baseline.summary()}
            self.log("evaluation", **measures, **report.parts())
            self.saver.consider(self.step, report.model.map_macro)
        return report

    def _probe(self) -> dict[str, Any] | None:
        """Probe the network's features, and log the accuracies."""
        found = self.probe.measure(self.epoch)
        if found is not None:
            self.log("probe", **found)
        return found

    def _finish(
        self, report: EvaluationReport | None, probe: dict[str, Any] | None
    ) -> TrainingResult:
        meter, setup = self.meter, self.setup
        seconds = max(meter.seconds, 1e-9)
        result = TrainingResult(
            run=str(self.run.path),
            checkpoint=self.checkpoint,
            recipe=self.recipe.name,
            steps=self.step,
            samples_seen=self.samples_seen,
            epochs=round(self.epoch, 4),
            images=self.images,
            categories=len(setup.outputs),
            parameters=setup.parameters,
            seconds=round(meter.seconds, 3),
            images_per_second=round(meter.images / seconds, 2),
            data_wait=round(meter.waited / seconds, 4),
            loss=meter.loss,
            broken=[f"row {row}: {why}" for row, why in self.data.broken.reasons.items()],
            evaluation=report.summary() if report else None,
            best=asdict(self.saver.best) if self.saver.best else None,
            probe=probe,
        )
        self.run.finish(result)
        self.ranks.wait()
        return result
