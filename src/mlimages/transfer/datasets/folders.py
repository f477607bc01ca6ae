"""Class folders: ImageNet's train and val, and N photos a class as in Caltech-101 and -256.

The clutter classes BACKGROUND_Google and 257.clutter are no class: they are left out, as published
figures do, and the result says so.
"""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

import numpy as np

from mlimages.errors import InputError, nearest, require
from mlimages.models.probe import check_counts, read_class_folders, split
from mlimages.transfer.datasets.records import LabelledPhotos

_VALIDATION_NAME = re.compile(r"ILSVRC2012_val_(\d{8})")


def read_folders(
    root: Path | str, images_per_class: int, seed: int, number: int = 0
) -> tuple[LabelledPhotos, LabelledPhotos]:
    """N photos of each class to learn from, and all others to test on.

    Args:
        root: one folder a class.
        images_per_class: N.
        seed: of the random splits; the same as of `mlimages probe`.
        number: which of the splits.

    Raises:
        InputError: there are no class folders, or one holds N photos or fewer.
    """
    found = read_class_folders(root)
    check_counts(found.labels, images_per_class, found.names)
    photos = LabelledPhotos(tuple(found.names), found.photos, found.labels)
    train = split(found.labels, images_per_class, seed, number)
    return photos.take(np.flatnonzero(train)), photos.take(np.flatnonzero(~train))


def read_imagenet(root: Path | str) -> tuple[LabelledPhotos, LabelledPhotos]:
    """train/CLASS/* and val/CLASS/*, the classes sorted; with ReaL labels where these are for it.

    Raises:
        InputError: a folder is missing, or val has a class that train has not.
    """
    parts = []
    for name in ("train", "val"):
        folder = Path(root) / name
        if not folder.is_dir():
            raise InputError(folder, "no such folder", "name a folder that holds train/ and val/")
        parts.append(read_class_folders(folder))
    train, val = parts
    position = {name: number for number, name in enumerate(train.names)}
    strange = [name for name in val.names if name not in position]
    if strange:
        place = Path(root) / "val" / strange[0]
        raise InputError(place, "train/ has no such class", nearest(strange[0], train.names))
    mapping = np.array([position[name] for name in val.names])
    classes = tuple(train.names)
    return (
        LabelledPhotos(classes, train.photos, train.labels),
        LabelledPhotos(classes, val.photos, mapping[val.labels], real_labels(val.photos, classes)),
    )


def real_labels(photos: list[Path], classes: tuple[str, ...]) -> list[tuple[int, ...]] | None:
    """The ReaL labels (Beyer et al., "Are we done with ImageNet?", 2020) of ImageNet's val.

    They come with timm. None where the photos are not the published validation photos of the 1,000
    classes.
    """
    numbers = [_VALIDATION_NAME.match(path.stem) for path in photos]
    if len(classes) != 1000 or not all(numbers):
        return None
    require("timm", extra="train")
    file = resources.files("timm.data") / "_info" / "imagenet_real_labels.json"
    labels = json.loads(file.read_text(encoding="utf-8"))
    return [tuple(labels[int(match[1]) - 1]) for match in numbers if match]
