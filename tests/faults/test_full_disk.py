"""A full disk: a small tmpfs is filled by each command in turn; old files stay whole."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
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


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A mounted file system of 3 MB; needs the right to mount."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("no right to mount a small file system")
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a small file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(place: Path, leave: int) -> Path:
    """Occupy a disk but for some bytes."""
    filler = place / "filler"
    filler.write_bytes(b"x" * max(0, shutil.disk_usage(place).free - leave))
    return filler


def assert_no_space(capsys: pytest.CaptureFixture[str], *arguments: object) -> None:
    capsys.readouterr()
    assert run([str(argument) for argument in arguments]) == 1
    error = capsys.readouterr().err.strip()
    assert "no space left" in error.splitlines()[-1], error
    assert "free some space" in error.splitlines()[-1]
    assert "Traceback" not in error


def test_import_complete_and_pack_on_a_full_disk(
    data: TinyData, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    db = small_disk / "DB"
    filler = fill(small_disk, leave=40_000)
    assert_no_space(capsys, "import", "imagenet", data.imagenet, db)
    filler.unlink()
    assert run(["import", "imagenet", str(data.imagenet), str(db)]) == 0
    for command in ("complete", "pack"):
        filler = fill(small_disk, leave=4_000)
        before = (db / "database.json").read_text()
        assert_no_space(capsys, command, db)
        assert (db / "database.json").read_text() == before
        assert not list(db.rglob("*.partial"))
        filler.unlink()
        assert run([command, str(db)]) == 0
    assert Database.open(db).check().passed


def test_predictions_and_features_on_a_full_disk_leave_nothing(
    data: TinyData, small_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    db, out = tmp_path / "DB", tmp_path / "run"
    for command in (f"import imagenet {data.imagenet} {db}", f"complete {db}", f"pack {db}"):
        assert run(command.split()) == 0
    recipe = data.root / "tiny.toml"
    assert run(["train", str(db), "--recipe", str(recipe), "--out", str(out)]) == 0
    filler = fill(small_disk, leave=1_000)
    target = small_disk / "out.parquet"
    assert_no_space(capsys, "predict", out, db, "--out", target)
    assert_no_space(capsys, "features", out, data.photos, "--out", target)
    assert_no_space(capsys, "train", db, "--recipe", recipe, "--out", small_disk / "run")
    filler.unlink()
    assert not list(small_disk.rglob("*.partial"))
    assert not target.exists()
