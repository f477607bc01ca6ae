"""Databases of a few addresses, and clients without a network, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from tests.images.pictures import encode, smooth

from mlimages.database import Database
from mlimages.images.fetching.fetch_settings import FetchSettings
from mlimages.images.fetching.hosts import HostLimits
from mlimages.images.fetching.settings import NetworkSettings
from mlimages.images.fetching.states import UrlState
from mlimages.images.ledger.ledger import Ledger
from mlimages.labels.reading import Reading
from mlimages.schemas import READING_FACTS, READING_IMAGES
from mlimages.taxonomy.categories import released_taxonomy

NETWORK = NetworkSettings(
    ports=None,
    allow_private_addresses=True,
    robots=False,
    connect_seconds=2.0,
    answer_seconds=1.0,
    total_seconds=3.0,
    rate_window_seconds=0.5,
    minimum_rate=2000.0,
    hosts=HostLimits(start=8, failures_until_down=1000),
)
QUICK = FetchSettings(network=NETWORK, pause=0.05)


def photo(seed: int, side: int = 48) -> bytes:
    return encode(smooth(side, side, seed=seed), quality=90)


def database_of(
    root: Path, images: Sequence[Sequence[str]], partition_rows: int = 1 << 20, **columns: list[Any]
) -> Database:
    """A database of images with the candidate addresses given of each; dogs, all of them."""
    table: dict[str, list[Any]] = {
        "id": [f"image-{number:05d}" for number in range(len(images))],
        "uri": [uris[0] for uris in images],
        "split": ["train"] * len(images),
        "more_uris": [list(uris[1:]) for uris in images],
        **columns,
    }
    values = [table.get(field.name, [None] * len(images)) for field in READING_IMAGES]
    values = [pa.array(v, f.type) for v, f in zip(values, READING_IMAGES, strict=True)]
    taxonomy = released_taxonomy()
    facts = {
        "image": np.arange(len(images), dtype=np.int32),
        "category": np.full(len(images), taxonomy.index("n02084071"), np.int32),
        "present": np.ones(len(images), dtype=bool),
        "confidence": np.ones(len(images), np.float32),
        "kind": ["asserted"] * len(images),
    }
    reading = Reading(
        source="list",
        images=pa.table(values, schema=READING_IMAGES),
        facts=pa.table(
            [pa.array(facts[f.name], f.type) for f in READING_FACTS], schema=READING_FACTS
        ),
        read=len(images),
    )
    database = Database.create(root, taxonomy, partition_rows)
    database.add(reading)
    return database


def states(database: Database) -> dict[tuple[int, int], UrlState]:
    """The state of every address by row and place."""
    ledger = Ledger.open(Database.open(database.root).store)
    found = {}
    for number, part in ledger.partitions().items():
        rows = part.rows(np.arange(len(part)))
        for row, place, state in zip(rows, part.candidate, ledger.states(number), strict=True):
            found[int(row), int(place)] = UrlState(int(state))
    return found


def assert_whole(database: Database, expected: dict[int, bytes]) -> None:
    """Exactly these images are packed, with these bytes; all counts reconcile."""
    database = Database.open(database.root)
    report = database.check()
    assert report.passed, report
    reader = database.reader()
    rows = database.store.table("shards/index")["row"].to_pylist()
    assert sorted(rows) == sorted(expected)
    for row, data in expected.items():
        assert reader.read(row) == data
    ledger = Ledger.open(database.store)
    assert sum(ledger.counts().values()) == len(ledger)
    told = sorted(database.store.table("rights", ["row"])["row"].to_pylist())
    assert told == sorted(expected)
    root = Path(str(database.root))
    assert not list(root.rglob("*.partial"))
    assert not list((root / "staging").glob("*.tar"))
