"""The commands and examples of the pages on statistics, quality and splits run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.conftest import REPOSITORY
from tests.pages.example import make_database, make_predictions

from mlimages.cli import run
from mlimages.labels.quality.contradictions import KINDS

TEXTS = {
    name: (REPOSITORY / "docs" / f"{name}.md").read_text(encoding="utf-8")
    for name in ("statistics", "quality", "splits")
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("documentation")
    make_predictions(make_database(root), root / "predictions.parquet")
    return root


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXTS[name], re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", list(TEXTS))
def test_the_commands_run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    lines = [line for block in blocks(name, "") for line in block.splitlines()]
    assert len(lines) >= 2
    for line in lines:
        program, *arguments = line.split()
        assert program == "mlimages"
        assert run(arguments) == 0, line


def test_the_python_example_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    for example in blocks("statistics", "python"):
        exec(example, {})
    assert capsys.readouterr().out.split()[-1] == "11"


def test_every_kind_of_contradiction_is_documented() -> None:
    assert [kind for kind in KINDS if f"| `{kind}` |" not in TEXTS["quality"]] == []
