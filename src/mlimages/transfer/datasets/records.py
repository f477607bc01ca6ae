"""What a task learns from and is tested on: paths and answers, read and checked before a run.

Pixels are read later, one photo at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from mlimages.errors import InputError
from mlimages.metrics.segmentation import VOID

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif")


@dataclass(frozen=True)
class Photos:
    """Photos and the classes that their answers speak of.

    Attributes:
        classes: names, in the order of the network's outputs.
        paths: files.
    """

    classes: tuple[str, ...]
    paths: list[Path] = field(repr=False)

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(frozen=True)
class LabelledPhotos(Photos):
    """One class a photo.

    Attributes:
        labels: int64 [photos].
        accepted: for photos that several classes are right for (ReaL labels), those classes; an
            empty one leaves the photo out of that measure. None: `labels` alone.
    """

    labels: np.ndarray = field(repr=False)
    accepted: list[tuple[int, ...]] | None = field(default=None, repr=False)

    def take(self, indices: Sequence[int] | np.ndarray) -> LabelledPhotos:
        """Some of them, in this order."""
        accepted = None if self.accepted is None else [self.accepted[i] for i in indices]
        paths = [self.paths[i] for i in indices]
        return LabelledPhotos(self.classes, paths, self.labels[np.asarray(indices, int)], accepted)


@dataclass(frozen=True)
class TaggedPhotos(Photos):
    """Any number of classes a photo.

    Attributes:
        tags: float32 [photos, classes]: 1 present, 0 absent, NaN not to be judged.
    """

    tags: np.ndarray = field(repr=False)

    def take(self, indices: Sequence[int] | np.ndarray) -> TaggedPhotos:
        """Some of them, in this order."""
        paths = [self.paths[i] for i in indices]
        return TaggedPhotos(self.classes, paths, self.tags[np.asarray(indices, int)])


@dataclass(frozen=True)
class BoxedPhotos(Photos):
    """Boxes of objects.

    Attributes:
        boxes: of each photo, float32 [n, 4]: x_min, y_min, x_max, y_max in pixels counted from 1,
            both ends inside, as PASCAL VOC writes them.
        labels: of each photo, int64 [n], from 0.
        difficult: of each photo, bool [n].
    """

    boxes: list[np.ndarray] = field(repr=False)
    labels: list[np.ndarray] = field(repr=False)
    difficult: list[np.ndarray] = field(repr=False)

    def take(self, indices: Sequence[int] | np.ndarray) -> BoxedPhotos:
        """Some of them, in this order."""
        parts = (self.paths, self.boxes, self.labels, self.difficult)
        return BoxedPhotos(self.classes, *([part[i] for i in indices] for part in parts))  # type: ignore[arg-type]

    def joined(self, other: BoxedPhotos) -> BoxedPhotos:
        """These and then others of the same classes."""
        _same_classes(self, other)
        return BoxedPhotos(
            self.classes,
            self.paths + other.paths,
            self.boxes + other.boxes,
            self.labels + other.labels,
            self.difficult + other.difficult,
        )


@dataclass(frozen=True)
class MaskedPhotos(Photos):
    """A class for each pixel.

    Attributes:
        masks: files of one channel, of the size of the photo.
        tables: for each photo, uint8 [256]: the class of each value in its mask.
    """

    masks: list[Path] = field(repr=False)
    tables: list[np.ndarray] = field(repr=False)

    def take(self, indices: Sequence[int] | np.ndarray) -> MaskedPhotos:
        """Some of them, in this order."""
        parts = (self.paths, self.masks, self.tables)
        return MaskedPhotos(self.classes, *([part[i] for i in indices] for part in parts))  # type: ignore[arg-type]

    def joined(self, other: MaskedPhotos) -> MaskedPhotos:
        """These and then others of the same classes."""
        _same_classes(self, other)
        return MaskedPhotos(
            self.classes,
            self.paths + other.paths,
            self.masks + other.masks,
            self.tables + other.tables,
        )

    def mask(self, index: int) -> np.ndarray:
        """uint8 [height, width] of a photo, classes or VOID.

        Raises:
            InputError: a value of the file is no class.
        """
        values = read_mask(self.masks[index])
        classes = self.tables[index][values]
        wrong = (classes >= len(self.classes)) & (classes != VOID)
        if wrong.any():
            raise InputError(
                self.masks[index],
                f"holds the value {int(values[wrong][0])}, which is no class",
                f"use 0 to {len(self.classes) - 1}, and {VOID} for void",
            )
        return classes


def read_mask(path: Path) -> np.ndarray:
    """The values of a palette or grey PNG, uint8 [height, width].

    Raises:
        InputError: it cannot be read, or has colours instead of values.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ("P", "L"):
                raise InputError(
                    path, f"has colours (mode {image.mode})", "save it with a palette, or in grey"
                )
            return np.asarray(image)
    except (OSError, SyntaxError) as error:
        cause = "no such file" if isinstance(error, FileNotFoundError) else "cannot be read"
        raise InputError(path, cause, "restore the mask, or leave it off the list") from None


def check_size(photo: Path, mask: Path) -> None:
    """Make sure that a mask has its photo's size; reads headers alone.

    Raises:
        InputError: it has not, or one of them cannot be read.
    """
    sizes = []
    for path in (photo, mask):
        try:
            with Image.open(path) as image:
                sizes.append(image.size)
        except (OSError, SyntaxError) as error:
            cause = "no such file" if isinstance(error, FileNotFoundError) else "cannot be read"
            raise InputError(path, cause, "restore it, or leave it off the list") from None
    if sizes[0] != sizes[1]:
        (width, height), (mask_width, mask_height) = sizes
        raise InputError(
            mask,
            f"is {mask_width} x {mask_height} pixels, its photo {width} x {height}",
            "make the mask again at the photo's size",
        )


def find_photo(folder: Path, name: str) -> Path | None:
    """The photo of a name with or without its suffix in a folder, or None."""
    for candidate in (name, *(name + suffix for suffix in SUFFIXES)):
        if (folder / candidate).is_file():
            return folder / candidate
    return None


def _same_classes(one: Photos, other: Photos) -> None:
    if one.classes != other.classes:
        raise InputError("photos to join", "their classes differ", "map them to the same classes")
