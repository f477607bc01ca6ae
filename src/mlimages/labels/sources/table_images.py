"""An image of a table, and what its rows say of it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlimages.labels.reading import ReadingBuilder
from mlimages.labels.sources.files import stem
from mlimages.labels.sources.streams import is_remote

_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE]-?\d+)?", re.ASCII)
_INSIDE = re.compile(r"tar://.+::/.+|range://\d+\+\d+::/.+", re.ASCII)


@dataclass
class ListedImage:
    """An image and what its rows say."""

    location: str
    uri: str | None
    name: str
    row: dict[str, Any]
    facts: list[tuple[int, bool, float]] = field(default_factory=list)
    wrong: list[tuple[str, str]] = field(default_factory=list)

    @property
    def key(self) -> str:
        return self.uri or self.name

    def add_to(
        self, builder: ReadingBuilder, split: str | None, default: str | None, known: str | None
    ) -> int | None:
        """Hand over the image, or reject it when all that was said of it is wrong.

        Args:
            builder: takes it in.
            split, default: its split whatever it says, and when it says none.
            known: its id, when it was handed over before: then it is listed by that alone.

        Returns:
            Its position, or None.
        """
        if self.wrong and not self.facts:
            builder.reject(*self.wrong[0])
            return None
        position = builder.add_image(
            self.location,
            self.uri if known is None else None,
            known or self.name,
            split=split or _text(self.row.get("split")) or default,
            licence=_text(self.row.get("licence")) or None,
            author=_text(self.row.get("author")) or None,
        )
        if position is not None:
            for category, present, confidence in self.facts:
                builder.add_fact(position, category, confidence, present=present)
            for location, reason in self.wrong:
                builder.reject_line(location, reason)
        return position

    def take_tags(
        self,
        row: dict[str, Any],
        location: str,
        separator: str,
        resolve: Callable[[str], tuple[int, ...] | str],
    ) -> None:
        """Read the tags of a row into facts, and what is wrong with them."""
        stance = _stance(row)
        cell = row.get("tags", row.get("tag"))
        if isinstance(cell, list | tuple):
            words = [_text(word) for word in cell]
        elif "tags" in row:
            words = [word.strip() for word in _text(cell).split(separator or None)]
        else:
            words = [_text(cell)]
            if not words[0]:
                self.wrong.append((location, "no tag"))
        for word in filter(None, words):
            categories = resolve(word)
            if isinstance(categories, str) or isinstance(stance, str):
                wrong = stance if isinstance(stance, str) else str(categories)
                self.wrong.append((location, wrong))
            else:
                self.facts += [(category, *stance) for category in categories]


def image_of(row: dict[str, Any], location: str, root: str) -> ListedImage | str:
    """The image that a row speaks of, or why there is none."""
    uri, path = _text(row.get("uri")) or None, _text(row.get("path"))
    if "\0" in f"{uri}{path}":
        return "its name holds a zero byte"
    name = _text(row.get("id"))
    if path:
        uri = f"{root}/{path}" if is_remote(root) else os.path.normpath(os.path.join(root, path))
    elif uri is not None and uri.startswith(("tar://", "range://")) and not _INSIDE.fullmatch(uri):
        return f"{uri}: not tar://MEMBER::/archive.tar or range://OFFSET+LENGTH::/file"
    elif uri is not None and not uri.startswith(("http://", "https://", "tar://", "range://", "/")):
        return f"{uri}: not an http(s) URL, a tar's member or an absolute path"
    if not name and uri is None:
        return "neither an id nor a place"
    return ListedImage(location, uri, name or stem(uri or ""), row)


def _stance(row: dict[str, Any]) -> tuple[bool, float] | str:
    """(present, confidence) that a row gives its tags, or what is wrong with it."""
    present, confidence = True, 1.0
    if text := _text(row.get("confidence")):
        if not _NUMBER.fullmatch(text) or not 0 <= float(text) <= 1:
            return f"confidence {text!r} is not a number from 0 to 1"
        present = bool(np.float32(text) > 0)
        if not present and text.lower().partition("e")[0].strip("0."):
            return f"confidence {text!r} is 0 as float32"  # so it would say absent
        confidence = float(text) or 1.0
    if said := _text(row.get("present")).lower():
        if said not in _TRUTH:
            return f"present {said!r} is neither yes nor no"
        if _TRUTH[said] and not present:
            return f"present {said!r} contradicts confidence {text!r}"
        present = _TRUTH[said]
    return present, confidence


def _text(value: Any) -> str:
    """A cell as text; nothing, and a table's missing values, are empty."""
    if value is None or value != value:  # NaN is what some tools write for nothing
        return ""
    return str(value).strip()
