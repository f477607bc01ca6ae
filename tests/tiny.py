"""A tiny dataset for tests: painted photos as an ImageNet part and a multi-label part."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

# Category of an object, its colour, and the category that goes with it in the multi-label part.
OBJECTS = {
    "n02084071": ((200, 60, 40), "n13104059"),  # dog, under a tree
    "n02121620": ((60, 180, 60), "n13104059"),  # cat, under a tree
    "n02858304": ((50, 80, 220), "n09426788"),  # boat, on the sea
    "n02958343": ((220, 200, 40), "n04096066"),  # car, on a road
}
BACKGROUNDS = {"n13104059": (20, 80, 20), "n09426788": (10, 30, 90), "n04096066": (90, 90, 90)}


@dataclass(frozen=True)
class TinyData:
    """Folders of the two parts."""

    root: Path
    imagenet: Path  # class folders n########/
    table: Path  # CSV: path, tags
    photos: Path  # the photos that the table names


def paint(seed: int, background: tuple[int, ...], color: tuple[int, ...]) -> Image.Image:
    """A noisy square of one colour on another."""
    generator = np.random.default_rng(seed)
    pixels = np.empty((40, 40, 3), dtype=np.float64)
    pixels[:] = background
    top, left = generator.integers(2, 18, 2)
    pixels[top : top + 20, left : left + 20] = color
    pixels += generator.normal(0, 12, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def make_tiny_data(root: Path, images_a_class: int = 12) -> TinyData:
    """Write the dataset below `root`."""
    data = TinyData(root, root / "imagenet", root / "table.csv", root / "photos")
    data.photos.mkdir(parents=True)
    lines = ["path,tags"]
    for number, (wnid, (color, background)) in enumerate(OBJECTS.items()):
        folder = data.imagenet / wnid
        folder.mkdir(parents=True)
        for i in range(images_a_class):
            seed = 1000 * number + i
            paint(seed, BACKGROUNDS[background], color).save(folder / f"{wnid}_{i}.JPEG")
            name = f"{wnid}-{i}.jpg"
            paint(500 + seed, BACKGROUNDS[background], color).save(data.photos / name)
            lines.append(f"photos/{name},{wnid} {background}")
    data.table.write_text("\n".join(lines) + "\n")
    return data


RECIPE = """
[model]
depth = 26
width = 0.125
stem = "small"
batch_norm_momentum = 0.1

[data]
image_size = 32
batch_size = 8
workers = 1

[optimizer]
learning_rate = 0.005

[schedule]
epochs = 2
warmup_epochs = 0.5
decay_epochs = [1.5]

[checkpoint]
every_steps = 2
"""
