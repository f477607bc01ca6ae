"""Pretraining beside plain PyTorch and torchmetrics: step, loss, metrics, processes.

Each part says in its file in benchmarks/pretraining/ what the two sides are. `ratios`:

    step_vs_bare_loop                     our step over that of a bare loop; wanted: at most 1.03
    loss_time_vs_bce, loss_memory_vs_bce  the paper's loss over torch's; at most 1
    metrics_vs_torchmetrics               throughput of ours over theirs; at least 20
    scaling_efficiency_2                  of two processes
    collective_bytes_vs_gradient_bytes    what processes exchange over the gradient; at most 1.02
"""

from __future__ import annotations

from pathlib import Path

from harness import Outcome, main
from pretraining import loss, metrics, scaling, step


def measure(quick: bool, folder: Path) -> Outcome:
    """All parts, one after the other."""
    db = step.photos(folder, classes=10 if quick else 40)
    outcome = loss.measure(quick)
    outcome.add(metrics.measure(quick))
    outcome.add(step.measure(quick, db))
    outcome.add(scaling.measure(quick, db, folder))
    return outcome


if __name__ == "__main__":
    packages = ["torch", "torchmetrics", "numpy", "numba"]
    main(__doc__.splitlines()[0], measure, packages, writes=True)
