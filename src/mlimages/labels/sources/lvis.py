"""LVIS: COCO's photos with over a thousand categories, of which each image was asked only some.

The JSON is COCO's, and each image also has `neg_category_ids`, categories that people looked for
and did not find, and `not_exhaustive_category_ids`, of which not every object was marked. So an
image is present for a category with an annotation, verified absent for its negative categories, and
unknown for all others: silence says nothing. That some objects of a category are not marked changes
nothing about its presence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlimages.labels.reading import Reading, ReadingBuilder
from mlimages.labels.sources.coco import photo_finder
from mlimages.labels.sources.coco_json import (
    Annotations,
    annotation_files,
    category_meanings,
    place_image,
    read_images,
)
from mlimages.labels.sources.files import PhotoFinder, split_of_file
from mlimages.labels.sources.label_space import Meaning, find_label_map
from mlimages.labels.streams import Readings, one_or_many
from mlimages.taxonomy.categories import Taxonomy
from mlimages.taxonomy.mapping import LabelMap


def read(
    path: Path | str,
    taxonomy: Taxonomy,
    *,
    source: str = "lvis",
    split: str | None = None,
    label_map: str | Path | LabelMap | None = None,
    images: Path | str | None = None,
) -> Readings:
    """Read images, annotations and negative categories.

    A category goes by its `synset`, such as dog.n.01, unless a label map has its name. One without
    a category in the vocabulary is named once, with the number of images it is said of.

    Args:
        path: a JSON file, or a folder of files lvis_*.json.
        taxonomy: the vocabulary.
        source: name of the source.
        split: the split of all images; by default what the file is called after, else train.
        label_map: from names to synsets, where the file's own synsets are not wanted.
        images: folder of the photos; by default the addresses of the file.

    Raises:
        InputError: no such file, or no JSON of instances.
    """
    photos = photo_finder(images)
    files = annotation_files(path, ("lvis_",))
    map_ = find_label_map(label_map) if label_map is not None else None
    builder = ReadingBuilder(source, "lvis")
    return one_or_many(_chunks(files, builder, map_, taxonomy, photos, split))


def _chunks(
    files: list[str],
    builder: ReadingBuilder,
    label_map: LabelMap | None,
    taxonomy: Taxonomy,
    photos: PhotoFinder,
    split: str | None,
) -> Iterator[Reading]:
    for file in files:
        found = Annotations.read(file, builder, whole=False)
        reader = _Reader(builder, found, category_meanings(found, label_map, taxonomy))
        for place, reason in found.unknown:
            builder.reject_line(place, reason)
        missing = set(found.images().tolist())
        for where, number, record in read_images(file, builder):
            missing.discard(number)
            image = place_image(
                builder, where, record, found.licences, photos, split or split_of_file(file)
            )
            if image is not None:
                reader.take(image, where, number, record)
            if builder.is_full:
                yield builder.take()
        for number in sorted(missing):
            builder.reject(f"{file}: image {number}", "annotated, but not among the images")
        for where, reason in found.spoiled.values():
            builder.reject_line(where, reason)
        for category, count in reader.unmapped.most_common():
            name = found.names[category]
            builder.reject_line(f"{file}: category {name}", f"{count:,} images: it has no category")
    yield builder.build()


class _Reader:
    """Turns what a file says of an image into facts."""

    def __init__(
        self, builder: ReadingBuilder, found: Annotations, meanings: dict[int, Meaning]
    ) -> None:
        self.builder, self.found, self.meanings = builder, found, meanings
        self.unmapped: Counter[int] = Counter()

    def take(self, image: int, where: str, number: int, record: dict[str, Any]) -> None:
        """Add the facts of an image: its position, its place in the file, its id and record."""
        shown = self.found.categories_of(number)
        present = set()
        for category, score in shown.items():
            for index in self._categories(category, False):
                present.add(index)
                self.builder.add_fact(image, index, score)
        doubtful = set(self._listed(record, "not_exhaustive_category_ids", where))
        absent: set[int] = set()
        for category in self._listed(record, "neg_category_ids", where):
            if category in shown or category in doubtful:
                name = self.found.names[category]
                self.builder.reject_line(where, f"{name} is both negative and there")
            else:
                absent.update(self._categories(category, True))
        # Two categories of LVIS may be one here, of which the other was found.
        for index in sorted(absent - present):
            self.builder.add_fact(image, index, present=False, kind="verified")

    def _categories(self, category: int, denied: bool) -> tuple[int, ...]:
        meaning = self.meanings.get(category)
        if meaning is None:
            self.unmapped[category] += 1
            return ()
        return meaning.categories if meaning.denies or not denied else ()

    def _listed(self, record: dict[str, Any], key: str, where: str) -> list[int]:
        """The declared categories of a list in an image's record."""
        listed = record.get(key, [])
        if not isinstance(listed, list):
            self.builder.reject_line(where, f"{key} is no list")
            return []
        known = [c for c in listed if type(c) is int and c in self.found.names]
        if len(known) < len(listed):
            self.builder.reject_line(where, f"{key} holds what is no category")
        return known
