"""The page: `report.html`, one file that needs nothing else, made from `results.json`.

Everything that comes from outside (names, ids, reasons) is escaped by the template engine, and the
page's own policy forbids it to load anything or run scripts.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from mlimages.errors import InputError
from mlimages.pages.plots import images_per_category, tags_per_image
from mlimages.pages.rendering import page_environment
from mlimages.quickstart import plots
from mlimages.storage import write_text

MEASURES = (
    ("map_macro", "mAP, mean over categories"),
    ("map_micro", "mAP, all decisions pooled"),
    ("instance_precision_top5", "precision of the top 5"),
    ("instance_recall_top5", "recall of the top 5"),
    ("instance_f1_top5", "F1 of the top 5"),
    ("instance_precision_top10", "precision of the top 10"),
    ("instance_recall_top10", "recall of the top 10"),
    ("instance_f1_top10", "F1 of the top 10"),
    ("class_f1_top5", "F1 of the top 5, mean over categories"),
    ("class_f1_top10", "F1 of the top 10, mean over categories"),
)
BARS = {
    "map_macro": "mAP",
    "instance_f1_top5": "F1, top 5",
    "instance_f1_top10": "F1, top 10",
    "class_f1_top5": "F1, top 5\nby category",
}
REASONS = {"asserted": "said by the source", "ancestor": "ancestor", "cooccurrence": "co-occurs"}
SHOWN_PAIRS = 14
_MEDIA_TYPES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png"}


def write_report(results: dict[str, Any], folder: Path | str) -> Path:
    """Write `report.html` into a folder that holds the results' pictures.

    Args:
        results: plain values as in `results.json` (`Results.to_dict`).
        folder: where the pictures are, and where the page goes.

    Returns:
        The page's path.

    Raises:
        MissingExtraError: matplotlib or jinja2 is not installed.
        InputError: a picture is missing.
    """
    path = Path(folder) / "report.html"
    write_text(path, render_report(results, Path(folder)))
    return path


def render_report(results: dict[str, Any], folder: Path) -> str:
    """The page as text; see `write_report`."""
    environment = page_environment("mlimages.quickstart")
    environment.filters.update(
        duration=format_duration, picture=lambda name: picture_address(folder / name)
    )
    return environment.get_template("report.html").render(
        results=results,
        plots=draw_plots(results),
        measures=measure_rows(results["metrics"]),
        reasons=REASONS,
        shown_pairs=SHOWN_PAIRS,
        total_seconds=sum(stage["seconds"] for stage in results["stages"]),
    )


def draw_plots(results: dict[str, Any]) -> dict[str, Any]:
    """Data addresses of all plots that the results have data for."""
    drawn: dict[str, Any] = {"curves": []}
    if results["statistics"] is not None:
        drawn["sizes"] = images_per_category(results["statistics"]["category_sizes"]).address()
        drawn["tags"] = tags_per_image(results["statistics"]["tag_counts"]).address()
    for number, run in enumerate(results["training"]):
        drawn["curves"].append(plots.training_curve(run["label"], run["history"], number))
    if results["metrics"]:
        drawn["measures"] = plots.measure_bars(results["metrics"], BARS)
    if results["probe"] is not None:
        drawn["probe"] = plots.probe_accuracies(results["probe"]["rows"])
    return drawn


def measure_rows(columns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the table of measures: a label, a value a column, and which of them is the best."""
    rows = []
    for name, label in MEASURES:
        values = [column["measures"].get(name) for column in columns]
        known = [value for value in values if value is not None]
        if known:
            best = max(known)
            rows.append({"label": label, "cells": [(v, v == best) for v in values]})
    return rows


def picture_address(path: Path) -> str:
    """A picture file as a data address; raises InputError when it cannot be read."""
    try:
        kind = _MEDIA_TYPES[path.suffix.lower()]
        return f"data:{kind};base64," + base64.b64encode(path.read_bytes()).decode()
    except (OSError, KeyError):
        raise InputError(path, "no such picture", "run: mlimages quickstart --fresh") from None


def format_duration(seconds: float) -> str:
    """Seconds in words that stay on one line: 0.4 s, 12 s, 3 min 5 s, 1 h 4 min."""
    if seconds < 9.95:
        return f"{seconds:.1f}\N{NO-BREAK SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest}\N{NO-BREAK SPACE}s"
    hours, minutes = divmod(minutes, 60)
    words = f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
    return words.replace(" ", "\N{NO-BREAK SPACE}")
