"""What COCO's and LVIS's JSON have in common: one object of images, annotations and categories.

A file is read twice. The first time takes the categories, which may stand last, and of every
annotation its image, category and score (20 bytes); the second time hands over the images. No more
of the JSON is held than its largest element.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlimages.errors import InputError, UnknownCategoryError
from mlimages.labels.reading import ReadingBuilder
from mlimages.labels.sources.files import PhotoFinder, stem
from mlimages.labels.sources.json_values import DamagedJsonError, members
from mlimages.labels.sources.label_space import Meaning, label_meanings
from mlimages.labels.sources.streams import (
    absolute,
    files_of,
    is_folder,
    name_of,
    open_stream,
    suffix_of,
)
from mlimages.progress import track
from mlimages.taxonomy.categories import Taxonomy
from mlimages.taxonomy.mapping import LabelMap, Mapping
from mlimages.taxonomy.wordnet import wordnet

_SENSE = re.compile(r"(.+)\.n\.(\d{1,3})", re.ASCII)
_MOST_ID = 1 << 62


def annotation_files(path: Any, prefixes: tuple[str, ...]) -> list[str]:
    """The file itself, or the files of a folder whose names begin so.

    Raises:
        InputError: there is nothing there, or no such file in the folder.
    """
    found = files_of(path)
    if is_folder(path):
        found = [
            file
            for file in found
            if suffix_of(file) == ".json" and name_of(file).startswith(prefixes)
        ]
    if not found:
        named = " or ".join(f"{prefix}*.json" for prefix in prefixes)
        raise InputError(path, "holds no annotations", f"name a JSON file, or a folder of {named}")
    return [absolute(file) for file in found]


@dataclass
class Annotations:
    """What a file says besides its images.

    Attributes:
        names: category id -> name.
        synsets: category id -> its synset as LVIS writes it, `dog.n.01`.
        keys: category id -> its key, as `mlimages export coco` writes it.
        licences: licence id -> URL or name.
        spoiled: image id -> where an annotation does not tell what it shows, and why.
        unknown: annotations of a category that is not declared, and where they stand.
        info: what the file says of itself.
    """

    names: dict[int, str] = field(default_factory=dict)
    synsets: dict[int, str] = field(default_factory=dict)
    keys: dict[int, str] = field(default_factory=dict)
    licences: dict[int, str] = field(default_factory=dict)
    spoiled: dict[int, tuple[str, str]] = field(default_factory=dict)
    unknown: list[tuple[str, str]] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)
    _images: array = field(default_factory=lambda: array("q"))
    _categories: array = field(default_factory=lambda: array("q"))
    _scores: array = field(default_factory=lambda: array("f"))

    @classmethod
    def read(cls, file: str, builder: ReadingBuilder, *, whole: bool) -> Annotations:
        """Read a file for the first time; broken elements become rejects.

        Args:
            file: the JSON.
            builder: gets the rejects.
            whole: whether a file that is damaged cannot be used.

        Raises:
            InputError: it is no such JSON, or declares no categories; or it is damaged.
        """
        found = cls()
        counts: dict[str, int] = {}
        elements = _elements(file, None if whole else builder)
        for key, value in track(elements, name_of(file), unit="elements"):
            counts[key] = counts.get(key, 0) + 1
            where = f"{file}: {key} {counts[key]}"
            if key == "annotations":
                found._take_annotation(where, value, builder)
            elif key in ("categories", "licenses"):
                found._take_named(key, where, value, builder)
            elif key == "info" and isinstance(value, dict):
                found.info = value
        if not found.names:
            missing = f"no categories among its members {', '.join(counts) or 'none'}"
            raise InputError(file, missing, "name a JSON file of instances")
        found._keep_known(file)
        return found

    @property
    def exhaustive(self) -> bool:
        """Whether silence about a category says that it is not there, as in COCO."""
        return self.info.get("exhaustive") is not False

    @property
    def split(self) -> str | None:
        """The split of all images, if the file says so."""
        split = self.info.get("split")
        return split if isinstance(split, str) and split else None

    def categories_of(self, image: int) -> dict[int, float]:
        """The categories that annotations of an image name, ascending -> the greatest score."""
        first, last = np.searchsorted(self._pairs[0], [image, image + 1])
        scores = self._best[first:last].tolist()
        return dict(zip(self._pairs[1][first:last].tolist(), scores, strict=True))

    def images(self) -> NDArray[np.int64]:
        """The ids of the images that are annotated, ascending."""
        return np.unique(self._pairs[0])

    def _take_annotation(self, where: str, value: Any, builder: ReadingBuilder) -> None:
        image = _identifier(value, "image_id")
        category = _identifier(value, "category_id")
        if image is None:
            return builder.reject(where, "names no image")
        score = value.get("score", 1.0)
        if category is None:
            self.spoiled.setdefault(image, (where, "tells no category"))
        elif type(score) not in (int, float) or not 0 < np.float32(score) <= 1:
            self.spoiled.setdefault(image, (where, f"score {score!r:.80} is not in (0, 1]"))
        else:
            self._images.append(image)
            self._categories.append(category)
            self._scores.append(score)
        return None

    def _take_named(self, key: str, where: str, value: Any, builder: ReadingBuilder) -> None:
        number = _identifier(value, "id")
        name = value.get("name") if isinstance(value, dict) else None
        if number is None or not isinstance(name, str):
            builder.reject(where, "has no id or no name")
        elif key == "licenses":
            self.licences[number] = str(value.get("url") or name)
        elif number in self.names:
            builder.reject(where, f"category {number} was declared before")
        else:
            self.names[number] = name
            if isinstance(value.get("synset"), str):
                self.synsets[number] = value["synset"]
            if isinstance(value.get("key"), str):
                self.keys[number] = value["key"]

    def _keep_known(self, file: str) -> None:
        """Sort the pairs, each once; those of an undeclared category are kept apart."""
        pairs = np.array([self._images, self._categories], np.int64)
        scores = np.array(self._scores, np.float32)
        self._images, self._categories, self._scores = array("q"), array("q"), array("f")
        declared = np.isin(pairs[1], np.fromiter(self.names, np.int64))
        for category, count in zip(
            *np.unique(pairs[1][~declared], return_counts=True), strict=True
        ):
            reason = f"{count:,} annotations, but there is no such category"
            self.unknown.append((f"{file}: category {category}", reason))
        pairs, scores = pairs[:, declared], scores[declared]
        order = np.lexsort((-scores, pairs[1], pairs[0]))
        pairs, scores = pairs[:, order], scores[order]
        first = np.ones(len(scores), bool)
        first[1:] = np.any(pairs[:, 1:] != pairs[:, :-1], axis=0)
        self._pairs, self._best = pairs[:, first], scores[first]


def read_images(file: str, builder: ReadingBuilder) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Read a file for the second time: (place, id, record) of each image.

    A record without a whole number as its id is a reject.
    """
    number = 0
    unused = ReadingBuilder("", "")  # damage was named the first time
    for key, value in track(_elements(file, unused), name_of(file), unit="elements"):
        if key == "images":
            number += 1
            where = f"{file}: images {number}"
            image = _identifier(value, "id")
            if image is None:
                builder.reject(where, "has no id")
            else:
                yield where, image, value
        elif number:
            return


