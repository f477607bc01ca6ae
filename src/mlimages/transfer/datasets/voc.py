"""PASCAL VOC as it is published: ImageSets, Annotations, SegmentationClass.

Everingham et al., "The PASCAL Visual Object Classes Challenge", IJCV 2010. A list is named
YEAR/LIST, such as "VOC2007/trainval", below the folder VOCdevkit (or the one that holds it).
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mlimages.errors import InputError, nearest
from mlimages.transfer.datasets.records import (
    BoxedPhotos,
    MaskedPhotos,
    TaggedPhotos,
    check_size,
)

CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
MASK_CLASSES = ("background", *CLASSES)
SAME = np.arange(256, dtype=np.uint8)  # masks whose values are the classes


def read_detection(root: Path | str, lists: Sequence[str]) -> BoxedPhotos:
    """Photos with boxes.

    Args:
        root: VOCdevkit, or the folder that holds it.
        lists: such as ("VOC2007/trainval", "VOC2012/trainval").

    Raises:
        InputError: names the file, the cause and the fix: a list or an annotation is missing, a
            list has a name that no photo has, a class is unknown, a box is not inside its image.
    """
    paths: list[Path] = []
    parts: tuple[list[np.ndarray], ...] = ([], [], [])
    for year, entries in _entries(root, lists, "Main"):
        for name, photo in entries:
            found = read_annotation(year / "Annotations" / f"{name}.xml")
            paths.append(photo)
            for part, values in zip(parts, found, strict=True):
                part.append(values)
    return BoxedPhotos(CLASSES, paths, *parts)


def read_multilabel(root: Path | str, lists: Sequence[str]) -> TaggedPhotos:
    """Photos with the classes of their boxes; a class with difficult boxes alone is not judged.

    Raises:
        InputError: as `read_detection`.
    """
    photos = read_detection(root, lists)
    tags = np.zeros((len(photos), len(CLASSES)), np.float32)
    for row, labels, difficult in zip(tags, photos.labels, photos.difficult, strict=True):
        row[labels[difficult]] = np.nan
        row[labels[~difficult]] = 1
    return TaggedPhotos(CLASSES, photos.paths, tags)


def read_segmentation(root: Path | str, lists: Sequence[str]) -> MaskedPhotos:
    """Photos with masks.

    A list of names means masks in SegmentationClass, or in SegmentationClassAug where the list is
    called so (trainaug, train_aug); one of two columns names both files, as DeepLab's lists do.

    Raises:
        InputError: names the file, the cause and the fix: a list or a mask is missing, a list has
            a name that no photo has, a mask has another size than its photo.
    """
    paths, masks = [], []
    for year, entries in _entries(root, lists, "Segmentation"):
        for mask, photo in entries:
            check_size(photo, year / mask)
            paths.append(photo)
            masks.append(year / mask)
    return MaskedPhotos(MASK_CLASSES, paths, masks, [SAME] * len(paths))


def read_annotation(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes float32 [n, 4] as written, labels int64 [n], and which are difficult, bool [n].

    Raises:
        InputError: see `read_detection`.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except FileNotFoundError:
        raise InputError(
            path, "is missing", "restore the annotation, or leave its photo off the list"
        ) from None
    except (ElementTree.ParseError, OSError) as error:
        raise InputError(path, f"cannot be read ({error})", "restore the annotation") from None
    try:
        width, height = (float(root.findtext(f"size/{side}", "")) for side in ("width", "height"))
    except ValueError:
        raise InputError(path, "states no size", "restore the annotation") from None
    boxes, labels, difficult = [], [], []
    for number, item in enumerate(root.iterfind("object"), 1):
        name = item.findtext("name", "").strip()
        if name not in CLASSES:
            raise InputError(f"{path}: object {number}", f"unknown class {name!r}", _hint(name))
        try:
            sides = ("xmin", "ymin", "xmax", "ymax")
            box = [float(item.findtext(f"bndbox/{side}", "")) for side in sides]
        except ValueError:
            cause = "its box is not four numbers"
            raise InputError(f"{path}: object {number}", cause, "correct its bndbox") from None
        left, top, right, bottom = box
        # Files of 2011 and 2012 have boxes that begin at 0, or half way: a pixel off is no fault.
        if not (0 <= left < right <= width + 1 and 0 <= top < bottom <= height + 1):
            shown = " ".join(f"{side:g}" for side in box)
            cause = f"the box {shown} is not inside its image of {width:g} x {height:g}"
            raise InputError(f"{path}: object {number}", cause, "correct its bndbox")
        boxes.append(box)
        labels.append(CLASSES.index(name))
        difficult.append(item.findtext("difficult", "0").strip() == "1")
    return (
        np.asarray(boxes, np.float32).reshape(-1, 4),
        np.asarray(labels, np.int64),
        np.asarray(difficult, bool),
    )


def _entries(
    root: Path | str, lists: Sequence[str], kind: str
) -> list[tuple[Path, list[tuple[str, Path]]]]:
    """For each list its year's folder and, of each line, what belongs to the photo, and it."""
    return [_list_entries(Path(root), name, kind) for name in lists]


def _list_entries(root: Path, name: str, kind: str) -> tuple[Path, list[tuple[str, Path]]]:
    year, file = _list_file(root, name, kind)
    augmented = "aug" in file.stem.lower()
    folder = "SegmentationClassAug" if augmented else "SegmentationClass"
    entries = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        words = line.split()
        if not words:
            continue
        first, *rest = words
        if kind == "Segmentation" and rest:
            photo = year / first.lstrip("/")
            item = rest[0].lstrip("/")
        elif rest:
            cause = f"has {1 + len(rest)} columns: it is about one class"
            raise InputError(file, cause, "name a list of photos, such as trainval")
        else:
            photo = year / "JPEGImages" / f"{first}.jpg"
            item = first if kind == "Main" else f"{folder}/{first}.png"
        if not photo.is_file():
            known = [path.stem for path in (year / "JPEGImages").glob("*")]
            hint = nearest(photo.stem, sorted(known)) if known else "add the photos"
            raise InputError(f"{file}: line {number}", f"there is no photo {photo.name}", hint)
        entries.append((item, photo))
    if not entries:
        raise InputError(file, "names no photo", "write one name a line")
    return year, entries


def _list_file(root: Path, name: str, kind: str) -> tuple[Path, Path]:
    devkit = root / "VOCdevkit" if (root / "VOCdevkit").is_dir() else root
    year_name, _, list_name = name.partition("/")
    year = devkit / year_name
    if not year.is_dir():
        known = [path.name for path in devkit.glob("VOC*")] if devkit.is_dir() else []
        hint = nearest(year_name, known) if known else "name the folder that holds VOCdevkit"
        raise InputError(year, "no such folder", hint)
    file = year / "ImageSets" / kind / f"{list_name}.txt"
    if not file.is_file():
        known = sorted(path.stem for path in file.parent.glob("*.txt"))
        hint = nearest(list_name, known) if known else "restore the lists of ImageSets"
        raise InputError(file, "no such list", hint)
    return year, file


def _hint(name: str) -> str:
    hint = nearest(name, CLASSES)
    return f"{hint} Else use one of VOC's 20" if hint.startswith("did") else "use one of VOC's 20"
