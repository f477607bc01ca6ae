"""The lists that a vocabulary is built from: classes with image counts, decisions, own categories.

ImageNet      CSV with the columns synid (or wnid), class_name, urls (or images)
Open Images   CSV of MID, name, number of images; a header is optional
edits         action<TAB>key<TAB>into<TAB>note: a person's decisions, which precede every rule
own           key<TAB>parent<TAB>name: categories that WordNet does not have
names         key<TAB>language<TAB>name: names in other languages
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal, get_args

from mlimages.errors import InputError, nearest
from mlimages.taxonomy.packaged import read_rows
from mlimages.taxonomy.translations import NAMES_HEADER
from mlimages.taxonomy.wordnet import is_wnid, wordnet

EDITS_HEADER = "action\tkey\tinto\tnote"
OWN_HEADER = "key\tparent\tname"
Action = Literal["keep", "drop", "expand", "merge"]
ACTIONS: tuple[Action, ...] = get_args(Action)


@dataclass(frozen=True)
class ListedClass:
    """One class of a source: its label there (a wnid, or a MID), its name, its images."""

    label: str
    name: str
    images: int


@dataclass(frozen=True)
class Edits:
    """A person's decisions.

    Attributes:
        keep: kept whatever the rules say.
        drop: dropped whatever the rules say.
        expand: kept classes whose direct children are added.
        merge: key -> the key that it becomes one with.
    """

    keep: frozenset[str] = frozenset()
    drop: frozenset[str] = frozenset()
    expand: frozenset[str] = frozenset()
    merge: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class OwnCategory:
    """A category outside WordNet, namespace:key, below another."""

    key: str
    parent: str
    name: str


def read_imagenet_classes(path: Path) -> list[ListedClass]:
    """Synsets with their numbers of images.

    Raises:
        InputError: no such file, not UTF-8, a column missing, an unknown or repeated wnid, a number
            that is none; names file:line.
    """
    rows = _csv_rows(path)
    place, header = next(rows, (f"{path}:1", []))
    columns = [_column(place, header, names) for names in (("synid", "wnid"), ("urls", "images"))]
    name_column = header.index("class_name") if "class_name" in header else columns[0]
    found: dict[str, ListedClass] = {}
    for place, row in rows:
        if len(row) != len(header):
            raise InputError(place, f"{len(row)} columns, not {len(header)}", "quote commas")
        wnid = row[columns[0]]
        if wnid not in wordnet():
            raise InputError(place, f"{wnid!r} is no synset of WordNet 3.0", "correct the wnid")
        if wnid in found:
            raise InputError(place, f"{wnid} a second time", "keep one of the two lines")
        found[wnid] = ListedClass(wnid, row[name_column], _count(place, row[columns[1]]))
    return list(found.values())


def read_openimages_classes(path: Path) -> list[ListedClass]:
    """Open Images classes with their numbers of images.

    Raises:
        InputError: no such file, not UTF-8, a line without a number of images, a MID twice.
    """
    found: dict[str, ListedClass] = {}
    for number, (place, row) in enumerate(_csv_rows(path)):
        if not number and len(row) == 3 and not row[0].startswith("/") and not row[2].isdigit():
            continue  # a header
        if len(row) != 3:
            cause = f"{len(row)} columns, not 3"
            raise InputError(place, cause, "write MID, name and number of images")
        label, name, images = row
        if label in found:
            raise InputError(place, f"{label} a second time", "keep one of the two lines")
        found[label] = ListedClass(label, " ".join(name.split()), _count(place, images))
    return list(found.values())


def read_edits(path: Path | Traversable) -> Edits:
    """Decisions that precede the rules.

    Raises:
        InputError: an unknown action or key, contradicting lines; names file:line.
    """
    by_action: dict[Action, dict[str, str]] = {action: {} for action in ACTIONS}
    for place, (action, key, into, _) in read_rows(path, EDITS_HEADER, "a table of edits"):
        if action not in ACTIONS:
            raise InputError(place, f"action {action!r}", nearest(action, ACTIONS))
        _check_key(place, key)
        if (action == "merge") != bool(into):
            raise InputError(place, "only merge has a key in column 3", "correct the line")
        if into:
            _check_key(place, into)
        by_action[action][key] = into  # type: ignore[index]
    for first, second in (("keep", "drop"), ("keep", "merge"), ("drop", "merge")):
        both = by_action[first].keys() & by_action[second].keys()  # type: ignore[index]
        if both:
            raise InputError(path, f"{first} and {second} of {min(both)}", "keep one of the two")
    return Edits(
        keep=frozenset(by_action["keep"]),
        drop=frozenset(by_action["drop"]),
        expand=frozenset(by_action["expand"]),
        merge=tuple(by_action["merge"].items()),
    )


def read_own_categories(path: Path) -> list[OwnCategory]:
    """Categories outside WordNet, each below a synset or another of them.

    Raises:
        InputError: a key twice or without a namespace, an unknown parent, no name.
    """
    found: dict[str, OwnCategory] = {}
    places = {}
    for place, (key, parent, name) in read_rows(path, OWN_HEADER, "a table of categories"):
        if ":" not in key or key in found:
            cause = "a second time" if key in found else "is not of the form namespace:key"
            raise InputError(place, f"{key!r} {cause}", "correct the key")
        if not name:
            raise InputError(place, "no name", "give the category a name")
        found[key], places[key] = OwnCategory(key, parent, name), place
    for key, own in found.items():
        if own.parent not in found:
            _check_key(places[key], own.parent)
            if ":" in own.parent:
                raise InputError(places[key], f"parent {own.parent} is not listed", "add its line")
    return list(found.values())


def read_names(path: Path) -> list[tuple[str, str, str]]:
    """(key, language, name) in the order of the file.

    Raises:
        InputError: an unknown wnid, no language or no name.
    """
    found = []
    for place, (key, language, name) in read_rows(path, NAMES_HEADER, "a table of names"):
        _check_key(place, key)
        if not language or not name:
            raise InputError(place, "no language or no name", "fill in all columns")
        found.append((key, language, name))
    return found


def _check_key(place: str, key: str) -> None:
    if ":" not in key and key not in wordnet():
        hint = "correct the wnid" if is_wnid(key) else "write n02084071, or own:my-dog"
        raise InputError(place, f"{key!r} is neither a synset nor namespace:key", hint)


def _csv_rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    """(file:line, cells) of every line that is not empty; a byte order mark is dropped."""
    if not path.is_file():
        cause = "is a folder" if path.is_dir() else "no such file"
        raise InputError(path, cause, "name a CSV file of classes")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(path, "not UTF-8 text", "save the file as UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        for row in reader:
            if row:
                yield f"{path}:{reader.line_num}", [cell.strip() for cell in row]
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}", str(error), "correct the line") from None


def _column(place: str, header: list[str], names: tuple[str, ...]) -> int:
    for name in names:
        if name in header:
            return header.index(name)
    raise InputError(place, f"no column {' or '.join(names)}", "name the columns in the first line")


def _count(place: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise InputError(place, f"{text!r} is no number of images", "write digits only")
    return int(text)
