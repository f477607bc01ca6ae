"""The drawn data set on disk, in the layouts that the readers of real photos take.

single/n########.tar        photos of one object, as ImageNet has them: the object is the only tag
multi/train/, validation/   photos of several objects
multi/tags.csv              their tags, as a table: image, split, tags
multi/boxes.csv, masks.npz  where each object is, and what each pixel shows, by labels.csv
transfer/NAME/              photos of objects that occur nowhere else
truth.csv                   all that can be seen in each photo of single/ and multi/
"""

from __future__ import annotations

import csv
import io
import json
import random
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mlimages.progress import track
from mlimages.quickstart.scenes import (
    Scene,
    choose_objects,
    choose_place,
    draw_scene,
    drawings,
    label_keys,
    objects_of,
    places,
)
from mlimages.storage import atomic_directory

MULTI_SCALE = 0.85
"""Factor on the size of objects that share a picture."""
TRANSFER_SCALE = 1.2
"""Factor on the size of objects of the transfer part."""


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
        MissingExtraError: see `draw_scene`.
    """
    counts = counts or SceneCounts()
    with atomic_directory(folder) as root:
        truth = [*_write_single(root, seed, counts), *_write_multi(root / "multi", seed, counts)]
        _write_transfer(root / "transfer", seed, counts)
        _write_csv(root / "truth.csv", ["image", "visible"], truth)
        (root / "scenes.json").write_text(json.dumps({"seed": seed, **asdict(counts)}) + "\n")


def read_truth(folder: Path | str) -> dict[str, frozenset[str]]:
    """WordNet ids of all that can be seen, by image id."""
    with open(Path(folder) / "truth.csv", encoding="utf-8", newline="") as file:
        return {row["image"]: frozenset(row["visible"].split()) for row in csv.DictReader(file)}


def _write_single(root: Path, seed: int, counts: SceneCounts) -> list[list[str]]:
    truth = []
    (root / "single").mkdir()
    trained = [drawing for drawing in drawings().values() if drawing.place != "transfer"]
    for drawing in track(trained, "drawing photos of one object"):
        path = root / "single" / f"{drawing.key}.tar"
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for image, scene in _scenes_of(drawing.name, seed, counts.single_per_object):
                data = _jpeg(scene)
                member = tarfile.TarInfo(f"{drawing.key}_{image}.jpg")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
                truth.append([f"{drawing.key}_{image}", " ".join(scene.visible)])
    return truth


def _write_multi(folder: Path, seed: int, counts: SceneCounts) -> list[list[str]]:
    truth, tags, boxes, masks = [], [], [], {}
    splits = ["train"] * counts.multi + ["validation"] * counts.validation
    for number, split in enumerate(track(splits, "drawing photos of several objects")):
        rng = random.Random(f"{seed} {split} {number}")
        place = list(places())[number % len(places())]
        scene = draw_scene(rng, place, choose_objects(rng, place), MULTI_SCALE)
        name = f"{split}_{number:05d}"
        (folder / split).mkdir(parents=True, exist_ok=True)
        (folder / split / f"{name}.jpg").write_bytes(_jpeg(scene))
        tags.append([f"{split}/{name}.jpg", split, " ".join(scene.visible)])
        truth.append([name, " ".join(scene.visible)])
        boxes += [[name, label_keys()[thing], *box] for thing, box in scene.boxes.items()]
        masks[name] = scene.labels
    _write_csv(folder / "tags.csv", ["image", "split", "tags"], tags)
    _write_csv(folder / "boxes.csv", ["image", "wnid", "left", "top", "right", "bottom"], boxes)
    _write_csv(folder / "labels.csv", ["label", "wnid"], enumerate(label_keys().values(), start=1))
    np.savez_compressed(folder / "masks.npz", **masks)  # type: ignore[arg-type]
    return truth


def _write_transfer(folder: Path, seed: int, counts: SceneCounts) -> None:
    for name in objects_of("transfer"):
        (folder / name).mkdir(parents=True)
        for image, scene in _scenes_of(name, seed, counts.transfer_per_object, TRANSFER_SCALE):
            (folder / name / f"image_{image:04d}.jpg").write_bytes(_jpeg(scene))


def _scenes_of(name: str, seed: int, count: int, scale: float = 1.0) -> Iterator[tuple[int, Scene]]:
    for image in range(count):
        rng = random.Random(f"{seed} {name} {image}")
        yield image, draw_scene(rng, choose_place(rng, name), [name], scale)


def _jpeg(scene: Scene) -> bytes:
    buffer = io.BytesIO()
    # Full resolution of colour: at 64 pixels the usual halving would smear the objects.
    Image.fromarray(scene.picture).save(buffer, "JPEG", quality=92, subsampling=0)
    return buffer.getvalue()


def _write_csv(path: Path, header: list[str], rows: Iterable) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
