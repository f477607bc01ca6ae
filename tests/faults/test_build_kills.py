"""A build killed at any instant: the database is a generation of it, whole, and can go on."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest
from tests.tiny import TinyData, make_tiny_data

from mlimages.database import Database
from mlimages.store import Store

# Each step is one commit, and begins where a killed build left off.
BUILD = """
import sys
from pathlib import Path
from mlimages.database import Database
from mlimages.labels.derivation.rules import Rules
from mlimages.labels.sources import imagenet, table
from mlimages.store import Store
from mlimages.taxonomy.categories import released_taxonomy

folder, root, most_steps = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
taxonomy = released_taxonomy()
if not Store.exists(root):
    Database.create(root, taxonomy, partition_rows=7)
steps = [
    lambda db: db.add(imagenet.read(folder / "imagenet", taxonomy)),
    lambda db: db.complete(Rules()),
    lambda db: db.add(table.read(folder / "table.csv", taxonomy)),
    lambda db: db.complete(Rules(hierarchy="wordnet")),
]
for step in steps[Database.open(root).store.manifest.generation - 1 :][:most_steps]:
    step(Database.open(root))
"""
TABLES = ("images", "facts", "tags", "postings", "rejects")


def build(data: TinyData, root: Path, most_steps: int = 4) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", BUILD, str(data.root), str(root), str(most_steps)]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


def content(root: Path) -> dict[str, pa.Table]:
    store = Store.open(root)
    assert store.damaged_files() == []
    return {name: store.table(name) for name in TABLES}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TinyData:
    return make_tiny_data(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def generations(
    data: TinyData, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[int, dict[str, pa.Table]], float]:
    """The content of every generation of a build that nobody kills, and how long it takes."""
    root = tmp_path_factory.mktemp("whole") / "DB"
    seen = {}
    for most_steps in (0, 1, 1, 1, 1):
        assert build(data, root, most_steps).wait() == 0
        seen[Store.open(root).manifest.generation] = content(root)
    assert sorted(seen) == [1, 2, 3, 4, 5]
    began = time.monotonic()
    build(data, root.with_name("again")).wait()
    return seen, time.monotonic() - began


@pytest.mark.parametrize(
    "attempt", [*range(5), *[pytest.param(i, marks=pytest.mark.slow) for i in range(5, 50)]]
)
def test_a_build_killed_at_a_random_instant_is_whole_and_goes_on(
    data: TinyData,
    tmp_path: Path,
    generations: tuple[dict[int, dict[str, pa.Table]], float],
    attempt: int,
) -> None:
    expected, duration = generations
    root = tmp_path / "DB"
    process = build(data, root)
    time.sleep(random.Random(attempt).uniform(0.3, 1.0) * duration)
    process.kill()
    process.communicate()
    if Store.exists(root):
        assert content(root) == expected[Store.open(root).manifest.generation]
    _, error = (again := build(data, root)).communicate(timeout=120)
    assert again.returncode == 0, error.decode()
    assert content(root) == expected[5]
    report = Database.open(root).check()
    assert report.passed, report
    assert not list(root.rglob("*.partial"))
    shutil.rmtree(root)
