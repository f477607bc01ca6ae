"""COCO, and any boxes in YOLO's format.

    images/000000000009.jpg
    labels/000000000009.txt       lines: class cx cy width height, as fractions of the image
    data.yaml                     the class names

The folder of labels may be called `yolo_labels`. Both folders may be divided alike, as in
`images/train2017` and `labels/train2017`, or may lie inside `train`, `val` and `test`. The class
names stand in a YAML file under `names:`, or one a line in `classes.txt`.
"""

from __future__ import annotations

import math
from pathlib import Path

from mlimages.errors import InputError
from mlimages.labels.reading import Reading, ReadingBuilder
from mlimages.labels.sources.class_names import read_class_names, yaml_class_names
from mlimages.labels.sources.files import (
    SPLIT_FOLDERS,
    entries,
    files_below,
    has_image_name,
    lines_of,
    parse_index,
    require_folder,
    split_of_name,
)
from mlimages.labels.sources.label_space import find_label_map, resolve_labels
from mlimages.progress import track
from mlimages.taxonomy.categories import Taxonomy
from mlimages.taxonomy.mapping import LabelMap

EXPECTED = "images/, labels/ (or yolo_labels/) and a YAML file of class names"
LABEL_FOLDERS = ("labels", "yolo_labels")
CLASS_LISTS = ("classes.txt", "obj.names")


def read(
    path: Path | str,
    taxonomy: Taxonomy,
    *,
    source: str = "coco",
    split: str | None = None,
    label_map: str | Path | LabelMap = "coco",
    classes: Path | str | None = None,
) -> Reading:
    """Read photos and boxes; the source is exhaustive for its classes.

    A photo without a label file, and a label file without a photo, are rejects; an empty label
    file says that none of the classes is there. A line of an unknown class is named and left out.
    Where only the box is malformed or impossible the line is named too, but its class is kept: what
    is wrong is where, not what. A photo with a line that tells no class is a reject: to leave the
    line out would turn an exhaustive source's silence into a false absence.

    Args:
        path: the folder.
        taxonomy: the vocabulary.
        source: name of the source.
        split: the split of all photos; by default that of their subfolder, else train.
        label_map: from class names to synsets: "coco", "voc", a TSV, or the map.
        classes: the file of class names, when it is not the only one in the folder.

    Raises:
        InputError: no such folder, another layout, or no class names.
    """
    folder = require_folder(path, EXPECTED)
    builder = ReadingBuilder(source, "coco_yolo")
    parts = _parts(folder)
    names = read_class_names(Path(classes) if classes is not None else _find_classes(folder, parts))
    mapped = resolve_labels(
        list(names.values()), find_label_map(label_map), taxonomy, builder
    ).categories
    reader = _Reader(builder, names, mapped)
    for part, part_split in parts:
        reader.read_part(part, split or part_split, split)
    builder.note(f"{reader.boxes:,} boxes, {len(reader.pairs):,} pairs of image and class")
    return builder.build()


class _Reader:
    def __init__(
        self, builder: ReadingBuilder, names: dict[int, str], mapped: dict[str, tuple[int, ...]]
    ) -> None:
        self.builder, self.names, self.mapped = builder, names, mapped
        self.boxes = 0
        self.pairs: set[tuple[int, int]] = set()  # (image, class)

    def read_part(self, part: Path, split: str | None, asked: str | None) -> None:
        """Read a folder that holds images/ and a folder of labels."""
        labels = _label_folder(part)
        waiting = {
            file.relative_to(labels).with_suffix(""): file
            for file in files_below(labels)
            if file.suffix == ".txt" and file.name not in CLASS_LISTS
        }
        photos = part / "images"
        unused = dict(waiting)
        for photo in track(files_below(photos), part.name, unit="photos"):
            name = photo.relative_to(photos).with_suffix("")
            if not has_image_name(photo):
                self.builder.reject(str(photo), "not the name of an image")
            elif name not in waiting:
                self.builder.reject(str(photo), f"no label file {labels.name}/{name}.txt")
            else:
                unused.pop(name, None)
                inside = asked or split_of_name(name.parts[0] if name.parent.parts else "")
                self._read_photo(photo, waiting[name], inside or split)
        for name, file in unused.items():
            self.builder.reject(str(file), f"no photo images/{name}")

    def _read_photo(self, photo: Path, labels: Path, split: str | None) -> None:
        try:
            lines = _read_lines(labels)
        except _BadLabelsError as error:
            return self.builder.reject(*error.args)
        image = self.builder.add_image(str(photo), str(photo), photo.stem, split=split)
        if image is None:
            return None
        for location, words in lines:
            number, wrong = _parse_words(words, self.names)
            categories = self.mapped.get(self.names[number], ()) if number is not None else ()
            if number is not None and not categories:
                wrong = f"class {self.names[number]!r} has no category"
            if wrong is not None:
                self.builder.reject_line(location, wrong)
            if number is not None and categories:
                self.boxes += 1
                self.pairs.add((image, number))
            for category in categories:
                self.builder.add_fact(image, category)
        return None


