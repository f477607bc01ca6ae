"""The step of a non-finite loss, written down so that it can be run again.

    RUN/nan-capture/step-00001234/

It is a checkpoint of the state before the step, which was not made; state.json says under "capture"
what was found. `mlimages train DB --replay FOLDER` runs the step again (replay.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlimages.errors import TrainingError
from mlimages.training.checkpoint import seal
from mlimages.training.data import StepData
from mlimages.training.setup import Setup
from mlimages.training.update import NonFiniteLossError

CAPTURE = "capture"


def capture(
    run: Path, setup: Setup, batch: StepData, error: NonFiniteLossError, state: dict[str, Any]
) -> TrainingError:
    """Write the step down; called by all ranks, and written by the first.

    Args:
        run: the run's folder.
        setup: as it was before the step.
        batch: of the step.
        error: what the update found.
        state: content of a state.json.

    Returns:
        the error that ends the run.
    """
    step = setup.state.step
    folder = run / "nan-capture" / f"step-{step:08d}"
    losses = setup.ranks.collect(error.own_loss)
    found = {"problem": str(error), "losses_of_ranks": list(map(str, losses))}
    record = {**state, CAPTURE: {**found, "rows": batch.rows.tolist()}}
    if setup.ranks.is_first:
        weights, training = setup.state.model_tensors(), setup.state.training_tensors()
        seal(folder, setup.model, weights, record, training)
    return TrainingError(
        run,
        f"{error} at update {step + 1} (captured in {folder})",
        f"see why: mlimages train {setup.db.root} --replay {folder}; then lower "
        "optimizer.learning_rate or use hardware.precision=float32, in a new folder",
    )
