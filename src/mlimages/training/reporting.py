"""Telling how a run goes: a progress bar on a terminal, otherwise a line every few seconds."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainRecord:
    """A "train" line of metrics.jsonl: means over the updates since the line before.

    Attributes:
        step: updates done.
        epoch: samples seen / images of the split.
        samples_seen: images, repeats included.
        loss: mean loss.
        gradient_norm: mean 2-norm of the gradient of all weights.
        learning_rate: of the last update.
        images_per_second: wall-clock, everything included.
        data_wait: share of the time in which the network waited for images.
    """

    step: int
    epoch: float
    samples_seen: int
    loss: float
    gradient_norm: float
    learning_rate: float
    images_per_second: float
    data_wait: float

    def to_json(self) -> dict[str, Any]:
        """The line's content."""
        return {"kind": "train", **asdict(self)}


class Meter:
    """Adds up updates between two lines of the log, and over the whole run.

    Args:
        totals: what `totals` was when the run that is continued was saved.
    """

    def __init__(self, totals: dict[str, Any] | None = None) -> None:
        totals = totals or {}
        self.images = int(totals.get("images", 0))
        self.seconds = float(totals.get("seconds", 0.0))
        self.waited = float(totals.get("waited", 0.0))
        self.loss: float | None = totals.get("loss")  # of the last line
        self._before = self.seconds
        self._started = time.perf_counter()
        self._reset()

    def _reset(self) -> None:
        self._window_started = time.perf_counter()
        self._window_images, self._window_waited = 0, 0.0
        self._losses: list[float] = []
        self._norms: list[float] = []

    def add(self, images: int, loss: float, gradient_norm: float, waited: float) -> None:
        """Note one update; `waited` is in seconds."""
        self._losses.append(loss)
        self._norms.append(gradient_norm)
        self._window_images += images
        self._window_waited += waited
        self.images += images
        self.waited += waited
        self.seconds = self._before + time.perf_counter() - self._started

    @property
    def totals(self) -> dict[str, Any]:
        """What a checkpoint keeps: images, seconds (and those waiting for data), and the loss."""
        return {
            "images": self.images,
            "seconds": self.seconds,
            "waited": self.waited,
            "loss": self.loss,
        }

    @property
    def window_seconds(self) -> float:
        """Since the last line of the log."""
        return time.perf_counter() - self._window_started

    @property
    def window_steps(self) -> int:
        """Updates since the last line of the log."""
        return len(self._losses)

    def record(self, step: int, epoch: float, seen: int, learning_rate: float) -> TrainRecord:
        """The line for the updates since the last one, and start the next."""
        seconds = max(self.window_seconds, 1e-9)
        record = TrainRecord(
            step,
            round(epoch, 6),
            seen,
            sum(self._losses) / len(self._losses),
            sum(self._norms) / len(self._norms),
            learning_rate,
            round(self._window_images / seconds, 2),
            round(self._window_waited / seconds, 4),
        )
        self.loss = record.loss
        self._reset()
        return record

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out the time spent inside (evaluating, saving)."""
        start = time.perf_counter()
        yield
        pause = time.perf_counter() - start
        self._started += pause
        self._window_started += pause


class Progress:
    """The bar, or the lines."""

    def __init__(
        self, total_steps: int, batch_size: int, first_step: int, shown: bool = True
    ) -> None:
        self._total, self._batch_size = total_steps, batch_size
        self._first, self._shown = first_step, shown
        self._bar: Any = None
        self._latest = ""

    def __enter__(self) -> Progress:
        if self._shown and sys.stderr.isatty():
            self._start_bar(self._first)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, step: int) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(self._task, completed=step)

    def show(self, record: TrainRecord) -> None:
        """Show new numbers."""
        remaining = (self._total - record.step) * self._batch_size
        eta = remaining / max(record.images_per_second, 1e-9)
        numbers = (
            f"epoch {record.epoch:.2f}  loss {record.loss:.4g}  "
            f"{record.images_per_second:,.0f} images/s  data wait {record.data_wait:.0%}"
        )
        if self._bar is not None:
            self._latest = f"{numbers}  {_duration(eta)} left"
            self._bar.update(self._task, completed=record.step, numbers=self._latest)
        else:
            logger.info(
                "step %s/%s  %s  %s left",
                f"{record.step:,}",
                f"{self._total:,}",
                numbers,
                _duration(eta),
            )

    @contextmanager
    def hidden(self, step: int) -> Iterator[None]:
        """Take the bar away while something else shows its own."""
        if self._bar is not None:
            self._bar.stop()
        yield
        if self._bar is not None:
            self._start_bar(step)

    def _start_bar(self, step: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("training"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
        )
        self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(
            "", total=self._total, completed=step, numbers=self._latest or "starting"
        )
        self._bar.start()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
