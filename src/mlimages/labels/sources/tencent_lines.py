"""One line of a Tencent ML-Images list: what it says, or what is wrong with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mlimages.labels.identity import is_url
from mlimages.labels.reading import Reading, ReadingBuilder
from mlimages.labels.sources.files import PhotoFinder, split_of_name, stem
from mlimages.labels.sources.line_blocks import MOST_LINE_BYTES, Block
from mlimages.labels.sources.photos import uri_of
from mlimages.labels.sources.streams import is_remote, name_of

DEFAULT_SPLIT, UNLABELLED = "train", "unlabelled"
_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE]-?\d+)?", re.ASCII)
_PAIR_LIKE = re.compile(r"\S*\d:[\d.]\S*")
_PAIRS_KEPT = 1 << 17

Tag = tuple[int, float]


@dataclass(frozen=True)
class ListOptions:
    """A list, and how it is to be read: see `tencent.read`."""

    file: str
    source: str
    num_categories: int
    asked_split: str | None
    images: Path | None
    single_label: bool

    @property
    def split(self) -> str:
        """The split of images with tags."""
        return self.asked_split or split_of_name(name_of(self.file)) or DEFAULT_SPLIT

    @property
    def split_without_tags(self) -> str:
        """The split of images without."""
        return self.asked_split or UNLABELLED

    @property
    def named_by_place(self) -> bool:
        """Whether no place comes by two names; a download may be that of two URLs."""
        return self.images is None

    @cached_property
    def downloads(self) -> PhotoFinder:
        """Looks for photos of URLs."""
        return PhotoFinder([self.images] if self.images is not None else [])

    @cached_property
    def photos(self) -> PhotoFinder:
        """Looks for photos of paths."""
        # The release's list says data/images/im_0.jpg, relative to the folder above its own.
        beside = [] if is_remote(self.file) else list(Path(self.file).parents[:2])
        return PhotoFinder([*self.downloads.roots, *beside])


class LineParser:
    """Reads lines as text.

    Args:
        num_categories: indices are below it.
    """

    def __init__(self, num_categories: int) -> None:
        self._num_categories = num_categories
        self._pairs: dict[str, Tag | str] = {}  # parsed, or what is wrong

    def parse(self, line: bytes) -> tuple[str, list[Tag]] | str:
        """The URL or path of a line without its ending, and its tags; or what is wrong with it."""
        if len(line) > MOST_LINE_BYTES:
            return f"longer than {MOST_LINE_BYTES:,} bytes"
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            return "not UTF-8 text"
        if not text.strip():
            return "empty line"
        listed, pairs = _fields(text)
        if "://" in listed and not is_url(listed):
            return f"{listed}: neither an http(s) URL nor a path"
        if not listed:
            return "no URL or path"
        tags = []
        for pair in pairs:
            tag = self._parsed(pair)
            if isinstance(tag, str):
                return tag
            tags.append(tag)
        return listed, tags

    def _parsed(self, pair: str) -> Tag | str:
        """(category, confidence), or what is wrong. Few distinct pairs make up millions of tags."""
        found = self._pairs.get(pair)
        if found is None:
            if len(self._pairs) >= _PAIRS_KEPT:
                self._pairs.clear()
            found = self._pairs[pair] = _parse_pair(pair, self._num_categories)
        return found


class LineReader:
    """Reads the blocks of a list line by line."""

    def __init__(self, options: ListOptions) -> None:
        self._options = options
        self._parser = LineParser(options.num_categories)

    def read(self, block: Block) -> Reading:
        """The images and facts of a block."""
        options = self._options
        builder = ReadingBuilder(options.source, "tencent", single_label=options.single_label)
        if block.wrong:
            builder.reject(f"{options.file}:{block.first}", block.wrong)
            return builder.build()
        for number, line in block.lines():
            location = f"{options.file}:{number}"
            found = self._parser.parse(line)
            if isinstance(found, str):
                builder.reject(location, found)
                continue
            listed, tags = found
            uri = uri_of(listed, options.downloads, options.photos)
            split = options.split if tags else options.split_without_tags
            image = builder.add_image(location, uri, stem(listed), place=listed, split=split)
            for tag in tags if image is not None else ():
                builder.add_fact(image, *tag)  # type: ignore[arg-type]
        reading = builder.build()
        reading.named_by_place = options.named_by_place
        return reading


def looks_like_a_list(line: str) -> bool:
    """Whether a line is a photo, by URL, path or an image's name, and pairs."""
    listed, pairs = _fields(line)
    is_photo = stem(listed) != listed or "/" in listed
    return is_photo and all(_PAIR_LIKE.fullmatch(pair) for pair in pairs)


def _fields(line: str) -> tuple[str, list[str]]:
    fields = line.split("\t")
    if len(fields) == 1:
        words = line.split()
        if len(words) > 1 and all(_PAIR_LIKE.fullmatch(word) for word in words[1:]):
            fields = words
    return fields[0].strip(), fields[1:]


def _parse_pair(pair: str, num_categories: int) -> Tag | str:
    index, colon, confidence = pair.partition(":")
    if not colon or not (index.isascii() and index.isdigit()):
        return f"{pair!r} is not index:confidence"
    if len(index) > 9 or int(index) >= num_categories:
        return f"category {index} is unknown, there are {num_categories:,}"
    # Facts hold float32, in which a number such as 1e-60 is 0.
    known = bool(_NUMBER.fullmatch(confidence)) and float(confidence) <= 1
    if not known or np.float32(confidence) == 0:
        return f"{pair!r}: the confidence is not a number above 0 and at most 1"
    return int(index), float(confidence)
