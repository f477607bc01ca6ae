"""One page about a training run: curves, measures, settings. It loads nothing from elsewhere."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from mlimages.pages.plots import BLUE, GREY, ORANGE, Drawing, drawing
from mlimages.pages.rendering import page_environment
from mlimages.storage import write_text

PAGE = "index.html"


def write_training_page(run: Path | str) -> Path:
    """Write RUN/index.html from what the run has logged so far.

    Raises:
        MissingExtraError: jinja2 or matplotlib is not installed.
    """
    run = Path(run)
    log = run / "metrics.jsonl"
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    records = [json.loads(line) for line in lines]
    training = [record for record in records if record["kind"] == "train"]
    measured = [record for record in records if record["kind"] == "evaluation"]
    probed = [record for record in records if record["kind"] == "probe"]
    recipe = tomllib.loads((run / "recipe.toml").read_text(encoding="utf-8"))
    result = run / "result.json"
    templates = resources.files("mlimages.pages") / "templates"
    page = (
        page_environment()
        .get_template("training.html")
        .render(
            name=run.name,
            recipe=recipe["name"],
            sections={name: values for name, values in recipe.items() if isinstance(values, dict)},
            last=training[-1] if training else None,
            measured=measured,
            finished=json.loads(result.read_text(encoding="utf-8")) if result.is_file() else None,
            curves=[
                (title, curve.address())
                for title, curve in (*_curves(training, measured), *_probes(probed))
            ],
            style=(templates / "base.css").read_text(encoding="utf-8")
            + (templates / "pages.css").read_text(encoding="utf-8"),
        )
    )
    write_text(run / PAGE, page)
    return run / PAGE


def _curves(
    training: Sequence[dict[str, Any]], measured: Sequence[dict[str, Any]]
) -> list[tuple[str, Drawing]]:
    curves = []
    if training:
        names = {"loss": "Loss", "learning_rate": "Learning rate", "gradient_norm": "Gradient norm"}
        names["images_per_second"] = "Images a second"
        curves = [(title, _curve(training, name, title)) for name, title in names.items()]
    if measured:
        with drawing("map") as figure:
            axes = figure.subplots()
            epochs = [record["epoch"] for record in measured]
            for who, colour, label in (
                ("metrics", BLUE, "the network"),
                ("baseline", GREY, "predicting frequencies"),
            ):
                values = [record[who]["map_macro"] for record in measured]
                known = [float("nan") if value is None else value for value in values]
                axes.plot(epochs, known, marker="o", markersize=3, color=colour, label=label)
            axes.set(xlabel="epoch", ylabel="macro mAP")
            axes.legend()
        curves.append(("Macro mAP on the validation split", Drawing(figure)))
    return curves


def _probes(probed: Sequence[dict[str, Any]]) -> list[tuple[str, Drawing]]:
    if not probed:
        return []
    with drawing("probe") as figure:
        axes = figure.subplots()
        epochs = [record["epoch"] for record in probed]
        for method, colour in (("linear", BLUE), ("knn", ORANGE)):
            values = [record[method] for record in probed]
            axes.plot(epochs, values, marker="o", markersize=3, color=colour, label=method)
        axes.set(xlabel="epoch", ylabel="accuracy")
        axes.legend()
    title = f"Accuracy of probes, {probed[-1]['images_per_class']} photos a class"
    return [(title, Drawing(figure))]


def _curve(records: Sequence[dict[str, Any]], name: str, title: str) -> Drawing:
    with drawing(name) as figure:
        axes = figure.subplots()
        values = [float("nan") if r[name] is None else r[name] for r in records]
        colour = BLUE if name == "loss" else ORANGE
        axes.plot([record["epoch"] for record in records], values, color=colour)
        axes.set(xlabel="epoch", ylabel=title.lower())
    return Drawing(figure)
