"""The commands of docs/clusters.md run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.conftest import REPOSITORY
from tests.tiny import make_tiny_data

from mlimages.cli import COMMANDS, run
from mlimages.database import Database

TEXT = (REPOSITORY / "docs" / "clusters.md").read_text(encoding="utf-8")
RUN = re.findall(r"^mlimages (.*)$", re.findall(r"```sh\n(.*?)```", TEXT, re.S)[0], re.M)


def test_the_commands_of_the_documentation_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_tiny_data(tmp_path / "tiny", images_a_class=2)
    monkeypatch.chdir(tmp_path)
    assert run(["import", "table", str(data.table), "DB"]) == 0
    assert len(RUN) == 7
    for command in RUN:
        assert run(command.split()) == 0
    assert Database.open("DB").check().passed
    assert Database.open("DB").store.num_rows("shards/index") == 8


def test_every_option_that_is_named_is_one_of_the_commands(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = ""
    for name in ("fetch", "pack", "hash", "predict", "complete", "quality", "shards rewrite"):
        assert name in COMMANDS
        run([*name.split(), "--help"])
        shown += capsys.readouterr().out
    for option in set(re.findall(r"--[a-z][a-z-]+", TEXT)):
        assert option in shown, option
