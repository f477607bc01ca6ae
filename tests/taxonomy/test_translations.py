"""Names in other languages: read, shown and looked up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlimages.cli import run
from mlimages.errors import InputError, UnknownCategoryError
from mlimages.taxonomy.translations import NAMES_HEADER, read_translations

ROWS = ["n02084071\tde\tHund", "n02084071\tfr\tchien", "n02084071\tde\tKöter"]


def written(path: Path, *rows: str) -> Path:
    path.write_text("\n".join([NAMES_HEADER, *rows]) + "\n", encoding="utf-8")
    return path


def test_names_are_grouped_by_key_and_language(tmp_path: Path) -> None:
    names = read_translations(written(tmp_path / "n.tsv", *ROWS))
    assert names.of("n02084071") == {"de": ("Hund", "Köter"), "fr": ("chien",)}
    assert names.text("n02084071") == "de: Hund, Köter; fr: chien"
    assert (names.of("n1"), names.text("n1")) == ({}, "")


def test_a_name_is_found_in_any_case_unless_several_keys_have_it(tmp_path: Path) -> None:
    names = read_translations(written(tmp_path / "n.tsv", *ROWS, "own:x\tsv\thund"))
    assert names.find("KÖTER") == "n02084071"
    assert names.find("Katze") is None
    with pytest.raises(UnknownCategoryError, match="name of 2 keys; give a key: n02084071, own:x"):
        names.find("hund")


@pytest.mark.parametrize("row", ["n1\t\tHund", "\tde\tHund", "n1\tde\t ", "n1\tde"])
def test_a_wrong_line_is_named(tmp_path: Path, row: str) -> None:
    with pytest.raises(InputError, match=r"n\.tsv:2: "):
        read_translations(written(tmp_path / "n.tsv", row))


def test_a_category_is_shown_by_its_name_in_another_language(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(written(tmp_path / "n.tsv", *ROWS))
    assert run(["taxonomy", "show", "Hund", "--names", path, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["key"] == "n02084071"
    assert result["other_names"] == {"de": ["Hund", "Köter"], "fr": ["chien"]}
    assert run(["taxonomy", "show", "dog", "--names", path]) == 0
    assert "  de: Hund, Köter\n  fr: chien\n" in capsys.readouterr().out
