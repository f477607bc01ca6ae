"""Training a network on a database: `train` is the whole run, from top to bottom.

result = train(Database.open("DB"), find_recipe("photos"), "runs/photos")

Started by torchrun, every process runs all of it; the first one writes and speaks.
"""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from mlimages import __version__
from mlimages.database import Database
from mlimages.errors import CheckpointError, InterruptedTrainingError, TrainingError
from mlimages.training.capture import capture
from mlimages.training.checkpoint import Checkpoint, checkpoint_folder, newest_checkpoint
from mlimages.training.data import StepData
from mlimages.training.distribution import Ranks, is_lost_peer, joined, lost_peer
from mlimages.training.evaluation import EvaluationReport
from mlimages.training.interruption import StopRequest
from mlimages.training.logs import RunLogs
from mlimages.training.probing import Probe
from mlimages.training.recipe import Recipe
from mlimages.training.reporting import Meter, Progress
from mlimages.training.run import RunFolder, TrainingResult, open_on_all, saved_recipe
from mlimages.training.saving import Saver
from mlimages.training.schedule import learning_rate
from mlimages.training.setup import Setup
from mlimages.training.update import NonFiniteLossError, ran_out_of_memory, update
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
        return _Run(db, run, ranks).go()


class _Run:
    """One session of a run; the methods stand in the order in which they are called."""

    def __init__(self, db: Database, run: RunFolder, ranks: Ranks) -> None:
        self.run, self.recipe, self.ranks = run, run.recipe, ranks
        self.setup = ranks.together(lambda: Setup(db, run.recipe, ranks))
        self.state, self.data = self.setup.state, self.setup.data
        self.validation = Validation(self.setup, str(run.path))
        self.probe = Probe(self.setup, str(run.path))
        keep = self.recipe.checkpoint.keep
        self.saver = Saver(run.path, self.setup.model, keep, writes=ranks.is_first)
        self.meter = self._resume()
        self.logs = ranks.together(
            lambda: RunLogs(run.path, self.recipe.logging, self.recipe.to_dict(), ranks.is_first)
        )
        self.setup.connect()

    def _resume(self) -> Meter:
        """Start at the newest intact checkpoint, or from scratch; the first rank decides."""
        ranks, path = self.ranks, self.run.path
        found = ranks.together(lambda: newest_checkpoint(path) if ranks.is_first else None)
        checkpoint = ranks.share(found)
        saved: dict[str, Any] = checkpoint.state if checkpoint else {}
        if checkpoint is not None:
            ranks.together(lambda: self._restore(checkpoint))
            logger.info("%s: continuing after update %d", path, checkpoint.step)
        self.saver.restore(saved.get("best"))
        self.run.forget_after(self.state.step)
        return Meter(saved.get("totals"))

    def _restore(self, checkpoint: Checkpoint) -> None:
        if checkpoint.state["data"] != self.setup.fingerprint:
            raise CheckpointError(
                checkpoint.folder,
                "the database's images, tags or shards have changed since",
                "restore the database, or train in a new folder",
            )
        self.state.restore(checkpoint)
        broken = checkpoint.state["broken"]
        self.data.broken.reasons.update({int(row): why for row, why in broken.items()})

    def go(self) -> TrainingResult:
        """Train to the end, evaluate, and write the result."""
        self._announce()
        with self.logs:
            self._train()
            # All is saved: from here on Ctrl-C may leave at once and loses nothing.
            report, best = self._evaluate()
            if best:
                self.saver.name_best()
            return self._finish(report, self._probe())

    def _announce(self) -> None:
        logger.info(
            "%s: %s images, %s categories, %s weights; %s updates of %s images on %s%s",
            self.recipe.name,
            f"{len(self.data):,}",
            f"{len(self.setup.outputs):,}",
            f"{self.setup.parameters:,}",
            f"{self.setup.total_steps:,}",
            f"{self.recipe.data.batch_size:,}",
            self.ranks.device,
            f" by {self.ranks.size} processes" if self.ranks.size > 1 else "",
        )

    def _train(self) -> None:
        """All updates that are left."""
        recipe, state, total = self.recipe, self.state, self.setup.total_steps
        peak = recipe.optimizer.rate_for(recipe.data.batch_size)
        state.network.train()
        saved_at = time.monotonic()
        batches = self.data.steps(state.step, total)
        progress = Progress(total, recipe.data.batch_size, state.step, self.ranks.is_first)
        with self.saver, StopRequest() as stop, contextlib.closing(batches), progress:
            while state.step < total:
                rate = learning_rate(recipe.schedule, peak, self.setup.epoch)
                started = time.perf_counter()
                batch = next(batches)
                waited = time.perf_counter() - started
                loss, norm = self._update(batch, rate)
                self.meter.add(len(batch.rows), loss, norm, waited)
                self._report(progress, rate)
                best = False
                if self.validation.is_due():
                    with progress.hidden(state.step), self.meter.paused():
                        best = self._evaluate()[1]
                if self.probe.is_due():
                    with progress.hidden(state.step), self.meter.paused():
                        self._probe()
                due = recipe.checkpoint.is_due(self.state.step, saved_at) or best
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

    def _update(self, batch: StepData, rate: float) -> tuple[float, float]:
        precision, clip_norm = self.recipe.hardware.precision, self.recipe.optimizer.clip_norm
        try:
            return update(self.state, batch, rate, precision, clip_norm, self.ranks)
        except NonFiniteLossError as error:
            problem = capture(self.run.path, self.setup, batch, error, self._record())
            raise self.ranks.everywhere(problem) from None
        except (RuntimeError, MemoryError) as error:
            if isinstance(error, RuntimeError) and self.ranks.size > 1 and is_lost_peer(error):
                raise lost_peer() from None
            if not ran_out_of_memory(error):
                raise
            raise TrainingError(
                self.run.path,
                f"out of memory at update {self.state.step + 1}",
                "lower data.micro_batch or data.batch_norm_group, in a new folder",
            ) from None

    def _report(self, progress: Progress, rate: float) -> None:
        step, setup = self.state.step, self.setup
        progress.step(step)
        due = self.meter.window_seconds >= self.recipe.hardware.log_seconds
        if due or step == setup.total_steps:
            record = self.meter.record(step, setup.epoch, setup.samples_seen, rate)
            self._log(record.to_json())
            progress.show(record)

    def _evaluate(self) -> tuple[EvaluationReport | None, bool]:
        """Measure the network, log the measures, and say whether it is the best so far."""
        report = self.validation.measure()
        if report is None:
            return None, False
        measures = {"metrics": report.model.summary(), "baseline": report.baseline.summary()}
        self._log({"kind": "evaluation", **self._where(), **measures, **report.parts()})
        return report, self.saver.consider(self.state.step, report.model.map_macro)

    def _probe(self) -> dict[str, Any] | None:
        """Probe the network's features, and log the accuracies."""
        found = self.probe.measure()
        if found is not None:
            self._log({"kind": "probe", **self._where(), **found})
        return found

    def _where(self) -> dict[str, Any]:
        return {"step": self.state.step, "epoch": round(self.setup.epoch, 6)}

    def _log(self, record: dict[str, Any]) -> None:
        self.run.log(record)
        self.logs.add(record)

    def _save(self) -> None:
        if self.ranks.is_first:
            state = self.state
            self.saver.save(self._record(), state.model_tensors(), state.training_tensors())

    def _record(self) -> dict[str, Any]:
        """What state.json says."""
        return {
            "step": self.state.step,
            "samples_seen": self.setup.samples_seen,
            "epoch": self.setup.epoch,
            "data": self.setup.fingerprint,
            "broken": {str(row): why for row, why in self.data.broken.reasons.items()},
            "scaler": self.state.scaler.state_dict(),
            "totals": self.meter.totals,
            "ranks": self.ranks.size,
            "versions": {"mlimages": __version__, "torch": torch.__version__},
        }

    def _stopped(self, signal_name: str) -> InterruptedTrainingError:
        """Save, wait until it is done on all ranks, and say how to continue."""
        step, path = self.state.step, self.run.path
        self._save()
        self.saver.finish()
        self.ranks.wait()
        error = InterruptedTrainingError(
            path,
            f"stopped by {signal_name} after update {step:,} of {self.setup.total_steps:,}, "
            f"saved in {checkpoint_folder(path, step).name}",
            f"continue with: mlimages train {self.setup.db.root} --out {path} --resume",
        )
        self.ranks.everywhere(error)
        return error

    def _finish(
        self, report: EvaluationReport | None, probe: dict[str, Any] | None
    ) -> TrainingResult:
        meter, setup = self.meter, self.setup
        seconds = max(meter.seconds, 1e-9)
        result = TrainingResult(
            run=str(self.run.path),
            checkpoint=str(checkpoint_folder(self.run.path, self.state.step)),
            recipe=self.recipe.name,
            steps=self.state.step,
            samples_seen=setup.samples_seen,
            epochs=round(setup.epoch, 4),
            images=len(self.data),
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
