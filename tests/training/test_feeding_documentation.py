from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.conftest import REPOSITORY
from tests.tiny import make_tiny_data

from mlimages.cli import run
from mlimages.images.augmentation import AugmentationSettings
from mlimages.training.settings import DataSettings

TEXT = (REPOSITORY / "docs" / "feeding.md").read_text(encoding="utf-8")


def test_the_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_tiny_data(tmp_path / "tiny", images_a_class=2)
    assert run(["import", "table", str(data.table), str(tmp_path / "DB")]) == 0
    assert run(["complete", str(tmp_path / "DB")]) == 0
    assert run(["pack", str(tmp_path / "DB")]) == 0
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    (example,) = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    names: dict = {}
    exec(example, names)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == -(-len(names["selection"]) // 4)
    assert printed[0] == "torch.Size([4, 64, 64, 3]) 4 {}"
    assert names["samples_seen"] == len(names["selection"])


def test_every_setting_that_the_page_names_exists() -> None:
    for name in re.findall(r"`data\.(\w+)", TEXT):
        assert hasattr(DataSettings(), name)
    table = re.findall(r"^\| (`.*?) \|", TEXT, re.MULTILINE)
    settings = [name for cell in table for name in re.findall(r"`(\w+)`", cell)]
    assert len(settings) == 8
    for name in settings:
        assert hasattr(AugmentationSettings(), name)
