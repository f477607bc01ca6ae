"""A list of images of every fate, to be fetched in several ways that must come to the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.image_server import Server, serving
from tests.images.fetching.worlds import QUICK, database_of, photo, states

from mlimages.database import Database
from mlimages.images.fetching.states import UrlState

IMAGES = 48
SETTINGS = replace(QUICK, placeholder_copies=5)
NOTHING = photo(999)
"""What the host shows instead of every sixth image; some of those have another address."""


@contextmanager
def mixed_server(latency: float = 0.0) -> Iterator[Server]:
    """Serves most of the images: some only at the second time, some broken, some gone."""
    files, faults = {}, {}
    for number in range(IMAGES):
        path = f"/{number}.jpg"
        files[path] = NOTHING if number % 6 == 0 else photo(number)
        files[f"/mirror-{number}.jpg"] = photo(1000 + number)
        kind = {1: "status:500*1", 2: "status:404", 3: "html", 4: "status:500"}.get(number % 8)
        if kind and number % 6:
            faults[path] = kind
    with serving(files, faults) as server:
        server.site.latency = (latency, latency)
        yield server


def mixed_database(root: Path, server: Server, partition_rows: int = 8) -> Database:
    """48 images in partitions of 8; every fourth has a mirror too."""
    images = []
    for number in range(IMAGES):
        mirror = [server.url(f"/mirror-{number}.jpg")] if number % 4 == 0 else []
        images.append([server.url(f"/{number}.jpg"), *mirror])
    return database_of(root, images, partition_rows)


def outcome(database: Database) -> tuple[dict[tuple[int, int], UrlState], dict[int, bytes]]:
    """The state of every address, and the bytes of every image, by row: by id, too."""
    database = Database.open(database.root)
    assert database.check().passed
    reader = database.reader()
    rows = database.store.table("shards/index")["row"].to_pylist()
    assert len(rows) == len(set(rows))
    told = database.store.table("rights", ["row"])["row"].to_pylist()
    assert sorted(told) == sorted(rows)
    return states(database), {row: reader.read(row) for row in sorted(rows)}


def attempts(database: Database) -> dict[tuple[int, int], int]:
    """How often each address was tried."""
    from mlimages.images.ledger.ledger import Ledger

    found = {}
    for part in Ledger.open(Database.open(database.root).store).partitions().values():
        rows = part.rows(range(len(part)))  # type: ignore[arg-type]
        for row, place, count in zip(rows, part.candidate, part.attempts, strict=True):
            found[int(row), int(place)] = int(count)
    return found
