"""The drawn data set on disk, in the layouts that the readers of real photos take.

single/n########/           photos of one object, as ImageNet has them: the object is the only tag
multi/train/, validation/   photos of several objects
multi/tags.csv              all that can be seen in them, as a table: image, split, tags
multi/boxes.csv, masks.npz  where each object is, and what each pixel shows, by labels.csv
transfer/NAME/              photos of objects that occur nowhere else
truth.csv                   all that can be seen in each photo of one object
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mlimages.progress import track
from mlimages.quickstart import scenes
from mlimages.storage import atomic_directory


@dataclass(frozen=True)
class SceneCounts:
    """How many pictures are drawn."""

    single_per_object: int = 40
    multi: int = 1800
    validation: int = 400
    transfer_per_object: int = 30


def write_scenes(folder: Path | str, seed: int = 0, counts: SceneCounts | None = None) -> None:
    """Draw the whole data set; the same seed gives the same bytes.

    Raises:
        InputError: `folder` exists.
        StorageError: the disk is full or not writable; nothing is left behind.
        MissingExtraError: the extra `report` is not installed.
    """
    with atomic_directory(folder) as root:
        _write_single(root, seed, counts or SceneCounts())
        _write_multi(root / "multi", seed, counts or SceneCounts())


def _write_single(root: Path, seed: int, counts: SceneCounts) -> None:
    truth = []
    for drawing in track(scenes.drawings().values(), "drawing photos of one object"):
        folder, count = root / "single" / drawing.key, counts.single_per_object
        if drawing.place == "transfer":
            folder, count = root / "transfer" / drawing.name, counts.transfer_per_object
        for number in range(count):
            rng = random.Random(f"{seed} {drawing.name} {number}")
            scene = scenes.draw_scene(rng, scenes.choose_place(rng, drawing), [drawing])
            name = f"{folder.name}_{number}"
            _save(scene, folder / f"{name}.jpg")
            truth.append([name, " ".join(scene.visible)])
    _write_csv(root / "truth.csv", ["image", "visible"], truth)


def _write_multi(folder: Path, seed: int, counts: SceneCounts) -> None:
    tags, boxes, masks = [], [], {}
    splits = ["train"] * counts.multi + ["validation"] * counts.validation
    for number, split in enumerate(track(splits, "drawing photos of several objects")):
        rng = random.Random(f"{seed} {split} {number}")
        place = list(scenes.places().values())[number % len(scenes.places())]
        scene = scenes.draw_scene(rng, place, scenes.choose_objects(rng, place))
        name = f"{split}_{number:05d}"
        _save(scene, folder / split / f"{name}.jpg")
        tags.append([f"{split}/{name}.jpg", split, " ".join(scene.visible)])
        boxes += [[name, key, *box] for key, box in scene.boxes.items()]
        masks[name] = scene.labels
    _write_csv(folder / "tags.csv", ["image", "split", "tags"], tags)
    _write_csv(folder / "boxes.csv", ["image", "wnid", "left", "top", "right", "bottom"], boxes)
    labels = enumerate(scenes.label_keys().values(), start=1)
    _write_csv(folder / "labels.csv", ["label", "wnid"], labels)
    np.savez_compressed(folder / "masks.npz", **masks)  # type: ignore[arg-type]


def _save(scene: scenes.Scene, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Full resolution of colour: at 64 pixels the usual halving would smear the objects.
    Image.fromarray(scene.picture).save(path, quality=92, subsampling=0)


def _write_csv(path: Path, header: list[str], rows: Iterable) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
