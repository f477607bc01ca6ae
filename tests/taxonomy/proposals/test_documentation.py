"""The tables and commands of docs/mapping.md work as shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.conftest import REPOSITORY

from mlimages.cli import run
from mlimages.taxonomy.mapping import read_label_map

TEXT = (REPOSITORY / "docs" / "mapping.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def block(start: str) -> str:
    (found,) = [text for text in BLOCKS if text.startswith(start)]
    return found


def test_the_commands_run_and_the_example_line_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("classes.tsv").write_text(block("key\tname"), encoding="utf-8")
    Path("class-descriptions.csv").write_text("/m/1,Dog\n", encoding="utf-8")
    Path("bbox_labels_600_hierarchy.json").write_text('{"LabelName": "/m/1"}', encoding="utf-8")
    Path("tags.csv").write_text("path,tags\na.jpg,2\n", encoding="utf-8")
    lines = (block("mlimages taxonomy map classes") + block("mlimages taxonomy map class-")).split(
        "\n"
    )
    for line in filter(None, lines):
        assert run(line.partition("#")[0].split()[1:]) == 0, line
    crane = Path("map.tsv").read_text(encoding="utf-8").splitlines()[1]
    assert crane.startswith("1\tn03126707\texact\t")
    for part in block("'crane'").strip().replace("...", "").split(";"):
        assert part.strip() in crane


def test_the_example_of_overrides_is_a_label_map(tmp_path: Path) -> None:
    path = tmp_path / "o.tsv"
    path.write_text(block("label\t"), encoding="utf-8")
    table = read_label_map(path)
    assert table.mappings["8"].wnids == ("n02084071", "n02121808")
    assert table.mappings["9"].wnids == ()
    assert table.mappings["10"].parent == "n03126707"
