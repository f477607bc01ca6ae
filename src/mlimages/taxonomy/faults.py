"""Everything that is wrong with a dictionary file, line by line, not only the first thing.

A file without faults is exactly one that `mlimages.taxonomy.dictionary.read_dictionary` accepts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mlimages.errors import InputError
from mlimages.taxonomy.hierarchy import LONGEST_CYCLE_SHOWN
from mlimages.taxonomy.wordnet import is_wnid, wordnet

HEADER = "category_index\tcategory_id\tindex_of_parent_category\tcategory name"
WHAT = "a dictionary of categories (a packaged one: mlimages taxonomy export OUT.tsv)"
COLUMNS = 4
DICTIONARY = "dictionary.tsv"  # in a folder that `mlimages taxonomy build` writes
# Only the form that `write_dictionary` gives back: no signs, spaces or leading zeros.
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_CUSTOM_KEY = re.compile(r"[a-z][a-z0-9_-]*:\S+")
_NUMBERED = "number the categories 0, 1, 2, ..."

FaultKind = Literal[
    "empty",  # no line, or none below the header
    "header",
    "encoding",  # bytes that are not UTF-8
    "carriage_return",
    "columns",  # not four; nothing else is said of such a line
    "index",  # not a number
    "duplicate_index",
    "order",  # an index lower than one before it
    "gap",  # no category has the indices in between
    "id",  # neither a synset of WordNet 3.0 nor namespace:key
    "duplicate_id",
    "name",  # none
    "parent",  # neither -1 nor a number
    "dangling_parent",  # no category has that index
    "cycle",
]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong; `line` is 1 for the header."""

    line: int
    kind: FaultKind
    cause: str
    action: str


@dataclass(frozen=True)
class Row:
    """A line of four columns, as text."""

    line: int
    index: str
    key: str
    parent: str
    name: str


@dataclass(frozen=True)
class Faults:
    """What `find_faults` found in a file; the file may be that of a folder."""

    path: Path
    faults: list[Fault]


def find_faults(path: Path | str) -> Faults:
    """All faults of a dictionary file, or of the one in a folder that `taxonomy build` wrote.

    Raises:
        InputError: no such file, or a folder without one.
    """
    path = Path(path)
    if (path / DICTIONARY).is_file():
        path /= DICTIONARY
    return Faults(path, examine(path)[1])


def examine(path: Path) -> tuple[list[Row], list[Fault]]:
    """The rows of a dictionary file, and all its faults, ascending by line.

    Raises:
        InputError: no such file, or a folder.
    """
    if not path.is_file():
        cause = "is a folder" if path.is_dir() else "no such file"
        raise InputError(path, cause, f"name {WHAT}")
    data = path.read_bytes()
    if not data:
        return [], [Fault(1, "empty", "empty", f"name {WHAT}")]
    faults: list[Fault] = []
    lines = list(_decoded(data, faults))
    if lines[0] != HEADER:
        start = HEADER.replace("\t", "<TAB>")
        faults.append(Fault(1, "header", "not the expected header", f"start with: {start}"))
    if len(lines) == 1:
        faults.append(Fault(1, "empty", "no category", "add lines below the header"))
    rows: list[Row] = []
    line_of: dict[int, int] = {}  # index -> the line that has it first
    for number, line in enumerate(lines[1:], 2):
        fields = line.split("\t")
        faults += _index_faults(number, fields, line_of)
        if len(fields) == COLUMNS:
            rows.append(Row(number, *fields))
    faults += [*_gaps(line_of), *_key_faults(rows), *_parent_faults(rows, line_of)]
    return rows, sorted(faults, key=lambda fault: fault.line)


def _decoded(data: bytes, faults: list[Fault]) -> Iterator[str]:
    """The lines as text; what cannot be read in one is replaced, and noted."""
    for number, raw in enumerate(data.removesuffix(b"\n").split(b"\n"), 1):
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError:
            line = raw.decode("utf-8", errors="replace")
            faults.append(Fault(number, "encoding", "not UTF-8 text", "save the file as UTF-8"))
        if "\r" in line:
            faults.append(
                Fault(number, "carriage_return", "carriage return", "end lines with LF only")
            )
        yield line.replace("\r", "")


