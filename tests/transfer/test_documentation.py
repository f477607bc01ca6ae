"""The commands of docs/transfer.md run, on tiny photos and for a moment each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.conftest import REPOSITORY
from tests.transfer import worlds

from mlimages.cli import run

TEXT = (REPOSITORY / "docs" / "transfer.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"^(?:torchrun .* -m )?mlimages (.*)$", TEXT, re.M)
COMMANDS = [command for command in SHOWN if not command.startswith("data prepare")]
SMALL = ["--set", "data.size=64", "schedule.epochs=1", "evaluation.pictures=1"]
OWN = {"voc2007-detection-07": ["data.long_side=96"], "caltech256": ["data.images_per_class=8"]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the commands name."""
    monkeypatch.chdir(tmp_path)
    photos = worlds.write_folders(tmp_path / "101_ObjectCategories", 17)
    (tmp_path / "photos").symlink_to(photos)
    names = sorted(path.relative_to(photos).as_posix() for path in photos.glob("*/*.jpg"))
    rows = "".join(f"{name},thing {name[:3]}\n" for name in names)
    (tmp_path / "tags.csv").write_text("image,tags\n" + rows)
    worlds.write_voc(tmp_path / "voc")
    for name in ("photos", "paper"):
        command = ["finetune", "untrained:resnet26x0.0625", str(photos), "--out", f"runs/{name}"]
        assert run([*command, *SMALL]) == 0
    return tmp_path


@pytest.mark.slow  # a minute: EfficientNet-lite0 learns
def test_the_commands_of_the_documentation_run(folder: Path) -> None:
    assert len(COMMANDS) == 5
    for command in COMMANDS:
        words = command.split()
        if words[0] in ("transfer", "finetune"):
            words += SMALL + OWN.get(words[1], [])
        assert run(words) == 0, command
    assert (folder / "runs" / "caltech" / "report.html").is_file()
    assert not (folder / "runs" / "voc").exists()  # a dry run
    picture = str(next((folder / "photos").glob("*/*.jpg")))
    assert run(["tag", picture, "--model", "runs/mine"]) == 0
