"""`mlimages taxonomy`: what is printed, written and refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlimages.cli import run
from mlimages.taxonomy.dictionary import HEADER


def test_show_prints_names_gloss_and_paths(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["taxonomy", "show", "computer mouse"]) == 0
    shown = capsys.readouterr().out
    assert "mouse, computer mouse" in shown
    assert "n03793489, index 3503" in shown
    assert "instrumentality > device > electronic device > mouse" in shown


def test_show_json_holds_paths_and_children(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["taxonomy", "show", "n02084071", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["index"] == 6912
    assert shown["sensitive"] is False
    assert shown["paths"]["tencent"][0][-2:] == ["n02083346", "n02084071"]
    assert "n02113335" in shown["children"]["wordnet"]


def test_sensitive_children_are_listed_only_when_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(["taxonomy", "show", "n00007846", "--json"])
    hidden = json.loads(capsys.readouterr().out)
    run(["taxonomy", "show", "n00007846", "--json", "--include-sensitive"])
    shown = json.loads(capsys.readouterr().out)
    for mode in ("tencent", "wordnet"):
        missing = len(shown["children"][mode]) - len(hidden["children"][mode])
        assert missing == hidden["sensitive_children_hidden"][mode] > 0
        assert "n09831962" not in hidden["children"][mode]  # bad person
    run(["taxonomy", "show", "n00007846"])
    assert "sensitive ones (--include-sensitive)" in capsys.readouterr().out


def test_export_and_check_round_trip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "first.tsv", tmp_path / "second.tsv"
    assert run(["taxonomy", "export", str(first)]) == 0
    assert run(["taxonomy", "export", str(second), "--dictionary", str(first)]) == 0
    assert first.read_bytes() == second.read_bytes()
    capsys.readouterr()
    assert run(["taxonomy", "check", str(second), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tree_sizes"] == [67, 1046, 10038, 15]
    assert run(["taxonomy", "check", str(second)]) == 0
    assert "4, of 67, 1,046, 10,038, 15 categories" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"{HEADER}\n0\town:a\t1\ta\n1\town:b\t0\tb\n", "cycle own:a (line 2) -> own:b (line 3)"),
        (f"{HEADER}\n0\town:a\t1\ta\n", ":2: parent 1 is out of range"),
        ("a list of my cats\n", ":1: not the expected header"),
    ],
)
def test_a_bad_dictionary_is_one_line_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, words: str
) -> None:
    bad, out = tmp_path / "bad.tsv", tmp_path / "out.tsv"
    bad.write_text(content, encoding="utf-8")
    for command in (["check", str(bad)], ["export", str(out), "--dictionary", str(bad)]):
        assert run(["taxonomy", *command]) == 1
        output = capsys.readouterr()
        assert output.err.startswith(f"error: {bad}")
        assert output.err.count("\n") == 1
        assert words in output.err
        assert output.out == ""
    assert not out.exists()


def test_an_unknown_category_is_one_line_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["taxonomy", "show", "dalmatan"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "did you mean 'dalmatian'?" in error
