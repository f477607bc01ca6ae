"""Stages that are done once: a run that was interrupted continues with the first one not done.

What a stage found goes to `state.json` as soon as it ends, and from there into the results.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mlimages.errors import InputError
from mlimages.quickstart.report import format_duration
from mlimages.quickstart.results import Stage, plain
from mlimages.storage import write_text

STATE = "state.json"


@dataclass(frozen=True)
class Outcome:
    """What a stage did, in words, and its part of the results by the names of `Results`."""

    summary: str
    found: dict[str, Any] = field(default_factory=dict)


class StageLog:
    """The folder of a guided run, with what is done.

    Args:
        folder: new, or that of a run with the same options.
        options: what decides the run.
        fresh: begin anew, removing an older run.
        say: takes the line that a stage prints.

    Raises:
        InputError: the folder holds something else, or a run with other options.
    """

    def __init__(
        self, folder: Path, options: dict[str, Any], fresh: bool, say: Callable[[str], None]
    ) -> None:
        self.folder, self.say = folder, say
        self._path = folder / STATE
        holds_run = self._path.is_file()
        if folder.exists() and not holds_run and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(folder, "holds something else", "name a new folder with --out")
        if holds_run and fresh:
            shutil.rmtree(folder)
            holds_run = False
        self._state = self._read() if holds_run else {"options": options, "stages": {}, "spent": {}}
        for name, value in options.items():
            before = self._state["options"].get(name)
            if before != value:
                cause = f"holds a run with {name} {before}, not {value}"
                raise InputError(folder, cause, "use --fresh, or name a new folder with --out")

    def run(self, name: str, title: str, work: Callable[[], Outcome]) -> dict[str, Any]:
        """Do a stage, unless it is done, and return what it found."""
        done = self._state["stages"].get(name)
        if done is None:
            done = self._do(name, title, work)
            note = ""
        else:
            note = " (done before)"
        self.say(f"{title:<27} {format_duration(done['seconds']):>13}  {done['summary']}{note}")
        return done["found"]

    def is_done(self, name: str) -> bool:
        """Whether a stage is done."""
        return name in self._state["stages"]

    @property
    def stages(self) -> list[Stage]:
        """The stages done so far, in order."""
        return [
            Stage(name, entry["title"], entry["seconds"], entry["summary"])
            for name, entry in self._state["stages"].items()
        ]

    def _do(self, name: str, title: str, work: Callable[[], Outcome]) -> dict[str, Any]:
        start, before = time.monotonic(), self._state["spent"].get(name, 0.0)
        try:
            outcome = work()
        except BaseException:
            # The next attempt's time is added to this one's.
            self._state["spent"][name] = before + time.monotonic() - start
            self._write()
            raise
        seconds = round(before + time.monotonic() - start, 2)
        entry = plain({"title": title, "seconds": seconds, **asdict(outcome)})
        self._state["stages"][name] = entry
        self._write()
        return entry

    def _read(self) -> dict[str, Any]:
        try:
            state = json.loads(self._path.read_text(encoding="utf-8"))
            return {key: dict(state[key]) for key in ("options", "stages", "spent")}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(self._path, f"damaged ({error})", "use --fresh") from None

    def _write(self) -> None:
        write_text(self._path, json.dumps(self._state, indent=1, ensure_ascii=False) + "\n")
