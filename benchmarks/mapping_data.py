"""Where the mapping benchmarks find real class lists, and the judged sample of proposals."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from mlimages.taxonomy.packaged import read_lines

REPOSITORY = Path(__file__).resolve().parent.parent
VERDICTS = REPOSITORY / "tests" / "taxonomy" / "data" / "openimages_mapping_verdicts.tsv"


def find(name: str) -> Path:
    """A file of `metadata`; ends the program with a line where there is none."""
    named = os.environ.get("MLIMAGES_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    path = folder / "metadata" / name
    if not path.is_file():
        sys.exit(f"error: {path}: no such file; set MLIMAGES_DATA to the folder of real data")
    return path


@dataclass(frozen=True)
class Judged:
    """One line of the judged sample."""

    sample: int
    key: str
    name: str
    wnid: str  # "-" where nothing was proposed
    relation: str
    confidence: float
    verdict_a: str
    verdict_b: str


def read_verdicts() -> list[Judged]:
    """The judged classes of both samples."""
    lines = [line for line in read_lines(VERDICTS, "verdicts") if not line.startswith("#")]
    rows = [line.split("\t") for line in lines[1:]]
    return [Judged(int(row[0]), *row[1:5], float(row[5]), *row[7:]) for row in rows]
