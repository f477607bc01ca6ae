"""Small databases of generated photos, to pack."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from tests.images.pictures import encode, smooth
from tests.labels.tiny import TAXONOMY

from mlimages.database import Database
from mlimages.images.packing.settings import PackSettings
from mlimages.labels.reading import ReadingBuilder

SETTINGS = PackSettings(shard_bytes=12_000, block_rows=8)


def write_photos(folder: Path, count: int) -> list[Path]:
    """Photos of different sizes; every fifth is a PNG."""
    folder.mkdir(parents=True)
    paths = []
    for number in range(count):
        path = folder / f"{number}"
        picture = smooth(40 + number % 7, 30 + number % 11, seed=number)
        path.write_bytes(encode(picture, "PNG" if number % 5 == 0 else "JPEG"))
        paths.append(path)
    return paths


def database_of(
    root: Path, uris: Sequence[str | Path], partition_rows: int = 10, start: int = 0
) -> Database:
    """A database whose row i has the place uris[i]; added to the one that is there."""
    builder = ReadingBuilder("s", "table")
    for number, uri in enumerate(uris, start=start):
        image = builder.add_image(f"n{number:04d}", str(uri), f"n{number:04d}")
        builder.add_fact(image or 0, number % len(TAXONOMY))
    if (root / "database.json").exists():
        database = Database.open(root)
    else:
        database = Database.create(root, TAXONOMY, partition_rows=partition_rows)
    database.add(builder.build())
    return database


def shard_files(database: Database) -> dict[int, bytes]:
    """The bytes of the shards of the current generation, by number."""
    return {
        int(Path(entry.path).stem): (Path(str(database.root)) / entry.path).read_bytes()
        for entry in database.store.manifest.files.get("shards", [])
    }


def stored(database: Database) -> dict[int, bytes]:
    """The bytes of every packed image, by row."""
    reader = database.reader()
    return {row: reader.read(row) for row in reader.rows.tolist()}


def shuffled(count: int, seed: int) -> list[int]:
    order = list(range(count))
    random.Random(seed).shuffle(order)
    return order
