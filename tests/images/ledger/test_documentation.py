"""The commands and examples of the page on removal, and those on the ledger, run as they stand."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from tests.conftest import REPOSITORY
from tests.images.databases import SETTINGS, write_photos
from tests.images.test_removal import reading
from tests.labels.tiny import TAXONOMY

from mlimages.cli import run
from mlimages.database import Database

REMOVAL = (REPOSITORY / "docs" / "removal.md").read_text(encoding="utf-8")
DATABASE = (REPOSITORY / "docs" / "database.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("documentation")
    database = Database.create(root / "DB", TAXONOMY)
    database.add(reading(write_photos(root / "photos", 12)))
    database.complete()
    shutil.copytree(root / "DB", root / "NEWDB")
    database.pack(SETTINGS)
    return root


def test_the_commands_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    ledger = DATABASE.split("## The ledger")[1].split("## ")[0]
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", REMOVAL + ledger, re.DOTALL | re.MULTILINE)
    lines = [line for language, text in blocks if not language for line in text.splitlines()]
    assert len(lines) == 11
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "mlimages"
        assert run(arguments) == 0, line


def test_the_python_example_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    (example,) = re.findall(r"^```python\n(.*?)^```", REMOVAL, re.DOTALL | re.MULTILINE)
    exec(example, {})
    assert re.fullmatch(r"\d+ images are left out\n", capsys.readouterr().out)
