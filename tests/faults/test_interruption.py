"""Commands stopped at any moment: the database is the old one or the new, and nothing is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.tiny import RECIPE, TinyData, make_tiny_data

from mlimages.cli import run
from mlimages.database import Database


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TinyData:
    data = make_tiny_data(tmp_path_factory.mktemp("tiny"))
    (data.root / "tiny.toml").write_text(RECIPE)
    return data


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mlimages", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def duration(*arguments: object) -> float:
    began = time.monotonic()
    start(*arguments).communicate()
    return time.monotonic() - began


def assert_one_line(process: subprocess.Popen[str], error: str) -> None:
    """Either the command had ended before the signal, or it said one clear line."""
    if process.returncode == 0:
        return
    # A signal before the program's first line of Python ends it like any other program.
    if process.returncode == -signal.SIGINT:
        return
    lines = error.strip().splitlines()
    assert process.returncode == 130, error
    assert "Traceback" not in error
    assert lines, "said nothing"
    assert lines[-1].startswith("interrupted"), error


def whole(db: Path) -> None:
    """What is there can be read and reconciles; a database that never came to be is fine too."""
    if (db / "database.json").exists():
        report = Database.open(db).check()
        assert report.passed, report
    leftovers = list(db.rglob("*.partial")) if db.exists() else []
    assert not leftovers


@pytest.mark.parametrize(
    "attempt", [*range(3), *[pytest.param(i, marks=pytest.mark.slow) for i in range(3, 20)]]
)
def test_ctrl_c_at_a_random_moment_of_import_and_pack(
    data: TinyData, tmp_path: Path, attempt: int
) -> None:
    choose = random.Random(attempt)
    db = tmp_path / "DB"
    for arguments in (("import", "imagenet", data.imagenet, db), ("complete", db), ("pack", db)):
        process = start(*arguments)
        time.sleep(choose.uniform(0.2, 1.5))
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
        assert_one_line(process, error)
        whole(db)
        _, error = (finish := start(*arguments)).communicate(timeout=60)
        assert finish.returncode == 0, error
        whole(db)
    assert Database.open(db).store.table("shards/index").num_rows == 48


@pytest.mark.parametrize(
    "attempt", [*range(3), *[pytest.param(i, marks=pytest.mark.slow) for i in range(3, 20)]]
)
def test_kill_at_a_random_moment_of_pack_loses_and_repeats_nothing(
    data: TinyData, tmp_path: Path, attempt: int
) -> None:
    choose = random.Random(100 + attempt)
    db = tmp_path / "DB"
    assert run(["import", "imagenet", str(data.imagenet), str(db)]) == 0
    process = start("pack", db)
    time.sleep(choose.uniform(0.3, 1.5))
    process.kill()
    process.communicate()
    assert Database.open(db).check().passed
    assert run(["pack", str(db)]) == 0
    assert Database.open(db).check().passed
    rows = Database.open(db).store.table("shards/index")["row"].to_pylist()
    assert sorted(rows) == list(range(48))
    assert not list(db.rglob("*.partial"))
