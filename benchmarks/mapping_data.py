"""The judged sample of proposals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlimages.taxonomy.packaged import read_lines

VERDICTS = (
    Path(__file__).resolve().parent.parent
    / "tests"
    / "taxonomy"
    / "data"
    / "openimages_mapping_verdicts.tsv"
)


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
