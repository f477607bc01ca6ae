"""`mlimages transfer`"""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import Positional

from mlimages.cli.output import Json, emit

if TYPE_CHECKING:
    from mlimages.transfer.loop import TransferResult
    from mlimages.transfer.recipe import TransferRecipe


def transfer(
    recipe: Annotated[
        Positional[str],
        tyro.conf.arg(metavar="RECIPE", help="Name of a recipe of recipes/transfer, or a file."),
    ],
    *,
    data: Path,
    backbone: str,
    out: Path | None = None,
    set: Annotated[tuple[str, ...], tyro.conf.arg(metavar="KEY=VALUE ...")] = (),
    device: str = "auto",
    dry_run: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    json: Json = False,
) -> None:
    """Carry a network to a benchmark: classification, detection, segmentation, or a probe.

    The data is checked first. The result is OUT/result.json and a page, OUT/report.html.

    Example: mlimages transfer caltech256 --data 101_ObjectCategories --backbone efficientnet-lite0
        --out runs/caltech --set data.images_per_class=15

    Args:
        data: The benchmark's folder, in its published layout.
        backbone: A run or checkpoint folder, efficientnet-lite0, timm:NAME, or untrained:
            followed by one of these or by such as resnet101.
        out: Folder of the run.
        set: Settings that differ from the recipe, such as schedule.epochs=5.
        device: auto, cpu or cuda.
        dry_run: Check the data, measure an update, print the cost and the expected number; stop.
        resume: Continue the run in --out where it was saved.
    """
    from mlimages.errors import UsageError
    from mlimages.transfer.recipe import find_transfer_recipe

    chosen = find_transfer_recipe(recipe).override(
        *set, f"model.backbone={dumps(backbone)}", f"hardware.device={dumps(device)}"
    )
    if chosen.task == "probe":
        _probe(chosen, data, json)
        return
    if out is None and not dry_run:
        raise UsageError("mlimages transfer", "no place for the run", "add --out RUN")
    from mlimages.transfer.data import read_data

    photos = read_data(chosen, data)
    if dry_run:
        _dry_run(chosen, photos, json)
        return
    from mlimages.training.distribution import is_first_process
    from mlimages.transfer import loop

    assert out is not None
    result = loop.transfer(chosen, photos, out, resume)
    if is_first_process():
        emit(result, json, "\n".join(describe(result)))


def describe(result: TransferResult) -> list[str]:
    """What a finished run prints."""
    shown = "  ".join(f"{name} {100 * value:.2f}" for name, value in result.measures.items())
    lines = [
        f"{result.recipe}: {result.steps:,} updates, {result.epochs:g} epochs of "
        f"{result.images:,} photos from {result.backbone}; {result.learning:,} of "
        f"{result.parameters:,} weights learned",
        f"on {result.test_images:,} photos, in %: {shown}",
    ]
    if result.expected:
        lines.append(f"expected: {result.expected}")
    lines.append(f"page: {Path(result.run) / 'report.html'}; network: {result.checkpoint}")
    return lines


def schedule_lines(recipe: TransferRecipe, images: int) -> list[str]:
    """Length and learning rate of a run, for a plan."""
    from mlimages.training.schedule import total_steps

    optimizer, schedule, data = recipe.optimizer, recipe.schedule, recipe.data
    steps = total_steps(schedule, images, data.batch_size)
    decays = ", ".join(f"{epoch:g}" for epoch in schedule.decay_epochs)
    course = f"decays at {decays}" if schedule.name == "step" else "half a cosine"
    size = f"{data.size}, the last {data.late_epochs:g} at {data.late_size}"
    return [
        f"{steps:,} updates of {data.batch_size} photos, {schedule.epochs:g} epochs at "
        f"{size if data.late_size else data.size} pixels",
        f"{optimizer.name}, learning rate {optimizer.rate_for(data.batch_size):g}, "
        f"{schedule.warmup_epochs:g} epochs of warm-up, {course}",
    ]


def _dry_run(recipe: TransferRecipe, photos: Any, json: bool) -> None:
    from mlimages.training.distribution import is_first_process
    from mlimages.transfer.cost import measure_cost

    cost = measure_cost(recipe, photos)
    plan = schedule_lines(recipe, len(photos.train))
    report = {
        "recipe": recipe.name,
        "task": recipe.task,
        "data": photos.lines,
        "schedule": plan,
        "cost": cost,
        "expected": recipe.expected,
    }
    text = [
        f"{recipe.name}: {recipe.description}",
        *(f"data: {line}" for line in photos.lines),
        *(f"schedule: {line}" for line in plan),
        f"cost: {cost.seconds_per_step:.2f} s an update on {cost.processes} x {cost.device}, "
        f"measured; {cost.hours:,.2f} hours for all {cost.steps:,}, without tests",
        f"expected: {recipe.expected or 'nothing is published for this'}",
    ]
    if is_first_process():
        emit(report, json, "\n".join(text))


def _probe(recipe: TransferRecipe, data: Path, json: bool) -> None:
    from mlimages.cli.output import table
    from mlimages.models.few_shot import few_shot_folder
    from mlimages.training.inference import load_model

    model = load_model(recipe.model.backbone, recipe.hardware.device)
    per_class, draws = recipe.data.images_per_class, recipe.evaluation.draws
    report = few_shot_folder(model, data, per_class, draws, recipe.seed)
    rows: list[list[str]] = [
        [method, *(f"{100 * value:.1f}" for value in (min(v), report.median(method), max(v)))]
        for method, v in report.accuracies.items()
    ]
    text = [
        f"{report.num_classes:,} classes, {per_class} photos of each to learn from, "
        f"{report.num_test:,} to test on; mean per-class accuracy in % of {draws} draws:",
        "",
        table(rows, ["", "minimum", "median", "maximum"]),
    ]
    if report.excluded:
        text += ["", f"left out as clutter: {', '.join(report.excluded)}"]
    if recipe.expected:
        text += ["", f"expected: {recipe.expected}"]
    emit(report, json, "\n".join(text))
