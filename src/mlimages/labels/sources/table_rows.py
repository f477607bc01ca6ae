"""Rows of CSV, TSV, JSON Lines and Parquet tables, one at a time, each with its place."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mlimages.errors import InputError
from mlimages.labels.sources.json_values import parse_json
from mlimages.labels.sources.streams import (
    MAXIMUM_LINE,
    Place,
    damage,
    is_folder,
    is_remote,
    open_raw,
    open_stream,
    read_lines,
    suffix_of,
)

PARQUET = (".parquet", ".pq")
DELIMITED = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
KINDS = (*DELIMITED, *JSON_LINES, *PARQUET)
_ROWS_FOR_COLUMNS = 1000  # JSON Lines have no header: a column is a key of one of these
Row = tuple[str, "list[Any] | None", str]  # location, values, what is wrong with the row


def read_header(path: Place) -> list[str]:
    """The names of the columns, in lower case.

    Raises:
        InputError: no such file, not a table, empty, or two columns of one name.
    """
    if is_folder(path):
        raise InputError(path, "is a folder", "name a CSV, TSV, JSON Lines or Parquet table")
    kind = suffix_of(path)
    if kind in PARQUET:
        names = open_parquet(path).schema_arrow.names
    elif kind in DELIMITED:
        names = _delimited_header(path)
    elif kind in JSON_LINES:
        names = _keys(path)
    else:
        raise InputError(
            path, f"unknown kind of table {kind!r}", "use CSV, TSV, JSON Lines or Parquet"
        )
    names = [name.strip().lower() for name in names]
    if not any(names):
        raise InputError(path, "empty", "start the table with a line of column names")
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise InputError(path, f"two columns are called {twice!r}", "rename one")
    return names


def read_rows(path: Place, width: int, used: set[int]) -> Iterator[Row]:
    """The rows below the header: (location, values, "") or (location, None, what is wrong).

    Args:
        path: a table that `read_header` took.
        width: number of columns.
        used: positions of those that are needed; of Parquet the others are not read, and None.
    """
    kind = suffix_of(path)
    if kind in PARQUET:
        yield from _parquet_rows(path, width, used)
    elif kind in JSON_LINES:
        yield from _json_rows(path)
    else:
        yield from delimited_rows(path, width)


def open_parquet(path: Place) -> pq.ParquetFile:
    """Open a Parquet file; raises InputError when it is none."""
    try:
        return pq.ParquetFile(open_raw(path) if is_remote(path) else path)
    except (pa.ArrowException, OSError, EOFError) as error:
        raise InputError(path, f"not Parquet ({error})", "name an intact table") from None


def _parquet_rows(path: Place, width: int, used: set[int]) -> Iterator[Row]:
    number = 0
    file = open_parquet(path)
    try:
        names = {place: file.schema_arrow.names[place] for place in sorted(used)}
        for batch in file.iter_batches(columns=list(names.values())):
            columns: list[list[Any]] = [[None] * batch.num_rows] * width
            for place, name in names.items():
                columns[place] = batch.column(name).to_pylist()
            for values in zip(*columns, strict=True):
                number += 1
                yield f"{path}: row {number}", list(values), ""
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: row {number + 1}", str(error), "name an intact table") from None


def _keys(path: Place) -> list[str]:
    """The keys of the first objects, each once, in the order of their first use."""
    keys: dict[str, None] = {}
    for number, (_, text, _) in enumerate(read_lines(path)):
        if number == _ROWS_FOR_COLUMNS:
            break
        row = parse_json(text)[0] if text else None
        keys.update(dict.fromkeys(row) if isinstance(row, dict) else {})
    return list(keys)


def _json_rows(path: Place) -> Iterator[Row]:
    names = _keys(path)
    for location, text, wrong in read_lines(path):
        if text is None or not text.strip():
            yield location, None, wrong or "empty line"
            continue
        row, wrong = parse_json(text)
        if wrong:
            yield location, None, wrong
        elif not isinstance(row, dict):
            yield location, None, "not a JSON object"
        else:
            yield location, [row.get(name) for name in names], ""


def _delimited_header(path: Place) -> list[str]:
    lines = _TextLines(path)
    try:
        return next(_reader(lines, path), [])
    except (csv.Error, OSError) as error:
        raise InputError(f"{path}:1", str(error), "name a text table") from None
    finally:
        lines.close()


def delimited_rows(path: Place, width: int, header: bool = True) -> Iterator[Row]:
    """The rows of a CSV or TSV; see `read_rows`.

    Args:
        path: the table.
        width: number of columns.
        header: whether its first line is one, and is passed over.
    """
    lines = _TextLines(path)
    reader = _reader(lines, path)
    try:
        if header:
            next(reader, None)
        while True:
            location = f"{path}:{lines.number + 1}"
            try:
                values = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield location, None, str(error)
                continue
            except OSError as error:
                yield f"{path}:{lines.number + 1}", None, damage(error)
                return
            yield location, *_checked(values, width, lines.number)
    finally:
        lines.close()


def _checked(values: list[str], width: int, last_line: int) -> tuple[list[Any] | None, str]:
    if not values or not any(values):
        return None, "empty line"
    if len(values) != width:
        return None, f"{len(values)} columns, not {width} (read up to line {last_line})"
    if any(not value.isascii() and not _is_text(value) for value in values):
        return None, "not UTF-8 text"
    return values, ""


def _is_text(value: str) -> bool:
    return not any("\udc80" <= letter <= "\udcff" for letter in value)


class _TextLines:
    """Lines for the csv module, none longer than MAXIMUM_LINE.

    Attributes:
        number: lines given out or skipped so far.
    """

    def __init__(self, path: Place) -> None:
        # Bytes that are not UTF-8 become surrogates, so that one of them spoils its row only.
        self._file = io.TextIOWrapper(
            open_stream(path), encoding="utf-8-sig", errors="surrogateescape", newline=""
        )
        self.number = 0

    def __iter__(self) -> _TextLines:
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAXIMUM_LINE)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) < MAXIMUM_LINE or line.endswith(("\n", "\r")):
            return line
        while (line := self._file.readline(MAXIMUM_LINE)) and not line.endswith(("\n", "\r")):
            pass
        raise csv.Error(f"longer than {MAXIMUM_LINE:,} letters")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _reader(lines: _TextLines, path: Place) -> Any:
    if DELIMITED.get(suffix_of(path)) == "\t":  # where quotes are letters like any other
        return csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    return csv.reader(lines)
