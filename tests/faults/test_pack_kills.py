"""Packing and rewriting that are killed, or fed with what kills: nothing is lost, none twice."""

from __future__ import annotations

import functools
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from tests.images.databases import SETTINGS, database_of, shard_files, stored, write_photos
from tests.images.pictures import encode, smooth
from tests.images.test_shards_commands import arrive
from tests.images.test_verification import HOSTILE, bomb

from mlimages.database import Database
from mlimages.images.packing import packing
from mlimages.images.packing.inspecting import verify_shards
from mlimages.images.packing.rewriting import rewrite_shards
from mlimages.images.reading import tar_uri
from mlimages.images.verification import Verifier

IMAGES = 120
ATTEMPTS = [*range(5), *[pytest.param(i, marks=pytest.mark.slow) for i in range(5, 50)]]
PACK = """
import sys
from mlimages.database import Database
from tests.images.databases import SETTINGS
Database.open(sys.argv[1]).pack(SETTINGS, workers=1)
"""
REWRITE = """
import sys
from mlimages.images.packing.rewriting import rewrite_shards
from mlimages.store import Store
rewrite_shards(Store.open(sys.argv[1]))
"""


def start(code: str, root: Path) -> subprocess.Popen[bytes]:
    path = os.pathsep.join(place or os.getcwd() for place in sys.path)
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code, str(root)], env=environment)


def wait_for_commits(root: Path, generation: int, process: subprocess.Popen[bytes]) -> None:
    """Until a command has committed something, so that the kill falls into its work."""
    while process.poll() is None and Database.open(root).store.manifest.generation <= generation:
        time.sleep(0.01)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_photos(tmp_path_factory.mktemp("kills") / "photos", IMAGES)


@pytest.fixture(scope="module")
def reference(photos: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Database:
    database = database_of(tmp_path_factory.mktemp("reference") / "DB", photos, partition_rows=50)
    database.pack(SETTINGS)
    return database


def killed(code: str, root: Path, attempt: int) -> bool:
    """Kill a command at a random instant of its work; whether it was still at it."""
    generation = Database.open(root).store.manifest.generation
    process = start(code, root)
    wait_for_commits(root, generation, process)
    time.sleep(random.Random(attempt).uniform(0, 0.6))
    process.kill()
    process.wait()
    return process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_killed_pack_loses_and_repeats_nothing(
    photos: list[Path], reference: Database, tmp_path: Path, attempt: int
) -> None:
    root = tmp_path / "DB"
    database_of(root, photos, partition_rows=50)
    killed(PACK, root, attempt)
    database = Database.open(root)
    assert database.check().passed
    assert not verify_shards(database.store).findings
    before = database.store.num_rows("shards/index")
    report = database.pack(SETTINGS, workers=1)
    assert report.packed + before == IMAGES
    assert shard_files(database) == shard_files(reference)
    assert not verify_shards(database.store).findings
    assert database.check().passed
    assert not list((root / "staging").iterdir())
    assert len(list((root / "shards").glob("*.tar"))) == len(shard_files(database))


@pytest.mark.parametrize("attempt", ATTEMPTS[:3])
def test_a_killed_rewrite_loses_and_repeats_nothing(
    photos: list[Path], reference: Database, tmp_path: Path, attempt: int
) -> None:
    root = tmp_path / "DB"
    database = database_of(root, photos, partition_rows=50)
    order = list(range(IMAGES))
    random.Random(attempt).shuffle(order)
    arrive(database, photos, order)
    killed(REWRITE, root, attempt)
    database = Database.open(root)
    assert database.check().passed
    assert stored(database) == stored(reference)
    rewrite_shards(database.store)
    files = shard_files(database)
    assert [files[n] for n in sorted(files)] == list(shard_files(reference).values())
    assert not verify_shards(database.store).findings
    assert not list((root / "staging").iterdir())


def test_what_kills_or_hangs_a_decoder_is_named_and_the_rest_is_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = write_photos(tmp_path / "photos", 12)
    hostile = {b"sleep": "decoder timed out", b"die": "decoder failed", bomb(): "too many pixels"}
    expected = {}
    for number, (data, reason) in enumerate(hostile.items()):
        path = tmp_path / f"bad{number}"
        path.write_bytes(data)
        photos.insert(3 * number, path)
        expected[str(path)] = reason
    monkeypatch.setattr(packing, "Verifier", functools.partial(Verifier, function=HOSTILE))
    database = database_of(tmp_path / "DB", photos)
    report = database.pack(SETTINGS, workers=1, seconds=1.0)
    assert (report.packed, report.rejected) == (12, 3)
    assert dict(report.first_rejects) == expected
    assert database.check().passed
    assert not verify_shards(database.store).findings


def test_a_tar_cut_in_the_middle_gives_what_is_whole_and_names_the_rest(tmp_path: Path) -> None:
    archive = tmp_path / "n01.tar"
    with tarfile.open(archive, "w") as tar:
        for number in range(8):
            path = tmp_path / f"{number}.jpg"
            path.write_bytes(encode(smooth(50, 50, seed=number)))
            tar.add(path, path.name)
    with tarfile.open(archive) as tar:
        cut = tar.getmembers()[4].offset_data + 100
    archive.write_bytes(archive.read_bytes()[:cut])
    database = database_of(tmp_path / "DB", [tar_uri(f"{n}.jpg", archive) for n in range(8)])
    report = database.pack(SETTINGS)
    assert (report.packed, report.rejected) == (4, 4)
    assert {reason for _, reason in report.first_rejects} == {"damaged archive"}
    assert database.check().passed
