from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.labels.exports.databases import Sample, build
from tests.labels.tiny import DOG, TAXONOMY

from mlimages.cli import run
from mlimages.labels.reading import ReadingBuilder

SAMPLE = Sample(facts={"first": [(DOG, True, 0.9, "asserted")]})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the databases one, same and other."""
    root = tmp_path_factory.mktemp("publication")
    build(root / "one", [SAMPLE, SAMPLE])
    build(root / "same", [SAMPLE, SAMPLE], order=-1)
    build(root / "other", [SAMPLE, Sample(facts={"first": [(DOG, True, 1.0, "asserted")]})])
    return root


def test_export_says_what_is_not_carried(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["export", "coco", str(root / "one"), str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "coco: 2 images with 6 tags in 5 files" in printed
    assert "not carried:\n  the rules that gave 4 tags\n" in printed
    assert run(["export", "coco", str(root / "one"), str(tmp_path / "out2"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert ["the rules that gave 4 tags", 4] in report["not_carried"]
    assert report["images"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tencent", "one", "out", "--sparse"], "--sparse: tencent does not use it; leave it out"),
        (["coco", "nowhere", "out"], "nowhere: no such folder"),
        (["coco", "one", "out", "--split", "trian"], "did you mean 'train'?"),
        (["coco", "one", "same"], "same: exists already; choose a new folder"),
        (["tfrecord", "one", "out"], "none of its images is packed; run: mlimages pack DB"),
        (["fiftyone", "one", "out"], "none of its images is a file on this machine; run: mli"),
    ],
)
def test_export_errors_are_one_line(
    arguments: list[str],
    message: str,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(root)
    assert run(["export", *arguments]) > 0
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not Path("out").exists()


def test_hash_prints_each_table(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["hash", str(root / "one")]) == 0
    text = capsys.readouterr().out
    assert run(["hash", str(root / "same"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert f"all labels  {found['hash']}" in text
    for entry in found["tables"]:
        assert entry["hash"] in text


def test_hash_compares_two_databases(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["hash", str(root / "one"), "--against", str(root / "same")]) == 0
    assert capsys.readouterr().out.endswith("the same labels\n")
    assert run(["hash", str(root / "one"), "--against", str(root / "other")]) == 1
    text = capsys.readouterr().out
    assert "facts:\n  img1_o: differs\n" in text
    assert text.endswith("different labels\n")
    arguments = ["hash", str(root / "one"), "--against", str(root / "other"), "--json"]
    assert run(arguments) == 1
    comparison = json.loads(capsys.readouterr().out)
    assert [d["table"] for d in comparison["differences"]] == ["facts", "tags"]


def test_hash_of_nothing_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["hash", str(tmp_path / "nowhere")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_check_looks_at_every_row(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(root / "one")]) == 0
    assert "tags follow  ok      6 tags follow" in capsys.readouterr().out


def test_an_incomplete_database_exports_what_is_asserted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlimages.database import Database

    builder = ReadingBuilder("first", "table")
    place = builder.add_image("list:1", None, "photo")
    assert place is not None
    builder.add_fact(place, DOG)
    Database.create_from(tmp_path / "DB", TAXONOMY, builder.build())
    out = str(tmp_path / "out")
    assert run(["export", "coco", str(tmp_path / "DB"), out]) == 1
    assert "--tags asserted" in capsys.readouterr().err
    assert run(["export", "coco", str(tmp_path / "DB"), out, "--tags", "asserted"]) == 0
