"""Files of class names: one a line, or the `names:` of a YAML file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from mlimages.errors import InputError
from mlimages.labels.sources.files import lines_of, parse_index

_NAME = re.compile(r"\s+(?:(\d+)\s*:|-)\s*(.+)", re.ASCII)


def read_class_names(file: Path) -> dict[int, str]:
    """Class number -> name.

    Raises:
        InputError: no such file, or no names in it.
    """
    if file.suffix in (".yaml", ".yml"):
        names = yaml_class_names(file)
    else:
        names = {i: text.strip() for i, (_, text) in enumerate(lines_of(file)) if text}
    if not names:
        raise InputError(file, "holds no class names", "expected `names:` with lines `0: person`")
    return names


def class_resolver(
    resolve: Callable[[str], tuple[int, ...] | str],
    classes: Path | str | None,
    *,
    numbers_are_labels: bool,
) -> Callable[[str], tuple[int, ...] | str]:
    """Resolve class numbers by their names: they are not indices of the vocabulary.

    Args:
        resolve: from a label to its categories, or why there are none.
        classes: the file of class names, if there is one.
        numbers_are_labels: whether, without that file, `resolve` knows what a number means.

    Raises:
        InputError: no such file, or no names in it.
    """
    names = read_class_names(Path(classes)) if classes is not None else {}

    def resolve_number(text: str) -> tuple[int, ...] | str:
        number = parse_index(text)
        if number is None or (numbers_are_labels and not names):
            return resolve(text)
        if not names:
            return f"{text} is a class number; name the file of class names with --classes"
        if number not in names:
            return f"class {text} is unknown, there are {len(names)}"
        return resolve(names[number])

    return resolve_number


def yaml_class_names(file: Path) -> dict[int, str]:
    """The mapping or list under `names:`: all that is needed of YAML, and safe on any input.

    Raises:
        InputError: a list in brackets that is not closed, or a number too large.
    """
    names: dict[int, str] = {}
    inside = False
    lines = lines_of(file)
    for location, line in lines:
        text = _without_comment(line)
        if not inside:
            start = re.fullmatch(r"names\s*:\s*(.*)", text)
            if start and start[1]:
                return _inline_names(_read_to_bracket(start[1], location, lines))
            inside = start is not None
            continue
        found = _NAME.fullmatch(text) or _NAME.fullmatch(" " + text)
        if found:
            number = len(names) if found[1] is None else parse_index(found[1])
            if number is None:
                raise InputError(location, "a class number too large", "number classes from 0")
            names[number] = found[2].strip().strip("'\"")
        elif text.strip():
            break
    return names


def _read_to_bracket(text: str, location: str, lines: Iterator[tuple[str, str | None]]) -> str:
    """A list or mapping in brackets up to its end, which may be some lines below.

    Raises:
        InputError: the file ends before it does.
    """
    end = {"[": "]", "{": "}"}.get(text[0], "")
    while not text.endswith(end):
        more = next(lines, None)
        if more is None:
            raise InputError(location, f"the list of names has no closing {end}", "close it")
        text = f"{text} {_without_comment(more[1])}".rstrip()
    return text


def _without_comment(line: str | None) -> str:
    text = line or ""
    return "" if text.startswith("#") else text.split(" #")[0].rstrip()


def _inline_names(text: str) -> dict[int, str]:
    """`[person, car]` or `{0: person, 1: car}`."""
    items = [item.strip() for item in text.strip("[]{} ").split(",")]
    names = {}
    for position, item in enumerate(items):
        keyed = re.fullmatch(r"(\d{1,9})\s*:\s*(.+)", item, re.ASCII)
        name = keyed[2] if keyed else item
        names[int(keyed[1]) if keyed else position] = name.strip("'\" ")
    return {number: name for number, name in names.items() if name}
