from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from tests.conftest import REPOSITORY
from tests.labels.exports.databases import Sample, build
from tests.labels.tiny import DOG, ROAD

from mlimages.cli import run
from mlimages.labels.exports.exporting import EXPORTS
from mlimages.labels.hashing.hashes import LABEL_TABLES

TEXT = (REPOSITORY / "docs" / "publication.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^mlimages ([^#\n]*)", TEXT, re.MULTILINE)
EXAMPLE = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the databases DB and OTHER, which are the same."""
    root = tmp_path_factory.mktemp("documentation")
    image = Sample(facts={"first": [(DOG, True, 0.9, "asserted"), (ROAD, False, 1.0, "verified")]})
    build(root / "DB", [image, image])
    build(root / "OTHER", [image, image], order=-1)
    return root


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_documentation_run(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert run(shlex.split(command)) == 0


def test_the_example_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    exec(EXAMPLE, {})
    *_, digest, same = capsys.readouterr().out.splitlines()
    assert len(digest) == 64
    assert same == "True"


def test_every_format_and_table_is_documented() -> None:
    assert [name for name in (*EXPORTS, *LABEL_TABLES) if f"`{name}`" not in TEXT] == []


def test_the_commands_know_every_format() -> None:
    from typing import get_args

    from mlimages.cli.export import FormatName

    assert list(get_args(FormatName)) == list(EXPORTS)
