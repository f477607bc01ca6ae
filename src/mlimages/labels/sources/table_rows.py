"""Rows of CSV, TSV and Parquet tables, one at a time, each with its place for error messages."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from mlimages.errors import InputError

PARQUET = (".parquet", ".pq")
DELIMITED = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
Row = tuple[str, "list[Any] | None", str]  # location, values, what is wrong with the row


def read_header(path: Path) -> list[str]:
    """The names of the columns.

    Raises:
        InputError: no such file, not a table, empty, or two columns of one name.
    """
    if not path.is_file():
        cause = "is a folder" if path.is_dir() else "no such file"
        raise InputError(path, cause, "name a CSV, TSV or Parquet table")
    if path.suffix in PARQUET:
        try:
            names = pq.read_schema(path).names
        except (pa.ArrowException, OSError) as error:
            raise InputError(path, f"not Parquet ({error})", "name an intact table") from None
    elif path.suffix in DELIMITED:
        with _opened(path) as file:
            try:
                names = next(_reader(file, path), [])
            except csv.Error as error:
                raise InputError(f"{path}:1", str(error), "name a text table") from None
    else:
        raise InputError(path, f"unknown kind of table {path.suffix!r}", "use CSV, TSV or Parquet")
    names = [name.strip().lower() for name in names]
    if not any(names):
        raise InputError(path, "empty", "start the table with a line of column names")
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise InputError(path, f"two columns are called {twice!r}", "rename one")
    return names


def read_rows(path: Path, width: int, used: set[int]) -> Iterator[Row]:
    """The rows below the header: (location, values, "") or (location, None, what is wrong).

    Args:
        path: a table that `read_header` took.
        width: number of columns.
        used: positions of those that are needed; of Parquet the others are not read, and None.
    """
    if path.suffix in PARQUET:
        yield from _parquet_rows(path, width, used)
    else:
        yield from _delimited_rows(path, width)


def _parquet_rows(path: Path, width: int, used: set[int]) -> Iterator[Row]:
    number = 0
    try:
        file = pq.ParquetFile(path)
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


def _delimited_rows(path: Path, width: int) -> Iterator[Row]:
    with _opened(path) as file:
        reader = _reader(file, path)
        next(reader, None)
        while True:
            location = f"{path}:{reader.line_num + 1}"
            try:
                values = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield location, None, str(error)
                continue
            yield location, *_checked(values, width, reader.line_num)


def _checked(values: list[str], width: int, last_line: int) -> tuple[list[Any] | None, str]:
    if not values or not any(values):
        return None, "empty line"
    if len(values) != width:
        return None, f"{len(values)} columns, not {width} (read up to line {last_line})"
    if any("\udc80" <= letter <= "\udcff" for value in values for letter in value):
        return None, "not UTF-8 text"
    return values, ""


def _opened(path: Path) -> TextIO:
    # Bytes that are not UTF-8 become surrogates, so that one of them spoils its row only.
    return open(path, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _reader(file: TextIO, path: Path) -> Any:
    if DELIMITED[path.suffix] == "\t":  # where quotes are letters like any other
        return csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    return csv.reader(file)
