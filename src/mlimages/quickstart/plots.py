"""The page's plots of training and of measures: SVG pictures as data addresses."""

from __future__ import annotations

from typing import Any

from mlimages.pages.plots import COLOURS, GREY, Drawing, drawing


def training_curve(label: str, history: list[dict[str, float]], number: int = 0) -> str:
    """Loss and learning rate of one run over its epochs."""
    epochs = [entry["epoch"] for entry in history]
    with drawing(f"curve {number} {label}", height=2.7) as figure:
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
    return Drawing(figure).address()


def measure_bars(columns: list[dict[str, Any]], names: dict[str, str]) -> str:
    """A few measures of all columns as bars; the baseline's are grey."""
    with drawing("measures", height=3.4) as figure:
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
    return Drawing(figure).address()


def probe_accuracies(rows: list[dict[str, Any]]) -> str:
    """Accuracy of each split as a dot, with the mean and one deviation of each network."""
    with drawing("probe", height=0.75 + 0.52 * len(rows)) as figure:
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
    return Drawing(figure).address()
