"""The classes of a foreign label space, and reading them with what is known of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlimages.errors import InputError, nearest
from mlimages.taxonomy.packaged import read_lines, read_rows

COLUMNS = ("key", "name", "gloss", "parent")
SHARED_HEADER = "key\twnid\timages"


@dataclass(frozen=True)
class ForeignClass:
    """A class of another data set.

    Attributes:
        key: what the data set's annotations call it: a MID, a number, or the name itself.
        names: its English names, the first the usual one.
        gloss: the data set's own definition, or empty.
        parents: keys of the classes right above it in the data set's own hierarchy.
    """

    key: str
    names: tuple[str, ...]
    gloss: str = ""
    parents: tuple[str, ...] = ()


def read_classes(path: Path | str, strict: bool = False) -> tuple[list[ForeignClass], list[str]]:
    """Read classes, and say which lines could not be used.

    A `.csv` is Open Images' list of descriptions: `MID,name` lines, no header. Anything else is a
    TSV whose header names its columns: `name`, and any of `key` (default: the name), `gloss` and
    `parent` (keys, separated by a space; any number).

    Lines of one key are one class, their names its synonyms.

    Args:
        path: the file.
        strict: stop at the first bad line instead of leaving it out.

    Returns:
        The classes in the order of the file, and one message per bad line.

    Raises:
        InputError: no such file, not text, no or a wrong header; a bad line when strict.
    """
    path = Path(path)
    rows = _csv_rows(path) if path.suffix == ".csv" else _tsv_rows(path)
    classes: dict[str, ForeignClass] = {}
    rejects: list[str] = []
    for place, row in rows:
        if isinstance(row, str):
            if strict:
                raise InputError(place, row, "correct the line, or run without --strict")
            rejects.append(f"{place}: {row}")
            continue
        known = classes.get(row.key)
        classes[row.key] = row if known is None else _united(known, row)
    if not classes:
        raise InputError(path, "no class in it", "name a file of classes")
    return list(classes.values()), rejects


def _united(first: ForeignClass, second: ForeignClass) -> ForeignClass:
    return replace(
        first,
        names=tuple(dict.fromkeys(first.names + second.names)),
        gloss=first.gloss or second.gloss,
        parents=tuple(dict.fromkeys(first.parents + second.parents)),
    )


def _tsv_rows(path: Path) -> Iterator[tuple[str, ForeignClass | str]]:
    lines = read_lines(path, "a TSV of classes")
    header = lines[0].removeprefix("\ufeff").split("\t")
    for column in header:
        if column not in COLUMNS:
            raise InputError(f"{path}:1", f"column {column!r}", nearest(column, COLUMNS))
    if "name" not in header or len(set(header)) != len(header):
        raise InputError(
            f"{path}:1", "no column `name`, or one twice", "use key, name, gloss, parent"
        )
    for number, line in enumerate(lines[1:], 2):
        place, fields = f"{path}:{number}", line.split("\t")
        if len(fields) != len(header):
            yield place, f"{len(fields)} columns, not {len(header)}"
            continue
        row = {column: field.strip() for column, field in zip(header, fields, strict=True)}
        yield place, _class_of(row)


def _csv_rows(path: Path) -> Iterator[tuple[str, ForeignClass | str]]:
    if not path.is_file():
        raise InputError(path, "no such file", "name a CSV of classes")
    number = 0
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            for fields in reader:
                number = reader.line_num
                if fields == ["LabelName", "DisplayName"]:
                    continue
                if len(fields) == 2:
                    row = {"key": fields[0].strip(), "name": fields[1].strip()}
                    yield f"{path}:{number}", _class_of(row)
                else:
                    yield f"{path}:{number}", f"{len(fields)} columns, not 2"
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}:{number + 1}", f"not a UTF-8 CSV ({error})", "correct it"
        ) from None


def _class_of(row: dict[str, str]) -> ForeignClass | str:
    """A class, or what is wrong with its line."""
    name = row["name"]
    if not name:
        return "no name"
    if "\t" in name or "\n" in name:
        return "a TAB or a line feed in the name"
    key = row.get("key", name)
    if not key:
        return "no key"
    return ForeignClass(key, (name,), row.get("gloss", ""), tuple(row.get("parent", "").split()))


def read_openimages_hierarchy(path: Path | str) -> dict[str, tuple[str, ...]]:
    """The parents of each MID in Open Images' JSON of nested LabelName and Subcategory.

    Parts (`Part`: a wheel of a car) are no kinds, and give no parent.

    Raises:
        InputError: no such file, or not such a JSON.
    """
    text = "\n".join(read_lines(Path(path), "Open Images' hierarchy"))
    parents: dict[str, dict[str, None]] = {}
    try:
        pending: list[tuple[Any, str]] = [(json.loads(text), "")]
        while pending:
            node, above = pending.pop()
            found = parents.setdefault(node["LabelName"], {})
            if above:
                found[above] = None
            pending += [(child, node["LabelName"]) for child in node.get("Subcategory", ())]
            pending += [(part, "") for part in node.get("Part", ())]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise InputError(
            path, "not a hierarchy of LabelName and Subcategory", "name Open Images' JSON"
        ) from None
    return {key: tuple(sorted(above)) for key, above in parents.items()}


def with_parents(
    classes: Iterable[ForeignClass], parents: dict[str, tuple[str, ...]]
) -> list[ForeignClass]:
    """The classes with parents from elsewhere added."""
    return [
        replace(c, parents=tuple(dict.fromkeys(c.parents + parents.get(c.key, ()))))
        for c in classes
    ]


def read_shared_images(path: Path | str) -> dict[str, dict[str, int]]:
    """Read `key<TAB>wnid<TAB>images`: how many images carry both the class and the synset.

    Count synsets with their ancestors: a dog is an image of an animal, too.

    Returns:
        For each key, the images of each wnid.

    Raises:
        InputError: as `read_rows`; a count that is no whole number.
    """
    shared: dict[str, dict[str, int]] = {}
    for place, (key, wnid, images) in read_rows(Path(path), SHARED_HEADER, "shared images"):
        if not (images.isascii() and images.isdigit() and len(images) < 16):
            raise InputError(place, f"{images!r} is no number of images", "give a whole number")
        row = shared.setdefault(key, {})
        row[wnid] = row.get(wnid, 0) + int(images)
    return shared
