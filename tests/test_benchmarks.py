"""`python benchmarks`: what cannot run here is named, and the rest goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY


def run(*arguments: str, data: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "benchmarks"), *arguments]
    env = {**os.environ, "MLIMAGES_DATA": str(data), "COLUMNS": "300"}
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


def test_benchmarks_without_their_data_are_skipped_and_the_next_is_run(tmp_path: Path) -> None:
    done = run("--quick", "mapping_imagenet", "vocabulary", data=tmp_path)
    assert done.returncode == 0, done.stderr
    for name in ("mapping_imagenet", "vocabulary"):
        assert f"| `{name}` | skipped: no metadata/imagenet_fall11" in done.stdout


def test_every_script_that_measures_is_one_of_the_benchmarks(tmp_path: Path) -> None:
    folder = REPOSITORY / "benchmarks"
    scripts = {
        path.stem
        for path in folder.glob("*.py")
        if path.stem != "__main__" and "def measure(" in path.read_text(encoding="utf-8")
    }
    assert {"feeding", "images_scale"} <= scripts
    listed = run("lost", data=tmp_path).stderr.rpartition("there are ")[2]
    assert scripts <= set(listed.strip().split(", "))


def test_an_unknown_benchmark_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    done = run("lost", data=tmp_path)
    assert done.returncode == 2
    assert "no benchmark lost; there are database_build, " in done.stderr
