"""The tables of docs/evidence.md, from the log of a folder of rows."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from scripts.evidence.arms import ARMS, COUNTS, MEASURES, QUESTIONS, SEEDS, row_name

from mlimages.errors import InputError
from mlimages.quickstart.report import format_duration
from mlimages.quickstart.stages import STATE
from mlimages.storage import write_text

BEGIN, END = "<!-- results -->", "<!-- end of results -->"
NOT_RUN, NONE = "not run yet", "-"


def render(out: Path) -> str:
    """One table a question, then the learning rates and the time it took."""
    path = out / STATE
    stages = json.loads(path.read_text(encoding="utf-8"))["stages"] if path.is_file() else {}
    parts = [_question(question, stages) for question in QUESTIONS]
    return "\n".join([*parts, _rates(stages), _seconds(stages)])


def write_into(page: Path, text: str) -> None:
    """Replace what stands between the two marks of a page; raises InputError without them."""
    content = page.read_text(encoding="utf-8") if page.is_file() else ""
    before, begin, rest = content.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise InputError(page, f"has no {BEGIN} and {END}", "name a page that has them")
    write_text(page, f"{before}{BEGIN}\n{text}{END}{after}")


def _question(question: str, stages: dict[str, Any]) -> str:
    measures = MEASURES[question]
    rows = []
    for arm in ARMS:
        if arm.question == question:
            names = [row_name(arm, seed) for seed in range(SEEDS)]
            found = [stages[name]["found"] for name in names if name in stages]
            cells = [_cell([row[name] for row in found], name in COUNTS) for name in measures]
            done = str(len(found)) if found else NOT_RUN
            rows.append([arm.label, *(cells if found else [NONE] * len(cells)), done])
    header = ["", *measures.values(), "seeds"]
    return f"### ({question}) {QUESTIONS[question]}\n\n{markdown_table(header, rows)}"


def _cell(values: list[float | None], is_count: bool) -> str:
    """Mean and sample deviation over the seeds that have a value."""
    known = [value if is_count else 100 * value for value in values if value is not None]
    if not known:
        return NONE
    text = f"{statistics.mean(known):,.1f}"
    return text + f" ± {statistics.stdev(known):,.1f}" if len(known) > 1 else text


def _rates(stages: dict[str, Any]) -> str:
    """The sweep: every rate tried, with its mAP, the best one in bold."""
    tried: dict[str, dict[str, float]] = {}
    for name, stage in stages.items():
        if name.startswith("rate "):
            _, arm, rate = name.split(" ")
            tried.setdefault(arm, {})[rate] = stage["found"]["map_macro"]
    rows = []
    for arm in ARMS:
        if arm.database:
            found = tried.get(arm.name, {})
            best = max(found, key=lambda rate: found[rate], default=None)
            cells = [
                f"{f'**{rate}**' if rate == best else rate}: {100 * value:.1f}"
                for rate, value in found.items()
            ]
            rows.append([arm.name, ", ".join(cells) or NOT_RUN])
    table = markdown_table(["recipe", "learning rate: mAP after the short run"], rows)
    return f"### Learning rates\n\n{table}"


def _seconds(stages: dict[str, Any]) -> str:
    total = sum(stage["seconds"] for stage in stages.values())
    runs = sum(name.startswith("row ") for name in stages)
    return f"{runs} of {SEEDS * len(ARMS)} rows, {format_duration(total)} in all.\n"


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A table of Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
