"""PASCAL VOC: one XML file of objects a photo, and splits as lists of names.

VOCdevkit/VOC2012/JPEGImages/2007_000032.jpg
VOCdevkit/VOC2012/Annotations/2007_000032.xml
VOCdevkit/VOC2012/ImageSets/Main/train.txt
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from mlimages.errors import InputError
from mlimages.labels.reading import Reading, ReadingBuilder
from mlimages.labels.sources.files import (
    entries,
    has_image_name,
    lines_of,
    parse_index,
    require_folder,
)
from mlimages.labels.sources.label_space import find_label_map, resolve_labels
from mlimages.progress import track
from mlimages.taxonomy.categories import Taxonomy
from mlimages.taxonomy.mapping import LabelMap

EXPECTED = "VOCdevkit/VOC2012 with Annotations/ and JPEGImages/"
# A set's lists, in the order that decides when a name stands in several.
SPLIT_LISTS = {"train": "train", "val": "validation", "test": "test", "trainval": "train"}


class _BadXmlError(Exception):
    """An annotation that cannot be read; the message says why."""


def read(
    path: Path | str,
    taxonomy: Taxonomy,
    *,
    source: str = "voc",
    split: str | None = None,
    label_map: str | Path | LabelMap = "voc",
) -> Reading:
    """Read photos and objects; the source is exhaustive for its classes.

    An object marked difficult is present with confidence 1 like any other: the mark is about
    judging detectors. Photos without an annotation, annotations without a photo, and names in a
    list with neither, are rejects. An object of an unknown class is named and left out; an
    impossible box is named, but its class is kept (see `coco_yolo`).

    Args:
        path: a VOC folder such as VOC2012, or one that holds several, or VOCdevkit's parent.
        taxonomy: the vocabulary.
        source: name of the source.
        split: the split of all photos; by default that of ImageSets/Main.
        label_map: from class names to synsets: "voc", "coco", a TSV, or the map; its labels are the
            classes of the set.

    Raises:
        InputError: no such folder, or no VOC set in it.
    """
    folder = require_folder(path, EXPECTED)
    builder = ReadingBuilder(source, "voc")
    labels = find_label_map(label_map)
    mapped = resolve_labels(labels.labels, labels, taxonomy, builder).categories
    reader = _Reader(builder, mapped)
    for voc in _sets(folder):
        reader.read_set(voc, split)
    builder.note(f"{reader.objects:,} objects, {reader.difficult:,} of them difficult")
    return builder.build()


class _Reader:
    def __init__(self, builder: ReadingBuilder, mapped: dict[str, tuple[int, ...]]) -> None:
        self.builder, self.mapped = builder, mapped
        self.objects = self.difficult = 0

    def read_set(self, voc: Path, asked: str | None) -> None:
        """Read one set, such as VOC2012."""
        annotations = {
            file.stem: file for file in entries(voc / "Annotations") if file.suffix == ".xml"
        }
        photos: dict[str, Path] = {}
        for file in entries(voc / "JPEGImages"):
            if not has_image_name(file) or file.stem in photos:
                self.builder.reject(str(file), "not the name of an image, or one of two alike")
            else:
                photos[file.stem] = file
        splits = self._read_splits(voc, photos.keys() | annotations.keys())
        unlisted = 0
        for name, photo in track(photos.items(), voc.name, unit="photos"):
            if name not in annotations:
                self.builder.reject(str(photo), f"no annotation Annotations/{name}.xml")
                continue
            unlisted += name not in splits
            self._read_photo(photo, annotations[name], asked or splits.get(name))
        for name in sorted(annotations.keys() - photos.keys()):
            self.builder.reject(str(annotations[name]), f"no photo JPEGImages/{name}.jpg")
        if unlisted and not asked:
            self.builder.note(
                f"{voc.name}: {unlisted:,} photos in no list of ImageSets/Main: train"
            )

    def _read_splits(self, voc: Path, known: set[str]) -> dict[str, str]:
        """Name -> split; names that the set does not hold become rejects."""
        splits: dict[str, str] = {}
        missing: set[str] = set()
        for list_name, split in SPLIT_LISTS.items():
            file = voc / "ImageSets" / "Main" / f"{list_name}.txt"
            for location, line in lines_of(file) if file.is_file() else ():
                name = (line or "").split()[0] if (line or "").split() else ""
                if name in known:
                    splits.setdefault(name, split)
                elif name not in missing:
                    missing.add(name)
                    self.builder.reject(location, f"no photo and no annotation of {name!r}")
        return splits

    def _read_photo(self, photo: Path, annotation: Path, split: str | None) -> None:
        try:
            root = _parse_xml(annotation)
        except _BadXmlError as error:
            return self.builder.reject(str(annotation), str(error))
        size = _size(root)
        image = self.builder.add_image(str(photo), str(photo), photo.stem, split=split, size=size)
        if image is None:
            return None
        for number, found in enumerate(root.findall("object"), 1):
            name = (found.findtext("name") or "").strip()
            location = f"{annotation}: object {number}"
            if name not in self.mapped:
                self.builder.reject_line(location, f"unknown class {name!r}")
                continue
            if (wrong := _wrong_box(found.find("bndbox"), size)) is not None:
                self.builder.reject_line(location, f"{wrong}; its class {name} is kept")
            self.objects += 1
            self.difficult += (found.findtext("difficult") or "").strip() == "1"
            for category in self.mapped[name]:
                self.builder.add_fact(image, category)
        return None


def _sets(folder: Path) -> list[Path]:
    places = (
        folder,
        *entries(folder),
        *(e for d in entries(folder) if d.is_dir() for e in entries(d)),
    )
    found = [p for p in places if (p / "Annotations").is_dir() and (p / "JPEGImages").is_dir()]
    if not found:
        raise InputError(folder, "holds no VOC set", f"expected: {EXPECTED}")
    return found


def _parse_xml(path: Path) -> ET.Element:
    """Parse a file without a document type, so that no entity can be declared or fetched.

    Raises:
        _BadXmlError: unreadable, not XML, or with a document type.
    """
    tree = ET.TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = tree.start
    parser.EndElementHandler = tree.end
    parser.CharacterDataHandler = tree.data
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(path.read_bytes(), True)
        return tree.close()
    except OSError as error:
        raise _BadXmlError(f"cannot be read ({error.strerror})") from None
    # LookupError: an encoding that Python does not know.
    except (expat.ExpatError, ValueError, AssertionError, LookupError) as error:
        raise _BadXmlError(f"not an annotation in XML ({error})") from None


def _refuse(*_: object) -> NoReturn:
    raise _BadXmlError("declares a document type, which VOC has not and which may hide entities")


def _size(root: ET.Element) -> tuple[int, int] | None:
    sides = (root.findtext(f"size/{side}") or "" for side in ("width", "height"))
    width, height = (parse_index(side.strip()) for side in sides)
    return (width, height) if width and height else None


def _wrong_box(box: ET.Element | None, size: tuple[int, int] | None) -> str | None:
    """What is wrong with a box: VOC's pixels count from 1, its corners belong to the box."""
    if box is None:
        return "no box"
    try:
        texts = [box.findtext(side) or "" for side in ("xmin", "ymin", "xmax", "ymax")]
        left, top, right, bottom = map(float, texts)
    except ValueError:
        return "a box without four numbers"
    corners = f"box {left:g} {top:g} {right:g} {bottom:g}"
    if not all(map(math.isfinite, (left, top, right, bottom))) or left >= right or top >= bottom:
        return f"impossible {corners}"
    width, height = size or (math.inf, math.inf)
    if left < 0 or top < 0 or right > width or bottom > height:
        return f"{corners} reaches outside the image"
    return None
