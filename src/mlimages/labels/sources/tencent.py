"""The label lists of the Tencent ML-Images release.

    n04310904/n04310904_8388.JPEG<TAB>2367:1<TAB>2172:1
    https://c3.staticflickr.com/7/6080/6071452334_57111b2799_o.jpg<TAB>4767:0.9<TAB>4765:0.9

A line is a URL or a path, then category index and confidence of each tag. The release's README says
that spaces separate them; in the files it is TABs. Both are read. Lines without tags (the list of
photos to classify) are images without facts, in the split `unlabelled`.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from mlimages.errors import InputError
from mlimages.labels.reading import Reading, ReadingBuilder
from mlimages.labels.sources.files import PhotoFinder, entries, lines_of, split_of_name, stem
from mlimages.progress import track
from mlimages.taxonomy.categories import Taxonomy

EXPECTED = "a list with lines `URL or path<TAB>index:confidence ...`"
UNLABELLED = "unlabelled"
_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE]-?\d+)?", re.ASCII)
_PAIR_LIKE = re.compile(r"\S*\d:[\d.]\S*")


def read(
    path: Path | str,
    taxonomy: Taxonomy,
    *,
    source: str = "tencent",
    split: str | None = None,
    images: Path | str | None = None,
    single_label: bool = False,
) -> Reading:
    """Read one list, or all lists that lie directly in a folder.

    A line with anything wrong (a malformed pair, an unknown category, a confidence outside (0, 1],
    a URL that is not http or https, an image listed before) is a reject as a whole: no image comes
    of it, since nothing tells which part of it is right.

    Args:
        path: a list, or a folder of lists.
        taxonomy: its indices are the lists' indices.
        source: name of the source.
        split: the split of all images; by default what the list's name begins with (train or val),
            else train.
        images: folder of the photos; a photo found there by the last part of its URL, or by its
            path, is read from there. Paths are also looked for beside the list and above it.
        single_label: whether the list is of the ImageNet part, with one tag an image by design.

    Raises:
        InputError: no list there, or no folder `images`.
    """
    lists = _lists(Path(path).absolute())
    if images is not None and not Path(images).is_dir():
        raise InputError(images, "no such folder", "name the folder of the photos")
    builder = ReadingBuilder(source, "tencent", single_label=single_label)
    read_lines = 0
    for file in lists:
        here = _List(file, builder, taxonomy, split, images)
        for location, line in track(lines_of(file), file.name, unit="lines"):
            read_lines += 1
            here.take(location, line)
        here.note_counts()
    return builder.build(read=read_lines)


class _List:
    """One list file on its way into a reading."""

    def __init__(
        self,
        file: Path,
        builder: ReadingBuilder,
        taxonomy: Taxonomy,
        split: str | None,
        images: Path | str | None,
    ) -> None:
        self.name = file.name
        self.builder = builder
        self.num_categories = len(taxonomy)
        self.split = split or split_of_name(file.name)
        self.asked_split = split
        self.downloads = PhotoFinder([Path(images).absolute()] if images is not None else [])
        # The release's list says data/images/im_0.jpg, relative to the folder above its own.
        self.photos = PhotoFinder([*self.downloads.roots, file.parent, file.parent.parent])
        self.pairs: dict[str, tuple[int, float] | str] = {}  # parsed, or what is wrong
        self.without_tags = self.without_place = 0

    def take(self, location: str, line: str | None) -> None:
        """Turn a line into an image and its facts, or a reject."""
        if line is None:
            return self.builder.reject(location, "not UTF-8 text")
        if not line.strip():
            return self.builder.reject(location, "empty line")
        listed, pairs = _fields(line)
        tags = [self._parsed(pair) for pair in pairs]
        wrong = next((tag for tag in tags if isinstance(tag, str)), None)
        if not listed:
            wrong = "no URL or path"
        if "://" in listed and not listed.startswith(("http://", "https://")):
            wrong = f"{listed}: neither an http(s) URL nor a path"
        if wrong is not None:
            return self.builder.reject(location, wrong)
        uri = self._uri(listed)
        split = self.split if tags else self.asked_split or UNLABELLED
        image = self.builder.add_image(location, uri, stem(listed), place=listed, split=split)
        if image is None:
            return None
        for tag in tags:
            self.builder.add_fact(image, *tag)  # type: ignore[misc]  # no str is left
        self.without_tags += not tags
        self.without_place += uri is None
        return None

    def note_counts(self) -> None:
        """Tell the user what is missing from many lines at once."""
        if self.without_tags:
            self.builder.note(f"{self.name}: {self.without_tags:,} images without tags")
        if self.without_place:
            self.builder.note(
                f"{self.name}: {self.without_place:,} photos not found on this machine; "
                "name their folder with --images"
            )

    def _uri(self, listed: str) -> str | None:
        if "://" not in listed:
            return self.photos.find(listed)
        # The release's downloader joined the last two parts of the URL; its lists have the last.
        last_two = listed.partition("?")[0].split("/")[-2:]
        names = (last_two[-1], "_".join(last_two))
        return next(filter(None, map(self.downloads.find, names)), listed)

    def _parsed(self, pair: str) -> tuple[int, float] | str:
        """(category, confidence), or what is wrong. Few distinct pairs make up millions of tags."""
        found = self.pairs.get(pair)
        if found is None:
            found = self.pairs[pair] = _parse_pair(pair, self.num_categories)
        return found


def _lists(path: Path) -> list[Path]:
    """The file itself, or the lists in a folder, told by their first line."""
    if path.is_file():
        return [path]
    if not path.exists():
        raise InputError(path, "no such file or folder", f"name {EXPECTED}")
    lists = [file for file in entries(path) if file.suffix in (".txt", ".tsv") and _is_list(file)]
    if not lists:
        raise InputError(path, "holds no label list", f"name {EXPECTED}")
    # The release lists some photos twice, by URL and by name: the list that has their URLs first.
    return sorted(lists, key=lambda file: "url" not in file.name)


def _is_list(file: Path) -> bool:
    for _, line in lines_of(file):
        if line and line.strip():
            listed, pairs = _fields(line)
            return bool(stem(listed) != listed or "/" in listed) and all(
                _PAIR_LIKE.fullmatch(pair) for pair in pairs
            )
    return False


def _fields(line: str) -> tuple[str, list[str]]:
    fields = line.split("\t")
    if len(fields) == 1:
        words = line.split()
        if len(words) > 1 and all(_PAIR_LIKE.fullmatch(word) for word in words[1:]):
            fields = words
    return fields[0].strip(), fields[1:]


def _parse_pair(pair: str, num_categories: int) -> tuple[int, float] | str:
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