def place_image(
    builder: ReadingBuilder,
    where: str,
    record: dict[str, Any],
    licences: dict[int, str],
    photos: PhotoFinder,
    split: str | None,
) -> int | None:
    """Take in an image from its record; its position, or None when it became a reject."""
    urls = [record.get(key) for key in ("coco_url", "flickr_url")]
    known = [u for u in urls if isinstance(u, str) and u.startswith(("http://", "https://"))]
    listed = record.get("file_name")
    if not isinstance(listed, str) or not listed:
        listed = "/".join(known[0].split("/")[-2:]) if known else ""
    if not listed:
        builder.reject(where, "neither a file name nor a URL")
        return None
    found = photos.find(listed)
    places = [found, *known] if found is not None else known
    licence = record.get("license")
    sides = [record.get(key) for key in ("width", "height")]
    size = (sides[0], sides[1]) if all(type(s) is int and 0 < s < 1 << 31 for s in sides) else None
    return builder.add_image(
        where,
        places[0] if places else None,
        stem(listed),
        place=listed,
        split=split,
        licence=licences.get(licence) if type(licence) is int else None,
        size=size,  # type: ignore[arg-type]  # two whole numbers
        more_uris=places[1:] or None,
    )


def category_meanings(
    found: Annotations, label_map: LabelMap | None, taxonomy: Taxonomy
) -> dict[int, Meaning]:
    """Category id -> meaning, of the categories that have one.

    A category with a key of the vocabulary is that one. A name goes by the label map; without a
    map, or when it is not in it, a category goes by its synset; and a name that is a key of the
    vocabulary is that category.
    """
    mappings = {}
    for number, name in found.names.items():
        key = found.keys.get(number, "")
        if taxonomy.get(key) is not None:
            mappings[number] = Mapping(str(number), key, "exact", "")
            continue
        known = label_map.mappings.get(name) if label_map is not None else None
        wnid = known.wnid if known is not None else _key(name, found.synsets.get(number), taxonomy)
        if wnid is not None:
            relation = known.relation if known is not None else "exact"
            mappings[number] = Mapping(str(number), wnid, relation, "")
    meanings = label_meanings(LabelMap("categories", mappings.values()), taxonomy)
    return {number: meanings[str(number)] for number in mappings if str(number) in meanings}


def _key(name: str, synset: str | None, taxonomy: Taxonomy) -> str | None:
    if synset is not None and (found := _SENSE.fullmatch(synset)):
        senses = wordnet().synsets(found[1])
        if 0 < int(found[2]) <= len(senses):
            return senses[int(found[2]) - 1]
    try:
        return taxonomy.keys[taxonomy.index(name)]
    except UnknownCategoryError:
        return None


def _elements(file: str, builder: ReadingBuilder | None) -> Iterator[tuple[str, Any]]:
    """The elements of a file; damage becomes a reject, or without a builder an error."""
    with open_stream(file) as stream:
        try:
            yield from members(stream)
        except DamagedJsonError as error:
            if builder is None:
                raise InputError(file, str(error), "name an intact file") from None
            builder.reject(file, str(error))


def _identifier(value: Any, key: str) -> int | None:
    """A whole number of a record, or None."""
    number = value.get(key) if isinstance(value, dict) else None
    return number if type(number) is int and -_MOST_ID < number < _MOST_ID else None
