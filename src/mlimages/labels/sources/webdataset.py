"""WebDataset: tars in which the members of one sample follow each other and share a name.

    000012.jpg      the photo, read in place
    000012.json     an object with the tags in a field: a text, a list, or {tag: confidence}
    000012.cls      or a class, by number or name
    000012.txt      or the tags as text

What comes behind the first dot of a name tells the members of a sample apart. Of several members
with tags the first of these kinds is read.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlimages.errors import InputError
from mlimages.labels.reading import Reading, ReadingBuilder
from mlimages.labels.sources.class_names import class_resolver
from mlimages.labels.sources.files import (
    IMAGE_SUFFIXES,
    SPLIT_FOLDERS,
    DamagedTarError,
    split_of_name,
    tar_members,
    tar_uri,
)
from mlimages.labels.sources.json_values import MAXIMUM_ELEMENT, parse_json
from mlimages.labels.sources.label_space import find_label_map
from mlimages.labels.sources.streams import absolute, files_of, is_remote, name_of
from mlimages.labels.sources.table import resolver
from mlimages.labels.streams import Readings, one_or_many
from mlimages.progress import track
from mlimages.taxonomy.categories import Taxonomy
from mlimages.taxonomy.mapping import LabelMap

FIELDS = ("tags", "labels", "tag", "label")
KINDS = ("json", "cls", "txt")


class _BadSampleError(Exception):
    """A sample that cannot be taken in; the message says why."""


def read(
    path: Path | str,
    taxonomy: Taxonomy,
    *,
    source: str = "webdataset",
    split: str | None = None,
    label_map: str | Path | LabelMap | None = None,
    classes: Path | str | None = None,
    field: str | None = None,
    separator: str = " ",
    single_label: bool = False,
) -> Readings:
    """Read one tar, or all tars of a folder.

    A sample without a photo or without tags is a reject, and so is one none of whose tags has a
    category; of the others the unknown tags are named and left out.

    Args:
        path: the tar or the folder, on this machine: the photos are read in place.
        taxonomy: the vocabulary.
        source: name of the source.
        split: the split of all images; by default what the tar or its folder is called after.
        label_map: what the tags mean: "coco", "voc", a TSV, or the map.
        classes: file of class names, when tags are class numbers.
        field: name of the field of tags in the JSON; by default the first of FIELDS that is there.
        separator: what stands between tags in a text.
        single_label: whether images carry one tag by design.

    Raises:
        InputError: no such file or folder, no tar in it, or an address instead of a path.
    """
    if is_remote(path):
        raise InputError(path, "the photos in it are read in place", "copy it to this machine")
    tars = [file for file in files_of(path) if file.endswith(".tar") or file == absolute(path)]
    if not tars:
        raise InputError(path, "holds no tars", "name a tar of WebDataset, or a folder of them")
    map_ = find_label_map(label_map) if label_map is not None else None
    resolve = class_resolver(resolver(taxonomy, map_), classes, numbers_are_labels=map_ is not None)
    builder = ReadingBuilder(source, "webdataset", single_label=single_label)
    return one_or_many(_chunks(tars, _Samples(builder, resolve, field, separator), split))


def _chunks(tars: list[str], samples: _Samples, split: str | None) -> Iterator[Reading]:
    builder = samples.builder
    for tar in tars:
        folder = os.path.basename(os.path.dirname(tar))
        of_tar = split or split_of_name(name_of(tar)) or SPLIT_FOLDERS.get(folder)
        if "::/" in tar:
            builder.reject(tar, "addresses of members cannot hold ::/ in its path")
            continue
        for _ in track(samples.read(Path(tar), of_tar), name_of(tar), unit="samples"):
            if builder.is_full:
                yield builder.take()
    yield builder.build()


@dataclass
class _Sample:
    """What the members of one sample say."""

    tags: list[tuple[str, float]]
    description: dict[str, Any]


class _Samples:
    def __init__(
        self,
        builder: ReadingBuilder,
        resolve: Callable[[str], tuple[int, ...] | str],
        field: str | None,
        separator: str,
    ) -> None:
        self.builder, self._resolve = builder, resolve
        self._fields = (field,) if field is not None else FIELDS
        self._separator = separator or None

    def read(self, tar: Path, split: str | None) -> Iterator[None]:
        """Take in the samples of a tar, one a step."""
        last, found = "", dict[str, tarfile.TarInfo]()
        with open(tar, "rb") as file:
            try:
                for member in tar_members(tar):
                    key, kind = _split(member.name)
                    if key != last and found:
                        self._take(tar, last, found, file, split)
                        found = {}
                        yield
                    last = key
                    found[kind] = member
            except DamagedTarError as error:
                self.builder.reject(str(tar), f"cannot be read to its end ({error})")
            if found:
                self._take(tar, last, found, file, split)
                yield

    def _take(
        self, tar: Path, key: str, members: dict[str, tarfile.TarInfo], file: Any, split: str | None
    ) -> None:
        photos = [m for kind, m in members.items() if f".{kind}" in IMAGE_SUFFIXES and m.isreg()]
        location = f"{tar}: {key}"
        try:
            if len(photos) != 1:
                raise _BadSampleError(f"{len(photos)} photos, not 1")
            sample = self._read_tags(members, file)
        except _BadSampleError as error:
            return self.builder.reject(location, str(error))
        facts, wrong = self._resolve_tags(sample.tags)
        if wrong and not facts:
            return self.builder.reject(location, wrong[0])
        uri = tar_uri(tar, photos[0].name)
        name = key.rpartition("/")[2]
        image = self.builder.add_image(location, uri, name, split=split, **sample.description)
        if image is not None:
            for category, confidence in facts:
                self.builder.add_fact(image, category, confidence)
            for reason in wrong:
                self.builder.reject_line(location, reason)
        return None

    def _read_tags(self, members: dict[str, tarfile.TarInfo], file: Any) -> _Sample:
        kind = next((kind for kind in KINDS if kind in members and members[kind].isreg()), None)
        if kind is None:
            raise _BadSampleError(f"no member of the kinds {', '.join(KINDS)}")
        member = members[kind]
        if member.size > MAXIMUM_ELEMENT:
            raise _BadSampleError(f".{kind} has {member.size:,} bytes, more than can be tags")
        file.seek(member.offset_data)
        data = file.read(member.size)
        if kind == "json":
            return self._from_json(data)
        try:
            text = data.decode("utf-8").strip()
        except UnicodeDecodeError:
            raise _BadSampleError(f".{kind} is not UTF-8 text") from None
        words = [text] if kind == "cls" else [w.strip() for w in text.split(self._separator)]
        return _Sample([(word, 1.0) for word in words if word], {})

    def _from_json(self, data: bytes) -> _Sample:
        record, wrong = parse_json(data)
        if wrong or not isinstance(record, dict):
            raise _BadSampleError(f".json: {wrong or 'not an object'}")
        name = next((name for name in self._fields if record.get(name) is not None), None)
        if name is None:
            raise _BadSampleError(f"its JSON has no field {' or '.join(self._fields)}")
        value = record[name]
        if isinstance(value, dict):
            tags = list(value.items())
        elif isinstance(value, list):
            tags = [(str(word), 1.0) for word in value]
        else:
            tags = [(word, 1.0) for word in str(value).split(self._separator)]
        licence = record.get("licence") or record.get("license")
        described = {name: record.get(name) for name in ("author", "title")} | {"licence": licence}
        known: dict[str, Any] = {k: text for k, text in described.items() if isinstance(text, str)}
        url = record.get("url")
        if isinstance(url, str) and url.startswith(("http://", "https://")):
            known["more_uris"] = [url]
        return _Sample([(word.strip(), weight) for word, weight in tags if word.strip()], known)

    def _resolve_tags(
        self, tags: list[tuple[str, float]]
    ) -> tuple[list[tuple[int, float]], list[str]]:
        """(category, confidence) of what is known, and what is wrong with the rest."""
        facts: list[tuple[int, float]] = []
        wrong: list[str] = []
        for word, confidence in tags:
            categories = self._resolve(word)
            number = isinstance(confidence, int | float) and not isinstance(confidence, bool)
            if isinstance(categories, str):
                wrong.append(categories)
            elif not number or not 0 < np.float32(confidence) <= 1:
                wrong.append(f"{word}: the confidence {confidence!r} is not above 0 and at most 1")
            else:
                facts += [(category, float(confidence)) for category in categories]
        return facts, wrong


def _split(name: str) -> tuple[str, str]:
    """(key, kind) of a member: `a/b.c.jpg` -> (`a/b`, `c.jpg`)."""
    folder, slash, last = name.rpartition("/")
    key, _, kind = last.partition(".")
    return f"{folder}{slash}{key}", kind.lower()
