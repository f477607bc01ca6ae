"""Progress bars on standard error, and silence where there is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable
from typing import TypeVar

Item = TypeVar("Item")


def track(
    items: Iterable[Item], description: str, total: int | None = None, unit: str = "items"
) -> Generator[Item, None, None]:
    """Yield the items while showing a bar with rate and time left.

    Args:
        items: what to go through.
        description: a few words in front of the bar.
        total: number of items, when `items` has no length.
        unit: plural noun for the rate, such as "images".
    """
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]} " + unit + "/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total, rate="-")
        for item in items:
            yield item
            speed = progress.tasks[0].speed
            progress.update(task, advance=1, rate=f"{speed:,.0f}" if speed else "-")
