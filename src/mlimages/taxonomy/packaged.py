"""The tables that ship inside the package, and a reader of small tab-separated tables."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from mlimages.errors import InputError


def packaged(name: str) -> Traversable:
    """A file of `mlimages/taxonomy/data`."""
    return resources.files("mlimages.taxonomy") / "data" / name


def read_lines(path: Path | Traversable, what: str) -> list[str]:
    """The lines of a UTF-8 text file, without their line feeds.

    Args:
        path: the file.
        what: what kind of file it should be, for the error's advice.

    Raises:
        InputError: no such file, a folder, empty, not UTF-8 (with the line), or carriage returns.
    """
    if not path.is_file():
        cause = "is a folder" if path.is_dir() else "no such file"
        raise InputError(path, cause, f"name {what}")
    data = path.read_bytes()
    if not data:
        raise InputError(path, "empty", f"name {what}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        place = f"{path}:{data.count(bytes([10]), 0, error.start) + 1}"
        raise InputError(place, "not UTF-8 text", "save the file as UTF-8") from None
    lines = text.removesuffix("\n").split("\n")
    for number, line in enumerate(lines, 1):
        if "\r" in line:
            raise InputError(f"{path}:{number}", "carriage return", "end lines with LF only")
    return lines


def read_rows(
    path: Path | Traversable, header: str, what: str
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The rows of a tab-separated table, each with its place, `file:line`.

    Args:
        path: the file.
        header: its first line, which fixes the number of columns.
        what: what kind of file it should be, for the error's advice.

    Raises:
        InputError: as `read_lines`; another header; a row with another number of columns.
    """
    lines = read_lines(path, what)
    columns = header.count("\t") + 1
    if lines[0] != header:
        raise InputError(
            f"{path}:1", "not the expected header", f"start with: {header.replace(chr(9), '<TAB>')}"
        )
    for number, line in enumerate(lines[1:], 2):
        fields = tuple(line.split("\t"))
        if len(fields) != columns:
            raise InputError(
                f"{path}:{number}",
                f"{len(fields)} columns, not {columns}",
                "separate the columns by one TAB each",
            )
        yield f"{path}:{number}", fields
