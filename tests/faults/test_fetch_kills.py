"""Fetch killed at any instant, then resumed: no image lost, none twice, every shard valid."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.image_server import Server, serving
from tests.images.fetching.worlds import assert_whole, database_of, photo, states

from mlimages.database import Database
from mlimages.images.fetching.states import UrlState
from mlimages.images.ledger.ledger import Ledger
from mlimages.images.packing.settings import PackSettings, record

COUNT = 240
GONE = range(0, COUNT, 12)
FILES = {f"/{row}.jpg": photo(row) for row in range(COUNT)}
FAULTS = {f"/{row}.jpg": "status:500*1" for row in range(5, COUNT, 17)} | {
    f"/{row}.jpg": "status:404" for row in GONE
}
KILLS = [*range(5), *[pytest.param(i, marks=pytest.mark.slow) for i in range(5, 50)]]


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(FILES, FAULTS, addresses=("127.0.0.1", "127.0.0.2")) as server:
        server.site.latency = (0.0, 0.05)
        yield server


@pytest.fixture
def database(server: Server, tmp_path: Path) -> Database:
    """An empty database of small shards."""
    uris = [[server.url(path, f"127.0.0.{1 + row % 2}")] for row, path in enumerate(FILES)]
    database = database_of(tmp_path / "DB", uris, partition_rows=100)
    with database.store.commit("settings") as commit:
        record(commit, PackSettings(shard_bytes=40_000))
    return database


def start(database: Database, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mlimages", "fetch", str(database.root)]
    options = ("--allow-private-addresses", "--workers", "1", *options)
    return subprocess.Popen(
        [*command, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def assert_reconciles(database: Database) -> None:
    """Whatever happened: what is there is whole, and every address has exactly one state."""
    database = Database.open(database.root)
    report = database.check()
    assert report.passed, report
    counts = Ledger.open(database.store).counts()
    assert sum(counts.values()) == COUNT
    assert counts[UrlState.OK] == database.store.num_rows("shards/index")
    assert counts[UrlState.OK] == database.store.num_rows("rights")


def assert_complete(database: Database) -> None:
    expected = {row: FILES[f"/{row}.jpg"] for row in range(COUNT) if row not in GONE}
    assert_whole(database, expected)
    told = states(database)
    assert {row for (row, _), state in told.items() if state is UrlState.GONE} == set(GONE)
    assert sum(state is UrlState.OK for state in told.values()) == len(expected)
    names = []
    for entry in Database.open(database.root).store.manifest.files["shards"]:
        with tarfile.open(Path(str(database.root)) / entry.path) as archive:
            names += archive.getnames()
    assert len(names) == len(set(names)) == len(expected)


@pytest.mark.parametrize("attempt", KILLS)
def test_a_fetch_killed_at_random_instants_loses_and_repeats_nothing(
    database: Database, attempt: int
) -> None:
    choose = random.Random(attempt)
    for _ in range(2):
        process = start(database)
        seen = Database.open(database.root).store.manifest.generation
        # Half of the kills come at any time, half right behind a commit.
        until = time.monotonic() + choose.uniform(0.5, 6.0)
        wait_for_commit = choose.random() < 0.5
        while time.monotonic() < until and process.poll() is None:
            now = Database.open(database.root).store.manifest.generation
            if wait_for_commit and now > seen + choose.randint(0, 3):
                break
            time.sleep(0.01)
        process.kill()
        process.communicate()
        assert_reconciles(database)
    _, error = (last := start(database)).communicate(timeout=120)
    assert last.returncode == 0, error
    assert_complete(database)


@pytest.mark.parametrize(
    "attempt", [*range(2), *[pytest.param(i, marks=pytest.mark.slow) for i in range(2, 10)]]
)
def test_ctrl_c_keeps_what_was_fetched(database: Database, attempt: int) -> None:
    choose = random.Random(attempt)
    seen = Database.open(database.root).store.manifest.generation
    process = start(database)
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        if Database.open(database.root).store.manifest.generation > seen:
            break
        time.sleep(0.005)
    time.sleep(choose.uniform(0, 0.5))
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    if process.returncode:
        assert process.returncode == 130, error
        assert error.strip().splitlines()[-1].startswith("interrupted")
        assert "Traceback" not in error
    assert_reconciles(database)
    assert Ledger.open(Database.open(database.root).store).counts()[UrlState.OK] > 0
    _, error = (last := start(database)).communicate(timeout=120)
    assert last.returncode == 0, error
    assert_complete(database)