class _BadLabelsError(Exception):
    """Labels that do not tell which classes a photo shows; its arguments are place and reason."""


def _read_lines(labels: Path) -> list[tuple[str, list[str]]]:
    """(file:line, words) of the lines that are not empty, each beginning with a number.

    Raises:
        _BadLabelsError: the file cannot be read, or a line tells no class.
    """
    lines = []
    try:
        for location, line in lines_of(labels):
            if line is None:
                raise _BadLabelsError(location, "not UTF-8 text, so its class is not known")
            words = line.split()
            if words and not (words[0].isascii() and words[0].isdigit()):
                raise _BadLabelsError(location, f"{line!r} is not: class cx cy width height")
            if words:
                lines.append((location, words))
    except InputError as error:
        raise _BadLabelsError(str(labels), error.cause) from None
    return lines


def _parse_words(words: list[str], names: dict[int, str]) -> tuple[int | None, str | None]:
    """(class, None), or with what is wrong: (None, why), (class, why) where only the box is."""
    number = parse_index(words[0])
    if number is None or number not in names:
        return None, f"class {words[0][:20]} is unknown, there are {len(names)}"
    try:
        box = [float(word) for word in words[1:]]
    except ValueError:
        box = []
    if len(box) != 4:
        return number, f"{' '.join(words)!r} is not: class cx cy width height; its class is kept"
    inside = all(math.isfinite(value) and 0 <= value <= 1 for value in box)
    if not inside or min(box[2:]) == 0:
        return number, f"impossible box {' '.join(words[1:])}; its class is kept"
    return number, None


def _parts(folder: Path) -> list[tuple[Path, str | None]]:
    """Folders with images/ and a folder of labels, each with its split if it has one."""
    candidates: list[tuple[Path, str | None]] = [(folder, None)]
    candidates += [
        (entry, SPLIT_FOLDERS[entry.name])
        for entry in entries(folder)
        if entry.is_dir() and entry.name in SPLIT_FOLDERS
    ]
    parts = [(part, split) for part, split in candidates if (part / "images").is_dir()]
    if not parts:
        raise InputError(folder, "holds no folder images/", f"expected: {EXPECTED}")
    for part, _ in parts:
        _label_folder(part)
    return parts


def _label_folder(part: Path) -> Path:
    for name in LABEL_FOLDERS:
        if (part / name).is_dir():
            return part / name
    raise InputError(part, "holds no folder labels/ or yolo_labels/", f"expected: {EXPECTED}")


def _find_classes(folder: Path, parts: list[tuple[Path, str | None]]) -> Path:
    """The one file of class names in the data set's folder, or beside the labels."""
    places = [folder, *(place for part, _ in parts for place in (part, _label_folder(part)))]
    found = {
        file
        for place in places
        for file in entries(place)
        if file.name in CLASS_LISTS or (file.suffix in (".yaml", ".yml") and yaml_class_names(file))
    }
    if len(found) == 1:
        return found.pop()
    cause = "no file of class names" if not found else "several files of class names"
    listed = ": " + ", ".join(sorted(file.name for file in found)) if found else ""
    raise InputError(folder, cause + listed, "name the right one with --classes")
