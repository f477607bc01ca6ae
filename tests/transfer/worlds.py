"""Tiny data sets in the published layouts: coloured rectangles on noise."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from mlimages.transfer.datasets.voc import CLASSES

WIDTH, HEIGHT = 64, 48
# The classes that occur, each with a colour of its own.
COLOURS = {"aeroplane": (230, 30, 30), "cat": (30, 220, 40), "dog": (30, 60, 230)}


def scene(number: int) -> tuple[np.ndarray, np.ndarray, str, list[int]]:
    """Pixels, mask, class and box (from 1, ends inside) of a photo."""
    generator = np.random.default_rng(number)
    name = list(COLOURS)[number % len(COLOURS)]
    pixels = generator.integers(100, 140, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    left, top = int(generator.integers(2, 22)), int(generator.integers(2, 14))
    right, bottom = left + int(generator.integers(24, 38)), top + int(generator.integers(20, 30))
    pixels[top:bottom, left:right] = COLOURS[name]
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[top:bottom, left:right] = 1 + CLASSES.index(name)
    mask[top, left:right] = 255
    return pixels, mask, name, [left + 1, top + 1, right, bottom]


def annotation(name: str, box: list[int], difficult: int = 0) -> str:
    """The XML of a photo with one object."""
    sides = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    bndbox = "".join(f"<{side}>{value}</{side}>" for side, value in sides)
    return (
        f"<annotation><size><width>{WIDTH}</width><height>{HEIGHT}</height></size><object>"
        f"<name>{name}</name><difficult>{difficult}</difficult><bndbox>{bndbox}</bndbox>"
        "</object></annotation>"
    )


def write_voc(root: Path, count: int = 8, year: str = "VOC2007") -> Path:
    """VOCdevkit with lists trainval and test (the same photos), for both tasks."""
    base = root / "VOCdevkit" / year
    for folder in ("JPEGImages", "Annotations", "SegmentationClass"):
        (base / folder).mkdir(parents=True)
    names = [f"{number:06d}" for number in range(count)]
    for number, name in enumerate(names):
        pixels, mask, kind, box = scene(number)
        Image.fromarray(pixels).save(base / "JPEGImages" / f"{name}.jpg", quality=95)
        palette = Image.fromarray(mask).convert("P")
        palette.putdata(mask.ravel().tolist())
        palette.save(base / "SegmentationClass" / f"{name}.png")
        text = annotation(kind, box)
        (base / "Annotations" / f"{name}.xml").write_text(text, encoding="utf-8")
    for kind in ("Main", "Segmentation"):
        (base / "ImageSets" / kind).mkdir(parents=True)
        for part in ("trainval", "train", "val", "test"):
            file = base / "ImageSets" / kind / f"{part}.txt"
            file.write_text("\n".join(names) + "\n", encoding="utf-8")
    return root


def write_folders(root: Path, per_class: int = 4) -> Path:
    """One folder a class."""
    for number in range(per_class * len(COLOURS)):
        pixels, _, name, _ = scene(number)
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"image_{number:04d}.jpg", quality=95)
    return root


def write_coco(root: Path, count: int = 8) -> Path:
    """train2017 with its annotations."""
    (root / "annotations").mkdir(parents=True)
    (root / "train2017").mkdir()
    images, annotations = [], []
    for number in range(count):
        pixels, _, name, _ = scene(number)
        Image.fromarray(pixels).save(root / "train2017" / f"{number}.jpg", quality=95)
        images.append({"id": number, "file_name": f"{number}.jpg"})
        annotations.append({"image_id": number, "category_id": list(COLOURS).index(name)})
    categories = [{"id": number, "name": name} for number, name in enumerate(COLOURS)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    file = root / "annotations" / "instances_train2017.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return root
