"""The page's plots: SVG pictures as data addresses, all in one style."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mlimages.errors import require

BLUE, ORANGE, GREEN, GREY = "#2f6fde", "#e8743b", "#199c72", "#8a94a3"
COLOURS = (BLUE, ORANGE, GREEN, "#8c5bd1")
INK, FAINT = "#27313f", "#e3e8ee"
STYLE = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": "#c9d1db",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "grid.color": FAINT,
    "xtick.color": "#5d6875",
    "ytick.color": "#5d6875",
    "text.color": INK,
    "font.size": 8.5,
    "font.family": "DejaVu Sans",  # ships with matplotlib
    "legend.frameon": False,
    "svg.fonttype": "path",
    "lines.linewidth": 1.8,
}


def images_per_category(sizes: list[int]) -> str:
    """The paper's first figure: categories by rank, their numbers of images on a log scale."""
    with _figure("sizes") as (figure, address):
        axes = figure.subplots()
        ranks = range(1, len(sizes) + 1)
        axes.fill_between(ranks, sizes, 0.8, color=BLUE, alpha=0.14, linewidth=0)
        axes.plot(ranks, sizes, color=BLUE)
        mean = sum(sizes) / max(1, len(sizes))
        axes.axhline(mean, color=ORANGE, linewidth=1.2, linestyle="--")
        axes.annotate(
            f"mean {mean:,.0f}",
            (1, mean),
            xycoords=("axes fraction", "data"),
            xytext=(-3, 4),
            textcoords="offset points",
            ha="right",
            color=ORANGE,
        )
        axes.set(yscale="log", ylim=(0.8, max(sizes, default=1) * 1.6), xlim=(0, len(sizes) + 1))
        axes.set(xlabel="category, by number of images", ylabel="images (log scale)")
        axes.yaxis.set_major_formatter(_thousands())
    return address()


def tags_per_image(counts: list[int]) -> str:
    """The paper's second figure: how many images have how many tags."""
    with _figure("tags") as (figure, address):
        axes = figure.subplots()
        axes.bar(range(len(counts)), counts, color=BLUE, alpha=0.85, width=0.85)
        total = sum(counts)
        mean = sum(number * count for number, count in enumerate(counts)) / max(1, total)
        axes.axvline(mean, color=ORANGE, linewidth=1.2, linestyle="--")
        axes.annotate(
            f"mean {mean:.1f}",
            (mean, 1),
            xycoords=("data", "axes fraction"),
            xytext=(4, -8),
            textcoords="offset points",
            color=ORANGE,
        )
        axes.set(xlabel="tags of an image", ylabel="images")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(visible=False, axis="x")
        axes.yaxis.set_major_formatter(_thousands())
    return address()


def training_curve(label: str, history: list[dict[str, float]], number: int = 0) -> str:
    """Loss and learning rate of one run over its epochs."""
    epochs = [entry["epoch"] for entry in history]
    with _figure(f"curve {number} {label}", height=2.7) as (figure, address):
        axes = figure.subplots()
        rate = axes.twinx()
        rates = [entry["learning_rate"] for entry in history]
        rate.fill_between(epochs, rates, color=GREY, alpha=0.16, linewidth=0, step="pre")
        rate.set_ylabel("learning rate", color=GREY)
        rate.tick_params(axis="y", colors=GREY)
        rate.grid(visible=False)
        rate.set_ylim(0, max(rates, default=1) * 1.15)
        losses = [entry["loss"] for entry in history]
        axes.plot(epochs, losses, color=COLOURS[number % len(COLOURS)])
        axes.set_zorder(rate.get_zorder() + 1)
        axes.patch.set_visible(False)
        axes.set(xlabel="epoch", ylabel="loss", xlim=(0, max(epochs, default=1)))
        axes.set_ylim(bottom=0)
    return address()


def measure_bars(columns: list[dict[str, Any]], names: dict[str, str]) -> str:
    """A few measures of all columns as bars; the baseline's are grey."""
    with _figure("measures", height=3.4) as (figure, address):
        axes = figure.subplots()
        width = 0.8 / len(columns)
        colours = iter(COLOURS)
        for number, column in enumerate(columns):
            values = [column["measures"].get(name) or 0.0 for name in names]
            places = [
                place + (number - (len(columns) - 1) / 2) * width for place in range(len(values))
            ]
            colour = GREY if column["baseline"] else next(colours)
            bars = axes.bar(places, values, width * 0.92, color=colour, label=column["label"])
            axes.bar_label(bars, fmt="%.2f", fontsize=7, padding=2)
        axes.set_xticks(range(len(names)), list(names.values()))
        axes.set(ylim=(0, 1.12), yticks=[0, 0.25, 0.5, 0.75, 1])
        axes.grid(visible=False, axis="x")
        figure.legend(loc="outside upper center", ncols=min(3, len(columns)))
    return address()


def probe_accuracies(rows: list[dict[str, Any]]) -> str:
    """Accuracy of each split as a dot, with the mean and one deviation of each network."""
    with _figure("probe", height=0.75 + 0.52 * len(rows)) as (figure, address):
        axes = figure.subplots()
        for position, row in enumerate(reversed(rows)):
            colour = COLOURS[(len(rows) - 1 - position) % len(COLOURS)]
            values = [100 * value for value in row["per_split"]]
            mean, deviation = 100 * row["mean"], 100 * (row["deviation"] or 0)
            axes.plot(values, [position + 0.16] * len(values), "o", color=colour, alpha=0.55, ms=5)
            axes.errorbar(mean, position - 0.12, xerr=deviation, color=colour, fmt="D", capsize=3)
        axes.set_yticks(range(len(rows)), [row["label"] for row in reversed(rows)])
        axes.set(ylim=(-0.6, len(rows) - 0.4), xlabel="mean per-class accuracy, %")
        axes.grid(visible=False, axis="y")
    return address()


@contextmanager
def _figure(name: str, height: float = 3.0) -> Iterator[tuple[Any, Any]]:
    """A figure as wide as a phone, and a function that gives its data address afterwards."""
    matplotlib = require("matplotlib", extra="report")
    figures = require("matplotlib.figure", extra="report")
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = figures.Figure(figsize=(4.5, height), layout="constrained")
        content = io.BytesIO()

        def address() -> str:
            return "data:image/svg+xml;base64," + base64.b64encode(content.getvalue()).decode()

        yield figure, address
        # Without a date the same results give the same bytes.
        figure.savefig(content, format="svg", metadata={"Date": None})


def _thousands() -> Any:
    ticker = require("matplotlib.ticker", extra="report")
    return ticker.FuncFormatter(lambda value, _: f"{value:,.0f}")
