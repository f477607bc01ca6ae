"""Printing results: a readable text, or with `--json` one machine-readable object."""

from __future__ import annotations

import dataclasses
import json as json_module
import sys
from pathlib import Path
from typing import Annotated, Any

import tyro

Json = Annotated[
    bool,
    tyro.conf.FlagCreatePairsOff,
    tyro.conf.arg(help="Print one JSON object on standard output instead of text."),
]


def emit(result: Any, json: bool, text: str) -> None:
    """Print a command's result on standard output.

    Args:
        result: a dataclass or a dictionary of plain values.
        json: whether to print it as one JSON object.
        text: what to print otherwise.
    """
    if json:
        print(json_module.dumps(plain(result), ensure_ascii=False))
    else:
        print(text)
    sys.stdout.flush()


def plain(value: Any) -> Any:
    """Turn dataclasses, paths and numpy values into what JSON can hold; NaN becomes null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and value != value:
        return None
    return value


def table(rows: list[list[Any]], header: list[str] | None = None) -> str:
    """Lay out rows in aligned columns, numbers to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    if header:
        cells.insert(0, header)
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))] if cells else []
    numeric = [
        all(isinstance(row[i], int | float) for row in rows) and bool(rows)
        for i in range(len(widths))
    ]
    lines = []
    for row in cells:
        padded = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
