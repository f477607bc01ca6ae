from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.conftest import REPOSITORY
from tests.tiny import make_tiny_data

from mlimages.cli import run

TEXT = (REPOSITORY / "docs" / "images.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a packed database `DB`."""
    root = tmp_path_factory.mktemp("documentation")
    data = make_tiny_data(root / "tiny", images_a_class=2)
    assert run(["import", "table", str(data.table), str(root / "DB")]) == 0
    assert run(["pack", str(root / "DB")]) == 0
    return root


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_the_documentation_run(
    example: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if "webdataset" in example:
        pytest.importorskip("webdataset")
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    exec(example, names)
    printed = capsys.readouterr().out.splitlines()
    if "print(" in example:
        assert len(printed) == 8
        assert all("jpg" in line for line in printed)
    else:
        assert names["pixels"].shape == (40, 40, 3)  # type: ignore[attr-defined]


def test_every_reason_is_documented() -> None:
    from mlimages.images.rejection import Reason

    assert [reason for reason in Reason if f"`{reason}`" not in TEXT] == []
