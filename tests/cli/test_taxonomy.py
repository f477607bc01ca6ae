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
    assert run(["taxonomy", "export", str(out), "--dictionary", str(bad)]) == 1
    output = capsys.readouterr()
    assert output.err.startswith(f"error: {bad}")
    assert output.err.count("\n") == 1
    assert words in output.err
    assert output.out == ""
    assert not out.exists()
    assert run(["taxonomy", "check", str(bad)]) == 1
    output = capsys.readouterr()
    assert words in output.out
    assert output.err.startswith(f"error: {bad}: ")
    assert output.err.count("\n") == 1


def test_check_lists_every_fault_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.tsv"
    bad.write_text(f"{HEADER}\n0\town:a\t7\ta\n1\tdog\t0\t\n3\town:c\t-1\tc\n")
    assert run(["taxonomy", "check", str(bad), "--json"]) == 1
    output = capsys.readouterr()
    faults = json.loads(output.out)["faults"]
    assert [(fault["line"], fault["kind"]) for fault in faults] == [
        (2, "dangling_parent"),
        (3, "id"),
        (3, "name"),
        (4, "gap"),
    ]
    assert "4 faults, the first on line 2" in output.err


def test_check_counts_and_names_what_the_released_forest_loses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    released = tmp_path / "released.tsv"
    run(["taxonomy", "export", str(released)])
    capsys.readouterr()
    assert run(["taxonomy", "check", str(released), "--json", "--include-sensitive"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["pairs_lost_by_forest"], shown["wordnet_pairs"]) == (4_849, 88_196)
    assert (shown["parents_outside_wordnet"], shown["parents_after_child"]) == (6, 1)
    assert (shown["shared_names"], shown["name_repeats"]) == (262, 293)
    assert shown["parents_as_derived"] == 10_224
    for name in ("pairs_lost_by_forest", "parents_outside_wordnet", "shared_names"):
        assert len(shown["named"][name]) == shown[name]
    assert len(shown["named"]["parents_otherwise"]) == sum(shown["parents_otherwise"].values())
    assert shown["named"]["parents_after_child"] == [
        {"category": "n07935504 water", "parent": "n14939445 fluid"}
    ]
    assert run(["taxonomy", "check", str(released), "--list"]) == 0
    listed = capsys.readouterr().out
    assert "n07935504 water  n14939445 fluid" in listed
    assert "with sensitive ones (--include-sensitive)" in listed
    assert "n09831962" not in listed  # bad person


def test_build_show_and_diff_go_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts, names, out = tmp_path / "counts.csv", tmp_path / "names.tsv", tmp_path / "out"
    counts.write_text("synid,class_name,urls\nn02084071,dog,900\nn02114100,wolf,900\n")
    names.write_text("key\tlanguage\tname\nn02084071\tde\tHund\n")
    edits = tmp_path / "edits.tsv"
    edits.write_text("action\tkey\tinto\tnote\n")
    command = ["taxonomy", "build", str(out), "--imagenet", str(counts), "--names", str(names)]
    assert run([*command, "--edits", str(edits), "--json"]) == 0
    built = json.loads(capsys.readouterr().out)
    assert built["categories"] == 4  # canine, and animal, where the dog's other way up comes in
    assert run(["taxonomy", "show", "dog", "--dictionary", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "de: Hund" in shown
    assert "imagenet n02084071: 900 images" in shown
    assert f"version {built['version']}" in shown
    assert run(["taxonomy", "diff", str(out), str(out)]) == 0
    assert capsys.readouterr().out == f"the same: {built['version']}\n"
    released = tmp_path / "released.tsv"
    run(["taxonomy", "export", str(released)])
    capsys.readouterr()
    assert run(["taxonomy", "diff", str(released), str(out)]) == 0
    assert "removed: 10," in capsys.readouterr().out
    assert run([*command, "--json"]) == 1  # the folder is there
    assert "exists already" in capsys.readouterr().err


def test_a_build_without_sources_is_one_line_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["taxonomy", "build", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_category_is_one_line_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["taxonomy", "show", "dalmatan"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "did you mean 'dalmatian'?" in error
