"""Pictures outside a database that it is held against: a folder of files, or another database."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.errors import InputError
from mlimages.images.duplicates.fingerprints import fingerprint
from mlimages.images.duplicates.hashing import FEWEST_SURE, hash_rows
from mlimages.images.photos import PhotoReject, find_photos
from mlimages.images.reading import open_uri
from mlimages.images.rejection import Reason, RejectedError
from mlimages.images.shards import ShardReader
from mlimages.labels.lookup import image_ids
from mlimages.progress import track
from mlimages.store import Store

_VOC_PHOTOS = "JPEGImages"  # a VOC folder also holds masks, which are pictures but no photos


@dataclass(frozen=True)
class Outside:
    """Pictures by their places in a list.

    Attributes:
        names: paths, or ids of the other database.
        prints: uint64 [n]; length and CRC-32 of the bytes, as `exact` compares them.
        md5: of the bytes, hexadecimal; empty for another database.
        perceptual, gradient: uint64 [n].
        sure: uint8 [n]; see `schemas.HASHES`.
        read: gives the bytes of a picture by its place.
        rejects: files that look like pictures but cannot be read, and why.
        other_files: files that are no pictures at all.
    """

    names: Sequence[str]
    prints: NDArray[np.uint64]
    md5: Sequence[str]
    perceptual: NDArray[np.uint64]
    gradient: NDArray[np.uint64]
    sure: NDArray[np.uint8]
    read: Callable[[int], bytes]
    rejects: Sequence[PhotoReject]
    other_files: int

    @property
    def useful(self) -> NDArray[np.int64]:
        """Places of those that are not flat."""
        return np.flatnonzero(self.sure >= FEWEST_SURE)


def open_outside(place: str) -> Outside:
    """Read the pictures at a place, a folder or a database.

    Raises:
        InputError: nothing is there, or no picture can be read.
        DatabaseError: it is a database, and damaged.
    """
    return _database(Store.open(place)) if Store.exists(place) else _folder(Path(place))


def print_of(data: bytes) -> int:
    """Length and CRC-32 as one number."""
    return len(data) << 32 ^ zlib.crc32(data)


@dataclass(frozen=True)
class _Read:
    path: Path
    reason: Reason | None
    print: int = 0
    md5: str = ""
    hashes: tuple[int, int, int] = (0, 0, 0)


def _folder(folder: Path) -> Outside:
    paths = find_photos([folder])
    if photos := [path for path in paths if _VOC_PHOTOS in path.relative_to(folder).parts[:-1]]:
        paths = photos
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        results = pool.map(_read_file, paths)
        found = list(track(results, "reading the other photos", len(paths), "photos"))
    good = [one for one in found if one.reason is None]
    strangers = {Reason.NOT_AN_IMAGE, Reason.EMPTY}
    bad = [PhotoReject(one.path, str(one.reason)) for one in found if one.reason is not None]
    rejects = [one for one in bad if one.reason not in strangers]
    if not good:
        raise InputError(folder, "no picture in it can be read", "name a folder of photos")
    names = [str(one.path) for one in good]
    hashes = np.array([one.hashes for one in good], np.uint64)
    return Outside(
        names,
        np.array([one.print for one in good], np.uint64),
        [one.md5 for one in good],
        hashes[:, 0],
        hashes[:, 1],
        hashes[:, 2].astype(np.uint8),
        lambda place: open_uri(os.path.abspath(names[place])),
        rejects,
        len(bad) - len(rejects),
    )


def _read_file(path: Path) -> _Read:
    try:
        data = open_uri(os.path.abspath(path))
        return _Read(path, None, print_of(data), hashlib.md5(data).hexdigest(), fingerprint(data))
    except RejectedError as error:
        return _Read(path, error.reason)


def _database(store: Store) -> Outside:
    reader = ShardReader(store.root / "shards", store.table("shards/index"))
    if not len(reader):
        raise InputError(store.root, "no image of it is packed", "run: mlimages pack")
    index = store.table("shards/index", ["row", "length", "crc32"]).sort_by("row")
    hashes = _hashes(store, reader)
    lengths = index["length"].to_numpy().astype(np.uint64)
    prints = (lengths << np.uint64(32)) ^ index["crc32"].to_numpy().astype(np.uint64)
    return Outside(
        image_ids(store, reader.rows),
        prints,
        [],
        hashes["perceptual"].to_numpy(),
        hashes["gradient"].to_numpy(),
        hashes["sure"].to_numpy(),
        lambda place: reader.read(int(reader.rows[place])),
        [],
        0,
    )


def _hashes(store: Store, reader: ShardReader) -> pa.Table:
    """Of every packed image: the table's, where it holds all, or new ones; nothing is written."""
    held = store.table("hashes").sort_by("row")
    same = np.array_equal(held["row"].to_numpy(), reader.rows) and np.array_equal(
        held["crc32"].to_numpy(), reader.checksums(reader.rows)
    )
    return held if same else hash_rows(reader, reader.rows)
