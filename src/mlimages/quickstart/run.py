"""The guided run: the whole job of the paper once, small but real in every part.

    quickstart("quickstart")                         # drawn scenes
    quickstart("quickstart", photos="shared/data")   # real photos

Each stage calls the same public functions that the commands call.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mlimages import __version__
from mlimages.errors import InterruptedTrainingError
from mlimages.quickstart import building, learning
from mlimages.quickstart.plans import Plan, photos_plan, scenes_plan
from mlimages.quickstart.report import write_report
from mlimages.quickstart.results import Results, write_results
from mlimages.quickstart.showing import tag_real_photos
from mlimages.quickstart.stages import Outcome, StageLog


@dataclass(frozen=True)
class QuickstartResult:
    """Where the page is, and all that is on it (the content of `results.json`)."""

    report: Path
    results: dict[str, Any]


def quickstart(
    out: Path | str = "quickstart",
    photos: Path | str | None = None,
    seed: int = 0,
    fresh: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> QuickstartResult:
    """Run the whole chain; what was done before, in the same folder, is not done again.

    Args:
        out: folder for everything; new, or that of a run to continue.
        photos: a folder of real photos laid out as `plans.PHOTO_FOLDERS`; None draws scenes.
        seed: of scenes, networks and choices.
        fresh: begin anew even if there is a run to continue.
        say: takes one line a stage.

    Raises:
        InputError: `out` holds something else, or `photos` lacks a folder.
        InterruptedTrainingError: asked to stop; the same call continues.
        MlimagesError: as the functions of each stage.
    """
    out = Path(out)
    source = Path(photos).absolute() if photos is not None else None
    plan = scenes_plan(out / "scenes", seed) if source is None else photos_plan(source, seed)
    options = {"photos": str(source or "none"), "seed": seed, "version": __version__}
    log = StageLog(out, options, fresh, say)
    try:
        found = _run_stages(plan, out, seed, log)
    except InterruptedTrainingError as error:
        again = f"mlimages quickstart --out {out}" + (f" --photos {photos}" if photos else "")
        again += f" --seed {seed}" if seed else ""
        raise InterruptedTrainingError(out, error.cause, f"continue with: {again}") from None
    run = Results(plan.mode, seed, __version__, _machine(), log.stages)
    results = run.to_dict() | found
    write_results(results, out / "results.json")
    return QuickstartResult(write_report(results, out), results)


def _run_stages(plan: Plan, out: Path, seed: int, log: StageLog) -> dict[str, Any]:
    """Do all stages that are not done, and put together what they found."""
    stage, database, runs = log.run, out / "database", out / "runs"
    found = stage("real", "tag two real photos", partial(_tag_real_photos, out))
    if plan.prepare is not None:
        stage("scenes", "draw scenes", partial(_draw, out / "scenes", plan.prepare))
    work: Callable[[], Outcome] = partial(building.import_sources, database, plan.read)
    found |= stage("import", "import the sources", work)
    found |= stage("pack", "pack the images", partial(building.pack, database))
    work = partial(learning.train_network, database, plan.teacher, runs)
    teacher = stage("teacher", "train the teacher", work)
    work = partial(building.complete, database, runs / plan.teacher.name, plan.truth)
    found |= stage("complete", "complete the tags", work)
    work = partial(building.describe, database, out, seed)
    found |= stage("describe", "describe the database", work)
    trained = []
    for run in plan.runs:
        work = partial(learning.train_network, database, run, runs)
        trained.append(stage(run.name, f"train with {run.label}", work))
    found["training"] = [entry["training"] for entry in (*trained, teacher)]
    work = partial(learning.evaluate_networks, database, plan.runs, runs, out, seed)
    found |= stage("evaluate", "measure", work)
    work = partial(
        learning.probe_networks, plan.runs, runs, plan.transfer, plan.transfer_name, seed
    )
    return found | stage("probe", "probe other classes", work)


def _tag_real_photos(out: Path) -> Outcome:
    real = tag_real_photos(out)
    tags = [f"{photo.name}: {photo.tags[0].path[-1]}" for photo in real.photos if photo.tags]
    return Outcome(real.missing or ", ".join(tags), {"real": real})


def _draw(folder: Path, prepare: Callable[[], None]) -> Outcome:
    shutil.rmtree(folder, ignore_errors=True)  # drawn, but not noted as done
    prepare()
    return Outcome("photos of one object and of several, in ten kinds of places")


def _machine() -> dict[str, str]:
    """What the times depend on."""
    return {
        "processors": str(len(os.sched_getaffinity(0))),
        "Python": platform.python_version(),
        "torch": torch.__version__,
    }
