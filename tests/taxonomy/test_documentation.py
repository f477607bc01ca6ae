"""The commands of docs/vocabulary.md run, and its figures are those that the package gives."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from tests.conftest import REPOSITORY
from tests.tiny import make_tiny_data

from mlimages.cli import run
from mlimages.taxonomy.building import EDITS
from mlimages.taxonomy.class_lists import ACTIONS, read_edits
from mlimages.taxonomy.packaged import packaged

TEXT = (REPOSITORY / "docs" / "vocabulary.md").read_text(encoding="utf-8")
COMMANDS = [
    line.split("#")[0].strip() for line in TEXT.splitlines() if line.startswith("mlimages ")
]


def test_the_commands_run_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = "synid,class_name,urls\nn02084071,dog,900\nn02121620,cat,900\nn02858304,boat,800\n"
    (tmp_path / "imagenet_fall11_synset_counts.csv").write_text(counts + "n02958343,car,900\n")
    data = make_tiny_data(tmp_path / "tiny", images_a_class=1)
    (tmp_path / "ILSVRC").mkdir()
    data.imagenet.rename(tmp_path / "ILSVRC" / "train")
    monkeypatch.chdir(tmp_path)
    assert len(COMMANDS) == 6
    for command in COMMANDS:
        assert run(shlex.split(command)[1:]) == 0, command
        assert capsys.readouterr().out


def test_every_option_and_action_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    run(["taxonomy", "build", "--help"])
    options = set(re.findall(r"--(\w+) (?:CSV|TSV)", capsys.readouterr().out))
    assert len(options) == 7
    assert [option for option in options if f"`--{option}`" not in TEXT] == []
    assert [action for action in ACTIONS if f"`{action}`" not in TEXT] == []


def test_the_numbers_of_decisions_are_those_of_the_file() -> None:
    edits = read_edits(packaged(EDITS))
    words = f"{len(edits.keep)} kept, {len(edits.drop)} dropped, {len(edits.expand)}"
    assert words in TEXT
