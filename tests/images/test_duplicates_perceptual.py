"""Copies of a photo in another size, quality, crop or position: found, merged, undone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from tests.images.pictures import encode

from mlimages.cli import run
from mlimages.database import Database
from mlimages.images.duplicates.confirmation import Threshold, compare_looks, looks_of
from mlimages.images.duplicates.fingerprints import (
    POSITIONS,
    TURNING,
    fingerprint,
    fingerprint_of,
)
from mlimages.images.duplicates.hashing import FEWEST_SURE
from mlimages.images.duplicates.perceptual import Confirmed, clusters
from mlimages.schemas import HASHES

DOG, CAT, BOAT = "n02084071", "n02121620", "n02858304"


def scene(seed: int, side: int = 160) -> Image.Image:
    """A picture with structure of many sizes."""
    generator = np.random.default_rng(seed)
    total = np.zeros((side, side, 3))
    for cells in (3, 6, 12, 24):
        coarse = generator.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        resized = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
        total += np.array(resized) / cells
    low, high = total.min(), total.max()
    return Image.fromarray(((total - low) / (high - low) * 255).astype(np.uint8))


def word(value: int) -> np.ndarray:
    return np.array([value], np.uint64)


@pytest.mark.parametrize("position", list(POSITIONS))
def test_the_hash_of_a_turned_picture_follows_from_that_of_the_picture(position: str) -> None:
    picture = np.array(scene(1).resize((150, 120)).convert("L"))
    turned = np.ascontiguousarray(TURNING[position](picture))
    expected = fingerprint_of(turned).perceptual
    found = POSITIONS[position](word(fingerprint_of(picture).perceptual))[0]
    assert int(np.bitwise_count(found ^ np.uint64(expected))) <= 1  # rounding of a coefficient
    assert expected != fingerprint_of(picture).perceptual


def test_a_flat_picture_has_no_sure_bits() -> None:
    grey = np.full((90, 70, 3), 128, np.uint8)
    assert fingerprint(encode(grey)).sure == 0
    assert fingerprint(encode(scene(2))).sure >= FEWEST_SURE


def test_the_same_photo_is_told_from_another_one() -> None:
    photo = scene(3)
    small, crop = photo.resize((80, 80)), photo.crop((8, 4, 156, 152))
    copies = [encode(small), encode(crop), encode(photo.convert("L")), encode(photo, quality=30)]
    first = [looks_of(encode(photo))] * 4
    assert compare_looks(first, [looks_of(one) for one in copies]).passed(Threshold()).all()
    others = [looks_of(encode(scene(seed))) for seed in range(10, 14)]
    assert not compare_looks(first, others).passed(Threshold()).any()
    swapped = Image.merge("RGB", photo.split()[::-1])  # the same shapes in other colours
    assert not compare_looks(first[:1], [looks_of(encode(swapped))]).passed(Threshold()).any()


def test_nothing_is_joined_by_a_chain() -> None:
    # 0 is like 1, 1 like 2, 2 like 3; 0 is the best.
    pairs = np.array([[1, 2, 3], [0, 1, 2]], np.int32)
    zeros = np.zeros(3)
    found = list(clusters(Confirmed(pairs, zeros, zeros, zeros)))  # type: ignore[arg-type]
    assert [(member.place, member.kept) for member in found] == [(1, 0), (3, 2)]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Ten photos; copies of three are in validation or under another category."""
    folder = tmp_path / "photos"
    folder.mkdir()
    lines = ["path,tags,split"]

    def add(name: str, image: Image.Image, tag: str, split: str, **options: int) -> None:
        (folder / name).write_bytes(encode(image, **options))
        lines.append(f"photos/{name},{tag},{split}")

    for seed in range(10):
        add(f"a{seed}.jpg", scene(seed), DOG, "train", quality=95)
    add("b0.jpg", scene(0).resize((100, 100)), CAT, "train")
    add("b1.jpg", scene(1).crop((4, 4, 160, 160)), DOG, "validation")
    add("b2.jpg", scene(2).transpose(Image.Transpose.FLIP_LEFT_RIGHT), BOAT, "train")
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    db = tmp_path / "DB"
    assert run(["import", "table", str(tmp_path / "table.csv"), str(db)]) == 0
    assert run(["complete", str(db)]) == 0
    assert run(["pack", str(db)]) == 0
    return db


