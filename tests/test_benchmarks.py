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


def test_an_unknown_benchmark_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    done = run("lost", data=tmp_path)
    assert done.returncode == 2
    assert "no benchmark lost; there are database_build, loss," in done.stderr
