"""What commands with `--part` and `--merge` have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlimages.cli.output import emit
from mlimages.errors import UsageError

if TYPE_CHECKING:
    from mlimages.execution.parts import Part
    from mlimages.reports import PartReport


def chosen_part(part: str | None, merge: bool) -> Part | None:
    """The part to do; raises UsageError when there are also parts to put together."""
    if part is None:
        return None
    if merge:
        raise UsageError("--part and --merge", "are two steps", "run all parts, then --merge")
    from mlimages.execution.parts import Part

    return Part.parse(part)


def emit_part(report: PartReport, json: bool, command: str) -> None:
    """Print what a part did, and what comes after all parts."""
    before = f", {report.done_before:,} of them done before" if report.done_before else ""
    text = f"part {report.part}: {report.tasks:,} tasks of {report.stage}{before}"
    emit(report, json, f"{text}\nwhen all parts have ended: {command} --merge")
