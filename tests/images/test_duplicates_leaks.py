"""Photos of another set among a database's images: found, put aside, brought back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.conftest import missing
from tests.images.pictures import encode
from tests.images.test_duplicates_perceptual import contents, database, scene

from mlimages.cli import run
from mlimages.database import Database

__all__ = ["database"]


@pytest.fixture
def folder(tmp_path: Path, database: Path) -> Path:
    """A VOC folder: an exact copy, a smaller copy, a stranger, a mask and a damaged file."""
    photos = tmp_path / "VOC" / "JPEGImages"
    photos.mkdir(parents=True)
    (photos / "exact.jpg").write_bytes(Database.open(database).reader().read(3))
    (photos / "smaller.jpg").write_bytes(encode(scene(5).resize((90, 90)), quality=60))
    (photos / "stranger.jpg").write_bytes(encode(scene(77)))
    (photos / "cut.jpg").write_bytes(encode(scene(6))[:900])
    (photos / "notes.txt").write_text("no picture")
    masks = tmp_path / "VOC" / "SegmentationClass"
    masks.mkdir()
    (masks / "a4.png").write_bytes(encode(scene(4), "PNG"))  # not looked at
    return tmp_path / "VOC"


def test_leaks_are_found_put_aside_and_brought_back(
    database: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(database)
    command = ["duplicates", "leak", str(database), "--against", str(folder), "--json"]
    capsys.readouterr()
    assert run(command) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["images"], report["outside"], report["leaked"]) == (12, 3, 2)
    assert report["by_evidence"] == {"md5": 0, "bytes": 1, "perceptual": 1}
    assert (report["unreadable"], report["other_files"], report["put_aside"]) == (1, 1, 0)
    assert [(image, Path(path).name) for image, path, _ in report["first"]] == [
        ("a3", "exact.jpg"),
        ("a5", "smaller.jpg"),
    ]
    assert contents(database) == before

    out = tmp_path / "leaks"
    assert run([*command, "--remove", "--out", str(out)]) == 0
    db = Database.open(database)
    assert set(range(13)) - set(db.select().rows.tolist()) == {3, 5}
    lines = (out / "leaks.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["id", "a3", "a5"]
    shown = json.loads((out / "leaks.json").read_text())["shown"]
    assert [one["image"]["id"] for one in shown] == ["a5", "a3"]
    assert all((out / one["photo"]).is_file() for one in shown)
    assert run(command) == 0  # found again, and put aside once
    assert db.store.num_rows("leaks") == 2

    assert run(["duplicates", "leak", str(database), "--undo"]) == 0
    assert contents(database) == before


def test_leaks_stay_put_aside_when_duplicates_are_merged_and_unmerged(
    database: Path, folder: Path
) -> None:
    leak = ["duplicates", "leak", str(database), "--against", str(folder), "--remove"]
    assert run(leak) == 0
    for arguments in (["--perceptual"], ["--undo"]):
        assert run(["duplicates", str(database), *arguments]) == 0
        assert run(["complete", str(database)]) == 0
        assert not {3, 5} & set(Database.open(database).select().rows.tolist())


def test_another_database_can_be_the_other_set(
    database: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["path,tags"] + [f"{folder}/JPEGImages/{n}.jpg,n02084071" for n in ("exact", "smaller")]
    (tmp_path / "other.csv").write_text("\n".join(lines) + "\n")
    other = tmp_path / "OTHER"
    assert run(["import", "table", str(tmp_path / "other.csv"), str(other)]) == 0
    assert run(["pack", str(other)]) == 0
    held = contents(other)
    capsys.readouterr()
    assert run(["duplicates", "leak", str(database), "--against", str(other), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [(image, outside) for image, outside, _ in report["first"]] == [
        ("a3", "exact"),
        ("a5", "smaller"),
    ]
    assert contents(other) == held
    assert Database.open(other).store.num_rows("hashes") == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--against"),
        (["--against", "nowhere"], "no such file or folder"),
        (["--against", "DIR", "--undo"], "--undo alone"),
        (["--against", "DIR", "--split", "tarin"], "no such split"),
    ],
)
def test_bad_requests_are_one_line(
    options: list[str],
    message: str,
    database: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = [str(folder) if option == "DIR" else option for option in options]
    capsys.readouterr()
    assert run(["duplicates", "leak", str(database), *options]) != 0
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_real_photos_made_smaller_are_found_among_others(
    tmp_path: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    photos = shared_data / "voc2012" / "VOCdevkit"
    if not photos.is_dir():
        missing("no VOC photos")
    db, test = tmp_path / "DB", tmp_path / "test"
    assert run(["import", "voc", str(photos), str(db)]) == 0
    assert run(["pack", str(db)]) == 0
    test.mkdir()
    chosen = sorted(photos.rglob("JPEGImages/*.jpg"))[:15]
    for path in chosen:
        small = Image.open(path).resize((250, 180))
        (test / path.name).write_bytes(encode(small, quality=60))
    capsys.readouterr()
    line = ["duplicates", "leak", str(db), "--against", str(test), "--json", "--split"]
    found = set()
    for split in ("train", "validation"):
        assert run([*line, split]) == 0
        report = json.loads(capsys.readouterr().out)
        found |= {(image.lower(), Path(path).stem.lower()) for image, path, _ in report["first"]}
        assert report["leaked"] == len(report["first"]) or report["leaked"] > 10
    assert len(found) >= 10
    assert all(image.endswith(name) for image, name in found)
