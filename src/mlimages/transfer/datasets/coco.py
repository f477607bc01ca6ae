"""COCO: its classes' tags from the official JSON, and small sets in YOLO's form as VOC's classes.

The second is the form of COCO128: images/, yolo_labels/ ("class cx cy w h" in shares of the image)
and semantic_masks/ with the COCO ids that semantic_classes.yaml names.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
from PIL import Image

from mlimages.errors import InputError
from mlimages.metrics.segmentation import VOID
from mlimages.transfer.datasets.records import (
    BoxedPhotos,
    MaskedPhotos,
    TaggedPhotos,
    check_size,
    find_photo,
)
from mlimages.transfer.datasets.voc import CLASSES, MASK_CLASSES

TO_VOC = {
    "airplane": "aeroplane",
    "motorcycle": "motorbike",
    "couch": "sofa",
    "potted plant": "pottedplant",
    "dining table": "diningtable",
    "tv": "tvmonitor",
}


def read_multilabel(root: Path | str, part: str) -> TaggedPhotos:
    """Photos with all classes that have a box, from annotations/instances_PART.json.

    Args:
        root: with the folders annotations/ and PART/.
        part: such as "train2017".

    Raises:
        InputError: the file is missing or malformed, or a photo is missing.
    """
    root = Path(root)
    file = root / "annotations" / f"instances_{part}.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        categories = sorted(content["categories"], key=lambda entry: entry["id"])
        column = {entry["id"]: number for number, entry in enumerate(categories)}
        row = {entry["id"]: number for number, entry in enumerate(content["images"])}
        tags = np.zeros((len(row), len(column)), np.float32)
        for entry in content["annotations"]:
            tags[row[entry["image_id"]], column[entry["category_id"]]] = 1
        paths = [root / part / entry["file_name"] for entry in content["images"]]
    except FileNotFoundError:
        cause = "no such file"
        raise InputError(file, cause, "name the folder that holds annotations/") from None
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(file, f"is malformed ({error!r})", "download it again") from None
    missing = next((path for path in paths if not path.is_file()), None)
    if missing is not None:
        raise InputError(missing, "is missing", f"restore the photos of {part}")
    return TaggedPhotos(tuple(entry["name"] for entry in categories), paths, tags)


def read_yolo_boxes(root: Path | str) -> BoxedPhotos:
    """All photos with a label file, and their boxes of VOC's 20 classes; the others are dropped.

    Raises:
        InputError: a folder is missing, a line is malformed, or a class number unknown.
    """
    root = Path(root)
    names = _class_names(root / "yolo_classes.yaml")
    to_voc = {number: _voc_index(name) for number, name in names.items()}
    paths, boxes, labels = [], [], []
    for file in _files(root / "yolo_labels", "*.txt"):
        photo = find_photo(root / "images", file.stem)
        if photo is None:
            continue  # COCO128 has label files of photos that it leaves out
        with Image.open(photo) as image:
            width, height = image.size
        found: list[list[float]] = []
        classes: list[int] = []
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip():
                continue
            try:
                kind, *shares = line.split()
                target = to_voc[int(kind)]
                across, down, wide, high = map(float, shares)
            except (ValueError, KeyError):
                cause = "is not `class cx cy w h` of a known class"
                raise InputError(f"{file}: line {number}", cause, "correct it") from None
            if target is None:
                continue
            left, top = (across - wide / 2) * width, (down - high / 2) * height
            right, bottom = left + wide * width, top + high * height
            # From edges to VOC's pixels, counted from 1 with both ends inside.
            found.append(
                [max(0, left) + 1, max(0, top) + 1, min(right, width), min(bottom, height)]
            )
            classes.append(target)
        paths.append(photo)
        boxes.append(np.asarray(found, np.float32).reshape(-1, 4))
        labels.append(np.asarray(classes, np.int64))
    return BoxedPhotos(CLASSES, paths, boxes, labels, [np.zeros(len(b), bool) for b in boxes])


def read_semantic_masks(root: Path | str) -> MaskedPhotos:
    """Photos with COCO's masks as VOC's classes: other things are background, unlabelled is void.

    Raises:
        InputError: a folder is missing, or a mask has another size than its photo.
    """
    root = Path(root)
    table = np.zeros(256, np.uint8)
    for number, name in _class_names(root / "semantic_classes.yaml").items():
        target = _voc_index(name)
        table[number] = 0 if target is None else 1 + target
    table[0] = VOID
    paths, masks = [], []
    for file in _files(root / "semantic_masks", "*.png"):
        photo = find_photo(root / "images", file.stem)
        if photo is None:
            raise InputError(file, "has no photo in images/", "restore the photo")
        check_size(photo, file)
        paths.append(photo)
        masks.append(file)
    return MaskedPhotos(MASK_CLASSES, paths, masks, [table] * len(paths))


def _voc_index(name: str) -> int | None:
    name = TO_VOC.get(name, name)
    return CLASSES.index(name) if name in CLASSES else None


def _class_names(path: Path) -> dict[int, str]:
    """The lines `number: name` of a YAML file."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(path, str(error.strerror).lower(), "restore it") from None
    found = re.findall(r"^\s+(\d+):\s*['\"]?(.+?)['\"]?\s*$", text, re.MULTILINE)
    return {int(number): name for number, name in found}


def _files(folder: Path, pattern: str) -> list[Path]:
    found = sorted(folder.glob(pattern))
    if not found:
        raise InputError(folder, f"holds no {pattern}", "name a folder in the form of COCO128")
    return found
