from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image
from tests.conftest import REPOSITORY
from tests.tiny import make_tiny_data

from mlimages.cli import run
from mlimages.images.duplicates.confirmation import Threshold
from mlimages.images.duplicates.hashing import FEWEST_SURE
from mlimages.images.duplicates.perceptual import Closeness

TEXT = (REPOSITORY / "docs" / "duplicates.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^mlimages (.*)$", TEXT, re.MULTILINE)


def test_the_commands_of_the_documentation_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("jinja2")
    data = make_tiny_data(tmp_path / "tiny", images_a_class=2)
    (tmp_path / "TEST").mkdir()
    photo = sorted(data.photos.iterdir())[0]
    Image.open(photo).save(tmp_path / "TEST" / "photo.png")
    monkeypatch.chdir(tmp_path)
    for command in (f"import table {data.table} DB", "pack DB", *COMMANDS):
        assert run(command.split()) == 0, command
    assert len(COMMANDS) == 8
    assert "brought back" in capsys.readouterr().out


def test_the_numbers_of_the_documentation_are_those_of_the_code() -> None:
    words = " ".join(TEXT.split())
    threshold = Threshold()
    assert f"luminance correlates by {threshold.likeness:.2f} or more" in words
    assert f"fine part by {threshold.detail:.2f}" in words
    assert f"colours agree by {threshold.colour:.2f}" in words
    assert f"{threshold.overlap:.0%}".replace("%", " %") + " of the smaller picture" in words
    assert f"fewer than {FEWEST_SURE} frequencies" in words
    assert [Closeness().limits(n).radius for n in (2_000_000, 2_000_001)] == [10, 8]
