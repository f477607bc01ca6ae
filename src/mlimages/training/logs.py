"""Where a run's numbers go beside metrics.jsonl: a table, TensorBoard, Weights & Biases.

`RunLogs` gets every line of metrics.jsonl. metrics.csv is written from it at the end of a session,
so that a continued run has one table without repeats.
"""

from __future__ import annotations

import csv
import io
import json
import logging
from pathlib import Path
from typing import Any

from mlimages.errors import MlimagesError, require
from mlimages.pages.training import write_training_page
from mlimages.storage import write_text
from mlimages.training.operation import LoggingSettings

logger = logging.getLogger(__name__)

CSV = "metrics.csv"


class RunLogs:
    """The logs of a session.

    Args:
        run: the run's folder.
        settings: which logs there are.
        recipe: all settings of the run, for Weights & Biases.
        writes: False on ranks that leave it to the first.

    Raises:
        MissingExtraError: a library that is asked for is not installed.
    """

    def __init__(
        self, run: Path, settings: LoggingSettings, recipe: dict[str, Any], writes: bool = True
    ) -> None:
        self.run, self.settings, self.writes = run, settings, writes
        self._board: Any = None
        self._project: Any = None
        if writes and settings.tensorboard:
            require("tensorboard", extra="train")
            board = require("torch.utils.tensorboard", extra="train")
            self._board = board.SummaryWriter(str(run / "tensorboard"))
        if writes and settings.wandb:
            library = require("wandb", extra="wandb")
            self._project = library.init(
                project=settings.wandb, name=run.name, id=run.name, resume="allow", config=recipe
            )

    def __enter__(self) -> RunLogs:
        return self

    def __exit__(self, *_: object) -> None:
        if self._board is not None:
            self._board.close()
        if self._project is not None:
            self._project.finish()
        if not self.writes:
            return
        try:
            if self.settings.csv:
                write_table(self.run)
            if self.settings.page:
                write_training_page(self.run)
        except MlimagesError as problem:  # they only repeat metrics.jsonl, which is there
            logger.info("%s: not written (%s)", self.run, problem)

    def add(self, record: dict[str, Any]) -> None:
        """Hand on a line of metrics.jsonl."""
        numbers = flat_numbers(record)
        step = int(numbers.pop("step", 0))
        named = {f"{record['kind']}/{name}": value for name, value in numbers.items()}
        if self._board is not None:
            for name, value in named.items():
                self._board.add_scalar(name, value, step)
        if self._project is not None:
            self._project.log(named, step=step)


def write_table(run: Path) -> None:
    """Write metrics.csv: a row for each line of metrics.jsonl, a column for each number."""
    path = run / "metrics.jsonl"
    if not path.is_file():
        return
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rows = [{"kind": record["kind"], **flat_numbers(record)} for record in records]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(run / CSV, text.getvalue())


def flat_numbers(record: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of nested plain values, under names such as "metrics.map_macro"."""
    found: dict[str, float] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            found |= flat_numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[prefix + name] = value
    return found
