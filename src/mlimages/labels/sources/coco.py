"""COCO's instances, and any boxes or polygons in its JSON.

{"images": [{"id": 9, "file_name": "000000000009.jpg", "coco_url": ..., "license": 3}, ...],
 "annotations": [{"image_id": 9, "category_id": 51}, ...],
 "categories": [{"id": 51, "name": "bowl"}, ...], "licenses": [{"id": 3, "url": ...}, ...]}

The `score` of an annotation is its confidence. Where `info` says `"exhaustive": false`, as in what
`mlimages export coco` writes, silence says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mlimages.errors import InputError
from mlimages.labels.reading import Reading, ReadingBuilder
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
    source: str = "coco",
    split: str | None = None,
    label_map: str | Path | LabelMap = "coco",
    images: Path | str | None = None,
) -> Readings:
    """Read images and annotations; the source is exhaustive for its categories.

    An annotation that tells no category, or whose score is none, spoils its image, since the
    silence of an exhaustive source would say absent. One of an undeclared category is left out and
    named, as is one of an image that is not listed.

    Args:
        path: a JSON file, or a folder of files instances_*.json of the same categories.
        taxonomy: the vocabulary.
        source: name of the source.
        split: the split of all images; by default what the file says or is called after, else
            train.
        label_map: from names to synsets: "coco", "voc", a TSV, or the map; a category with a `key`
            of the vocabulary, or a name that is one, needs none.
        images: folder of the photos; by default the addresses of the file.

    Raises:
        InputError: no such file, no JSON of instances, one that is damaged (what it no longer says
            would be absent), or two files of other categories.
    """
    photos = photo_finder(images)
    files = annotation_files(path, ("instances_",))
    builder = ReadingBuilder(source, "coco")
    map_ = find_label_map(label_map)
    return one_or_many(_chunks(files, builder, map_, taxonomy, photos, split))


def photo_finder(images: Path | str | None) -> PhotoFinder:
    """A finder in one folder, or in none.

    Raises:
        InputError: no such folder.
    """
    if images is not None and not Path(images).is_dir():
        raise InputError(images, "no such folder", "name the folder of the photos")
    return PhotoFinder([Path(images).absolute()] if images is not None else [])


def _chunks(
    files: list[str],
    builder: ReadingBuilder,
    label_map: LabelMap,
    taxonomy: Taxonomy,
    photos: PhotoFinder,
    split: str | None,
) -> Iterator[Reading]:
    exhaustive: set[int] | None = None
    for file in files:
        found = Annotations.read(file, builder, whole=True)
        meanings = category_meanings(found, label_map, taxonomy)
        denied = {
            c
            for meaning in meanings.values()
            if found.exhaustive and meaning.denies
            for c in meaning.categories
        }
        if exhaustive is not None and denied != exhaustive:
            raise InputError(file, "declares other categories than the file before", "import each")
        exhaustive = denied
        builder.exhaustive.update(denied)
        for number, name in found.names.items():
            if number not in meanings:
                builder.note(f"category {name!r} has no category in the vocabulary")
        for place, reason in found.unknown:
            builder.reject_line(place, reason)
        yield from _read_images(file, builder, found, meanings, photos, split)
    yield builder.build()


def _read_images(
    file: str,
    builder: ReadingBuilder,
    found: Annotations,
    meanings: dict[int, Meaning],
    photos: PhotoFinder,
    split: str | None,
) -> Iterator[Reading]:
    missing = set(found.images().tolist()) | found.spoiled.keys()
    by_name = split_of_file(file)
    for where, number, record in read_images(file, builder):
        missing.discard(number)
        if number in found.spoiled and found.exhaustive:
            builder.reject(where, " ".join(found.spoiled[number]))
            continue
        image = place_image(
            builder, where, record, found.licences, photos, split or found.split or by_name
        )
        if image is not None:
            if number in found.spoiled:
                builder.reject_line(*found.spoiled[number])
            for category, score in found.categories_of(number).items():
                for index in meanings[category].categories if category in meanings else ():
                    builder.add_fact(image, index, score)
        if builder.is_full:
            yield builder.take()
    for number in sorted(missing):
        builder.reject(f"{file}: image {number}", "annotated, but not among the images")
