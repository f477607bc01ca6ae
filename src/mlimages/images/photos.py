"""A user's own photos: finding them in files and folders, and decoding them one by one.

A file that cannot be read as a photo is kept in a list with the reason: it stops nothing, and it is
never dropped without a word.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlimages.errors import InputError
from mlimages.images.decoding import decode
from mlimages.images.reading import open_uri
from mlimages.images.rejection import RejectedError
from mlimages.progress import track

# The released feature extraction reads lists of "path label".
_LABEL_COLUMN = re.compile(r"\s+\d+$")


@dataclass(frozen=True)
class PhotoReject:
    """A file that could not be read as a photo, and why."""

    path: Path
    reason: str


def find_photos(places: Iterable[Path | str]) -> list[Path]:
    """List the files behind files and folders, each once, in the order of the places.

    Folders are searched recursively, in the order of names; names that begin with a dot are passed
    over. Whether a file is a photo is not judged here.

    Raises:
        InputError: a place is missing, or a folder holds no file.
    """
    found: dict[Path, None] = {}
    for place in map(Path, places):
        if place.is_file():
            found[place] = None
            continue
        if not place.is_dir():
            cause = "neither a file nor a folder" if place.exists() else "no such file or folder"
            raise InputError(place, cause, "check the path")
        inside = list(_files_below(place))
        if not inside:
            raise InputError(place, "holds no files", "name a photo, or a folder of photos")
        found.update(dict.fromkeys(inside))
    return list(found)


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if not name.startswith(".") and path.is_file():
                yield path


def read_photo_list(path: Path | str, root: Path | str | None = None) -> list[Path]:
    """Read a list of photos: one path a line, with or without a number (a label) behind it.

    Args:
        path: a text file. Empty lines are passed over.
        root: where relative paths begin; by default the folder of the list.

    Raises:
        InputError: the list is missing, empty or not text.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(path, str(error.strerror).lower(), "check the path") from None
    except UnicodeDecodeError:
        raise InputError(path, "not a text file", "name a list with one path a line") from None
    base = Path(root) if root is not None else path.parent
    photos = [base / _LABEL_COLUMN.sub("", line.strip()) for line in lines if line.strip()]
    if not photos:
        raise InputError(path, "holds no paths", "write one path a line")
    return photos


class PhotoStream:
    """Photos decoded one by one, while the readable and the broken ones are written down.

    Attributes:
        kept: paths of the photos given out so far, in order.
        rejects: the broken ones met so far, in order. At the end, kept + rejects = paths.
    """

    def __init__(
        self, paths: Sequence[Path], minimum_side: int | None = None, description: str = "photos"
    ) -> None:
        """Prepare to decode.

        Args:
            paths: files; a missing one is a reject.
            minimum_side: lets a JPEG be decoded smaller, its shorter side no less than this.
            description: words in front of the progress bar.
        """
        self.paths = paths
        self.minimum_side = minimum_side
        self.description = description
        self.kept: list[Path] = []
        self.rejects: list[PhotoReject] = []

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield RGB uint8 [height, width, 3] of each readable photo."""
        for path in track(self.paths, self.description, unit="photos"):
            try:
                data = open_uri(os.path.abspath(path))
                image = decode(data, minimum_side=self.minimum_side)
            except RejectedError as error:
                self.rejects.append(PhotoReject(path, error.reason.value))
                continue
            self.kept.append(path)
            yield image


def none_readable(rejects: Sequence[PhotoReject]) -> InputError:
    """The error for photos of which not one could be read."""
    first = rejects[0] if rejects else PhotoReject(Path("photos"), "none given")
    more = f", and {len(rejects) - 1:,} more files" if len(rejects) > 1 else ""
    return InputError(f"{first.path}{more}", first.reason, "name at least one readable photo")
