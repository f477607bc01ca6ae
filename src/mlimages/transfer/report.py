"""RUN/report.html: one page a run, with curves, a table of classes, and best and worst photos.

The page is one file: its pictures are inside it.
"""

from __future__ import annotations

import base64
import io
import json
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mlimages.pages.plots import BLUE, ORANGE, Drawing, drawing
from mlimages.pages.rendering import page_environment
from mlimages.storage import write_text
from mlimages.training.run import METRICS
from mlimages.transfer.recipe import TransferRecipe
from mlimages.transfer.tasks.base import Evaluation, Task

REPORT = "report.html"
SIDE = 420  # pixels of the longer side of a picture
KEYS = {
    "detection": "Green boxes are true, orange ones found with a score of 0.5 or more.",
    "segmentation": "True classes on the left, found ones on the right.",
}


def write_report(
    run: Path, result: dict[str, Any], evaluation: Evaluation, task: Task, recipe: TransferRecipe
) -> None:
    """Write the page of a run whose network is in evaluation mode.

    Raises:
        MissingExtraError: jinja2 or matplotlib is not installed.
    """
    order = np.argsort([image["score"] for image in evaluation.images], kind="stable").tolist()
    number = min(recipe.evaluation.pictures, (len(order) + 1) // 2)
    worst, best = order[:number], order[::-1][:number]
    pictures = [
        (title, [_case(task, evaluation, index) for index in indices])
        for title, indices in (("Best", best), ("Worst", worst))
    ]
    styles = resources.files("mlimages.pages") / "templates"
    css = "\n".join((styles / f).read_text(encoding="utf-8") for f in ("base.css", "pages.css"))
    template = page_environment("mlimages.transfer").get_template("transfer.html")
    page = template.render(
        result=result,
        css=css,
        curves=[figure.address() for figure in curves(run / METRICS)],
        columns=list(next(iter(evaluation.per_class.values()), {})),
        per_class=evaluation.per_class,
        pictures=pictures if number else [],
        key=KEYS.get(recipe.task, ""),
        settings=recipe.to_toml(),
    )
    write_text(run / REPORT, page)


def curves(log: Path) -> list[Drawing]:
    """Loss and, where it was measured on the way, the measures over epochs."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    records = [json.loads(line) for line in lines]
    trained = [record for record in records if record["kind"] == "train"]
    figures = []
    if trained:
        with drawing("loss") as figure:
            axes = figure.subplots()
            epochs = [record["epoch"] for record in trained]
            axes.plot(epochs, [record["loss"] for record in trained], color=BLUE, marker=".")
            axes.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
        figures.append(Drawing(figure))
    measured = [record for record in records if record["kind"] == "evaluation"]
    if len(measured) > 1:
        with drawing("measures") as figure:
            axes = figure.subplots()
            name = next(iter(measured[-1]["metrics"]))
            epochs = [record["epoch"] for record in measured]
            values = [record["metrics"].get(name) for record in measured]
            axes.plot(epochs, values, color=ORANGE, marker=".")
            axes.set(xlabel="epoch", ylabel=name, ylim=(0, 1))
        figures.append(Drawing(figure))
    return figures


def _case(task: Task, evaluation: Evaluation, index: int) -> dict[str, Any]:
    picture = Image.fromarray(task.picture(index))
    picture.thumbnail((SIDE, SIDE))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=84)
    address = "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()
    return {**evaluation.images[index], "address": address}
