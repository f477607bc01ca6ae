"""`mlimages train`"""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from mlimages.cli.arguments import DatabasePath
from mlimages.cli.output import Json, emit

if TYPE_CHECKING:
    from mlimages.training.estimate import RunEstimate
    from mlimages.training.replay import ReplayReport
    from mlimages.training.run import TrainingResult


def train(
    db: DatabasePath,
    *,
    out: Path | None = None,
    recipe: str | None = None,
    set: Annotated[tuple[str, ...], tyro.conf.arg(metavar="KEY=VALUE ...")] = (),
    split: str | None = None,
    subset: Literal["all", "multi", "single"] | None = None,
    device: str | None = None,
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    dry_run: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    replay: Path | None = None,
    json: Json = False,
) -> None:
    """Train a network on a database, as a recipe says.

    Ctrl-C saves the run; --resume continues it exactly, also after a crash.

    Started by torchrun it trains in several processes, on as many GPUs.

    Example: mlimages train DB --recipe photos --out runs/photos --set schedule.epochs=5

    Args:
        out: Folder of the run.
        recipe: Name of a recipe (paper, released, modern, photos, scenes) or a .toml file.
        set: Settings that differ from the recipe, such as optimizer.learning_rate=0.02.
        split: Split to train on; the recipe's when left out ("train").
        subset: Images of multi-label sources, of single-label sources, or all.
        device: auto, cpu or cuda.
        resume: Continue the run in --out, with its own recipe unless one is named.
        dry_run: Only measure a few steps; print steps, hours and storage of the run, write nothing.
        replay: Folder of a run's nan-capture: run that step again and say where NaN came from.
    """
    from mlimages.database import Database
    from mlimages.errors import UsageError
    from mlimages.training import estimate, loop
    from mlimages.training.distribution import is_first_process
    from mlimages.training.recipe import find_recipe
    from mlimages.training.replay import replay as run_again
    from mlimages.training.run import saved_recipe

    if replay is not None:
        report = run_again(Database.open(db), replay, device)
        emit(report, json, "\n".join(_replay_text(report)))
        return
    if out is None and not dry_run:
        raise UsageError("mlimages train", "missing --out", "name a folder for the run")
    chosen = find_recipe(recipe) if recipe else saved_recipe(out) if resume and out else None
    if chosen is None:
        raise UsageError(
            "mlimages train", "no recipe", "add --recipe photos, or see mlimages train --help"
        )
    options = {"data.split": split, "data.part": subset, "hardware.device": device}
    # Quoted: a split may be called 2012 or true.
    changes = [
        f"{key}={dumps(value, ensure_ascii=False)}"
        for key, value in options.items()
        if value is not None
    ]
    settings = chosen.override(*set, *changes)
    if out is None or dry_run:
        expected = estimate.estimate(Database.open(db), settings)
        if is_first_process():
            emit(expected, json, "\n".join(_estimate_text(expected)))
        return
    result = loop.train(Database.open(db), settings, out, resume)
    if is_first_process():
        emit(result, json, "\n".join(_text(result)))


def _text(result: TrainingResult) -> list[str]:
    lines = [
        f"{result.recipe}: {result.steps:,} updates, {result.epochs:g} epochs of "
        f"{result.images:,} images, {result.categories:,} categories",
        f"{result.images_per_second:,.0f} images/s, {result.data_wait:.1%} waiting for data; "
        f"saved in {result.checkpoint}",
    ]
    if result.broken:
        lines.append(f"{len(result.broken)} broken images were replaced: {result.broken[0]} ...")
    if result.evaluation:
        model, baseline = result.evaluation["model"], result.evaluation["baseline"]
        if model["map_macro"] is not None:
            lines.append(
                f"macro mAP {model['map_macro']:.4f} (predicting frequencies: "
                f"{baseline['map_macro']:.4f}) over {model['categories']} categories with "
                f"{model['minimum_positives']} or more positives"
            )
    if probe := result.probe:
        lines.append(
            f"probes: linear {probe['linear']:.4f}, kNN {probe['knn']:.4f} over "
            f"{probe['classes']} classes, {probe['images_per_class']} photos each"
        )
    return lines


def _estimate_text(expected: RunEstimate) -> list[str]:
    return [
        f"{expected.recipe}: {expected.steps:,} updates, {expected.epochs:g} epochs of "
        f"{expected.images:,} images, {expected.categories:,} categories, "
        f"{expected.parameters:,} weights",
        f"{expected.step_seconds:.3g} s an update (from {expected.measured_steps} of "
        f"{expected.measured_images:,} images; "
        f"{expected.processes} x {expected.device}): {expected.hours:.2f} hours without evaluation",
        f"checkpoints: {expected.checkpoint_bytes / 1e6:,.1f} MB each, "
        f"{expected.storage_bytes / 1e6:,.1f} MB at most",
    ]


def _replay_text(report: ReplayReport) -> list[str]:
    lines = [f"step {report.step}: the run found {report.problem}"]
    if not report.same_images:
        lines.append("warning: other images were broken then; the batch is not the same")
    if report.weight:
        lines.append(f"weight {report.weight} was not finite before the step")
    if report.layer:
        lines.append(f"layer {report.layer} is the first whose output is not finite")
    if report.category:
        lines.append(f"the loss's term of category {report.category} is not finite")
    if report.gradient:
        lines.append(f"the gradient of {report.gradient} is the first that is not finite")
    if report.rows:
        lines.append("images (rows): " + ", ".join(map(str, report.rows)))
    if len(lines) == 1:
        lines.append("everything is finite here: on this device the problem does not show")
    return lines
