"""Every command and example of docs/fetching.md runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import REPOSITORY
from tests.image_server import serving
from tests.images.fetching.worlds import database_of, photo

from mlimages.cli import run
from mlimages.database import Database
from mlimages.execution import run as execution

TEXT = (REPOSITORY / "docs" / "fetching.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]
EXAMPLES = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a database `DB` whose images are served."""
    files = {f"/{row}.jpg": photo(row) for row in range(6)}
    with serving(files) as server:
        database_of(tmp_path / "DB", [[server.url(path)] for path in files])
        monkeypatch.chdir(tmp_path)
        yield tmp_path


def test_the_commands_of_the_documentation_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ray has tests of its own; here two local processes do its work.
    monkeypatch.setattr(execution, "RayPool", lambda f, workers, *_: execution.LocalPool(f, 2))
    assert len(COMMANDS) == 9
    for line in COMMANDS:
        options = ["--allow-private-addresses"] if "ledger" not in line else []
        assert run([*line.split()[1:], *options]) == 0, line
    assert Database.open(folder / "DB").store.num_rows("shards/index") == 6


def test_the_example_of_the_documentation_runs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = EXAMPLES
    exec(example, {})
    assert capsys.readouterr().out.split() == ["6", "6", "1"]


def test_every_option_of_the_page_exists(capsys: pytest.CaptureFixture[str]) -> None:
    run(["fetch", "--help"])
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    assert set(re.findall(r"`(--[a-z-]+)", TEXT)) <= known
