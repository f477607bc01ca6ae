"""The drawn data set on disk, in the layouts that the readers of real photos take.

single/n########.tar        photos of one object, as ImageNet has them: the object is the only tag
multi/train/, validation/   photos of several objects
multi/tags.csv              their tags, as a table: image, split, tags
multi/boxes.csv, masks.npz  where each object is, and what each pixel shows
transfer/NAME/              photos of objects that occur nowhere else
truth.csv                   all that can be seen in each photo of single/ and multi/
"""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mlimages.progress import track
from mlimages.quickstart.painting import Drawing
from mlimages.quickstart.places import PLACES
from mlimages.quickstart.scenes import (
    Scene,
    choose_objects,
    choose_place,
    label_keys,
    objects_of,
    paint_scene,
)
from mlimages.storage import atomic_directory

MULTI_SCALE = 0.85
"""Factor on the size of objects that share a picture."""
TRANSFER_SCALE = 1.2
"""Factor on the size of objects of the transfer part."""


@dataclass(frozen=True)
class SceneCounts:
    """How many pictures are painted."""

    single_per_object: int = 40
    multi: int = 1800
    validation: int = 400
    transfer_per_object: int = 30


def write_scenes(folder: Path | str, seed: int = 0, counts: SceneCounts | None = None) -> None:
    """Paint the whole data set; the same seed gives the same bytes.

    Raises:
        InputError: `folder` exists.
        StorageError: the disk is full or not writable; nothing is left behind.
    """
    counts = counts or SceneCounts()
    with atomic_directory(folder) as root:
        truth = _write_single(root / "single", seed, counts)
        truth |= _write_multi(root / "multi", seed, counts)
        _write_transfer(root / "transfer", seed, counts)
        _write_csv(root / "truth.csv", ["image", "visible"], _joined(truth))
        (root / "scenes.json").write_text(json.dumps({"seed": seed, **asdict(counts)}) + "\n")


def read_truth(folder: Path | str) -> dict[str, frozenset[str]]:
    """WordNet ids of all that can be seen, by image id."""
    with open(Path(folder) / "truth.csv", encoding="utf-8", newline="") as file:
        return {row["image"]: frozenset(row["visible"].split()) for row in csv.DictReader(file)}


def trained_objects() -> list[Drawing]:
    """Drawings of the single-label and multi-label parts: all but those kept for transfer."""
    return [drawing for place in (*PLACES, "anywhere") for drawing in objects_of(place)]


def _write_single(folder: Path, seed: int, counts: SceneCounts) -> dict[str, tuple[str, ...]]:
    folder.mkdir()
    truth = {}
    for number, drawing in enumerate(track(trained_objects(), "painting photos of one object")):
        scenes = _scenes_of(drawing, (seed, 0, number), counts.single_per_object)
        with tarfile.open(folder / f"{drawing.key}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for image, scene in enumerate(scenes):
                name = f"{drawing.key}_{image}"
                data = _jpeg(scene.picture)
                member = tarfile.TarInfo(f"{name}.jpg")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
                truth[name] = scene.visible
    return truth


def _write_multi(folder: Path, seed: int, counts: SceneCounts) -> dict[str, tuple[str, ...]]:
    tags, boxes, masks = [], [], {}
    places = list(PLACES)
    wanted = {"train": counts.multi, "validation": counts.validation}
    todo = [(split, number) for split, count in wanted.items() for number in range(count)]
    for split in wanted:
        (folder / split).mkdir(parents=True)
    for split, number in track(todo, "painting photos of several objects"):
        rng = np.random.default_rng((seed, 1 if split == "train" else 2, number))
        place = places[number % len(places)]
        scene = paint_scene(rng, place, choose_objects(rng, place), MULTI_SCALE)
        name = f"{split}_{number:05d}"
        (folder / split / f"{name}.jpg").write_bytes(_jpeg(scene.picture))
        tags.append([f"{split}/{name}.jpg", split, " ".join(scene.visible)])
        boxes += [[name, painted.key, *painted.box] for painted in scene.objects]
        masks[name] = scene.labels
    _write_csv(folder / "tags.csv", ["image", "split", "tags"], tags)
    _write_csv(folder / "boxes.csv", ["image", "wnid", "left", "top", "right", "bottom"], boxes)
    _write_csv(
        folder / "labels.csv", ["label", "wnid"], [list(pair) for pair in label_keys().items()]
    )
    np.savez_compressed(folder / "masks.npz", **masks)  # type: ignore[arg-type]
    return {Path(image).stem: tuple(keys.split()) for image, _, keys in tags}


def _write_transfer(folder: Path, seed: int, counts: SceneCounts) -> None:
    for number, drawing in enumerate(objects_of("transfer")):
        (folder / drawing.name).mkdir(parents=True)
        scenes = _scenes_of(drawing, (seed, 3, number), counts.transfer_per_object, TRANSFER_SCALE)
        for image, scene in enumerate(scenes):
            path = folder / drawing.name / f"image_{image:04d}.jpg"
            path.write_bytes(_jpeg(scene.picture))


def _scenes_of(
    drawing: Drawing, seed: tuple[int, int, int], count: int, scale: float = 1.0
) -> Iterator[Scene]:
    for image in range(count):
        rng = np.random.default_rng((*seed, image))
        yield paint_scene(rng, choose_place(rng, drawing), [drawing.name], scale)


def _jpeg(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    # Full resolution of colour: at 64 pixels the usual halving would smear the objects.
    Image.fromarray(picture).save(buffer, "JPEG", quality=92, subsampling=0)
    return buffer.getvalue()


def _joined(truth: dict[str, tuple[str, ...]]) -> list[list[str]]:
    return [[image, " ".join(keys)] for image, keys in truth.items()]


def _write_csv(path: Path, header: list[str], rows: list) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
