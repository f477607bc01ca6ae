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


COMMANDS = re.findall(
    r"^mlimages (.*)$",
    "".join(re.findall(r"^```sh\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)),
    re.MULTILINE,
)
OPTIONS = re.findall(r"^\| `(--[^`]*)` \|", TEXT, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_documentation_run(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert run(command.split()) == 0


@pytest.mark.parametrize("options", OPTIONS)
def test_the_options_of_the_documentation_are_taken(options: str, tmp_path: Path) -> None:
    data = make_tiny_data(tmp_path / "tiny", images_a_class=1)
    assert run(["import", "table", str(data.table), str(tmp_path / "DB")]) == 0
    assert run(["pack", str(tmp_path / "DB"), *options.split()]) == 0
    if "side" in options:
        from mlimages.database import Database

        # The tiny photos are squares: each mode gives one of 256 x 256.
        assert Database.open(tmp_path / "DB").reader().image(0).shape == (256, 256, 3)


def test_commands_and_options_are_found_in_the_documentation() -> None:
    assert len(COMMANDS) == 4
    assert len(OPTIONS) == 7


def test_every_reason_is_documented() -> None:
    from mlimages.images.rejection import Reason

    assert [reason for reason in Reason if f"`{reason}`" not in TEXT] == []
