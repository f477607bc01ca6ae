"""Plots of a database, all in one style: PNG files, or SVG pictures as data addresses."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlimages.errors import require
from mlimages.storage import atomic_file

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


PNG_DOTS = 240  # an inch: sharp on a telephone


class Drawing:
    """A finished figure; see `drawing`."""

    def __init__(self, figure: Any) -> None:
        self.figure = figure

    def address(self) -> str:
        """The figure as SVG in a data address."""
        content = io.BytesIO()
        with _styled(self.figure.get_label()):
            # Without a date the same results give the same bytes.
            self.figure.savefig(content, format="svg", metadata={"Date": None})
        return "data:image/svg+xml;base64," + base64.b64encode(content.getvalue()).decode()

    def save(self, path: Path) -> None:
        """Write the figure as PNG."""
        with _styled(self.figure.get_label()), atomic_file(path) as temporary:
            self.figure.savefig(temporary, format="png", dpi=PNG_DOTS, metadata={"Software": None})


def images_per_category(sizes: Sequence[int]) -> Drawing:
    """The paper's first figure: categories by rank, their numbers of images on a log scale."""
    with drawing("sizes") as figure:
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
        axes.xaxis.set_major_formatter(thousands())
        axes.yaxis.set_major_formatter(thousands())
    return Drawing(figure)


def tags_per_image(counts: Sequence[int]) -> Drawing:
    """The paper's second figure: how many images have how many tags."""
    with drawing("tags") as figure:
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
        axes.yaxis.set_major_formatter(thousands())
    return Drawing(figure)


@contextmanager
def drawing(name: str, height: float = 3.0) -> Iterator[Any]:
    """A figure as wide as a phone; `name` makes its SVG the same every time."""
    with _styled(name):
        figures = require("matplotlib.figure", extra="report")
        yield figures.Figure(figsize=(4.5, height), layout="constrained", label=name)


def thousands() -> Any:
    """Tick labels with separators of thousands."""
    ticker = require("matplotlib.ticker", extra="report")
    return ticker.FuncFormatter(lambda value, _: f"{value:,.0f}")


@contextmanager
def _styled(name: str) -> Iterator[None]:
    matplotlib = require("matplotlib", extra="report")
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        yield