def _index_faults(number: int, fields: list[str], line_of: dict[int, int]) -> Iterator[Fault]:
    """Check columns and index of a line, and enter the index into `line_of`."""
    valid = _INDEX.fullmatch(fields[0]) is not None
    if len(fields) != COLUMNS:
        cause = f"{len(fields)} columns, not {COLUMNS}"
        yield Fault(number, "columns", cause, "separate the columns by one TAB each")
    elif not valid:
        yield Fault(number, "index", f"index {fields[0]!r}, not {number - 2}", _NUMBERED)
    elif int(fields[0]) in line_of:
        first = line_of[int(fields[0])]
        cause = f"index {fields[0]} is also on line {first}"
        yield Fault(number, "duplicate_index", cause, _NUMBERED)
    elif line_of and int(fields[0]) < next(reversed(line_of)):
        yield Fault(number, "order", f"index {fields[0]!r}, not {number - 2}", _NUMBERED)
    if valid and int(fields[0]) not in line_of:
        # A line of too few columns still has its index: else its children would dangle.
        line_of[int(fields[0])] = number


def _gaps(line_of: dict[int, int]) -> Iterator[Fault]:
    expected = 0
    for index in sorted(line_of):
        if index > expected:
            missing = f"{expected} to {index - 1} are" if index > expected + 1 else "it is"
            cause = f"index '{index}', not {expected}: {missing} nowhere"
            yield Fault(line_of[index], "gap", cause, _NUMBERED)
        expected = index + 1


def _key_faults(rows: Sequence[Row]) -> Iterator[Fault]:
    first: dict[str, int] = {}
    for row in rows:
        if row.key in first:
            cause = f"id {row.key} is also on line {first[row.key]}"
            yield Fault(row.line, "duplicate_id", cause, "keep one")
        elif is_wnid(row.key) and row.key not in wordnet():
            cause = f"id {row.key} is not a noun synset of WordNet 3.0"
            action = "correct it (WordNet 3.1 has other ids), or use an id namespace:key"
            yield Fault(row.line, "id", cause, action)
        elif not is_wnid(row.key) and _CUSTOM_KEY.fullmatch(row.key) is None:
            cause = f"id {row.key!r} is neither a wnid nor of the form namespace:key"
            yield Fault(row.line, "id", cause, "write ids like n02084071 or own:my-dog")
        first.setdefault(row.key, row.line)
        if not row.name:
            yield Fault(row.line, "name", "no name", "give the category a name")


def _parent_faults(rows: Sequence[Row], line_of: dict[int, int]) -> Iterator[Fault]:
    parent_of: dict[int, int] = {}
    size = max(line_of, default=-1) + 1
    for row in rows:
        if row.parent == "-1":
            continue
        if _INDEX.fullmatch(row.parent) is None:
            cause = f"parent {row.parent!r} is not an index"
            yield Fault(row.line, "parent", cause, "use an index, or -1 (root)")
            continue
        parent = int(row.parent)
        if parent not in line_of:
            out = f"is out of range, there are {size} categories"
            cause = f"parent {parent} {out if parent >= size else 'is the index of none'}"
            yield Fault(row.line, "dangling_parent", cause, "correct the parent")
        if _INDEX.fullmatch(row.index) and line_of[int(row.index)] == row.line:
            parent_of[int(row.index)] = parent
    keys = {row.line: row.key for row in rows}
    for cycle in _cycles(parent_of):
        lines = [line_of[index] for index in cycle]
        words = [f"{keys[line]} (line {line})" for line in (*lines, lines[0])]
        if len(words) > LONGEST_CYCLE_SHOWN:
            words = [*words[: LONGEST_CYCLE_SHOWN - 2], "...", words[-1]]
        yield Fault(
            min(lines), "cycle", "cycle " + " -> ".join(words), "correct one of these parents"
        )


def _cycles(parent_of: dict[int, int]) -> Iterator[list[int]]:
    """Every cycle once, from its first index in order of `parent_of`."""
    walked: Counter[int] = Counter()  # index -> the walk that passed it first
    for walk, start in enumerate(parent_of, 1):
        index = start
        path: list[int] = []
        while index in parent_of and not walked[index]:
            walked[index] = walk
            path.append(index)
            index = parent_of[index]
        if walked[index] == walk:
            yield path[path.index(index) :]