def contents(db: Path) -> dict[str, list]:
    store = Database.open(db).store
    names = ("images", "facts", "splits", "duplicates", "leaks", "shards/index", "rejects")
    return {name: sorted(map(str, store.table(name).to_pylist())) for name in names}


def test_near_copies_are_merged_and_one_undo_brings_all_back(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(database)
    capsys.readouterr()
    assert run(["duplicates", str(database), "--perceptual", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["by_evidence"] == {"md5": 0, "bytes": 0, "perceptual": 2}
    assert sorted(report["first_groups"]) == [["a0", "b0"], ["a1", "b1"]]
    assert report["across_splits"] == {"train and validation": 1}
    assert report["first_across_splits"] == [["a1", "b1"]]
    assert report["facts_added"] == 1  # the cat
    assert report["searched"]["hashed"] == 13
    db = Database.open(database)
    assert db.store.num_rows("hashes") == 13
    for record in db.store.table("duplicates").to_pylist():
        assert record["likeness"] >= 0.92
        assert record["distance"] <= 25
    assert run(["complete", str(database)]) == 0
    assert Database.open(database).check().passed
    assert run(["duplicates", str(database), "--undo"]) == 0
    assert contents(database) == before


def test_a_mirrored_copy_is_found_when_asked_for(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["duplicates", str(database), "--perceptual", "--turned", "mirrored"]) == 0
    found = Database.open(database).store.table("duplicates")
    positions = {record["row"]: record["position"] for record in found.to_pylist()}
    assert positions == {10: None, 11: None, 12: "mirrored"}


def test_images_are_hashed_once_and_again_when_their_bytes_are_new(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlimages.images.duplicates import hashing

    db, asked = Database.open(database), []
    work = hashing.hash_rows

    def watched(reader, rows, threads=None):  # type: ignore[no-untyped-def]
        asked.append(rows.tolist())
        return work(reader, rows, threads)

    monkeypatch.setattr(hashing, "hash_rows", watched)
    assert hashing.update_hashes(db.store, db.reader()) == 13
    assert hashing.update_hashes(db.store, db.reader()) == 0
    with db.store.commit("test") as commit:
        stale = commit.table("hashes").to_pylist()
        stale[4]["crc32"] ^= 1
        commit.replace("hashes", pa.Table.from_pylist(stale, schema=HASHES), 0)
    assert hashing.update_hashes(db.store, db.reader()) == 1
    assert asked == [list(range(13)), [4]]


def test_the_page_shows_the_groups_and_hides_sensitive_ones(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("jinja2")
    command = ["duplicates", str(database), "--perceptual", "--out"]
    assert run([*command, str(tmp_path / "page")]) == 0
    page = (tmp_path / "page" / "index.html").read_text()
    assert "in train and validation" in page
    assert "most pixels" in page
    shown = json.loads((tmp_path / "page" / "duplicates.json").read_text())
    assert [group["kept"]["id"] for group in shown["groups"]] == ["a1", "a0"]
    assert len(list((tmp_path / "page" / "photos").iterdir())) == 4
    db = Database.open(database)
    with db.store.commit("test") as commit:
        categories = commit.table("categories").to_pylist()
        for record in categories:
            record["sensitive"] = record["key"] == CAT
        commit.replace("categories", pa.Table.from_pylist(categories))
    assert run([*command, str(tmp_path / "hidden")]) == 0
    shown = json.loads((tmp_path / "hidden" / "duplicates.json").read_text())
    assert [group["kept"]["id"] for group in shown["groups"]] == ["a1"]
    assert shown["hidden_sensitive"] == 1
    assert run([*command, str(tmp_path / "all"), "--include-sensitive"]) == 0
    shown = json.loads((tmp_path / "all" / "duplicates.json").read_text())
    assert len(shown["groups"]) == 2


@pytest.mark.parametrize("radius", ["-1", "21"])
def test_a_radius_out_of_range_is_one_line(
    radius: str, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(database)
    capsys.readouterr()
    assert run(["duplicates", str(database), "--perceptual", f"--radius={radius}"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert contents(database) == before
