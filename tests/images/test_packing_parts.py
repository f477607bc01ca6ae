"""Packing part by part ends with the shards of a single run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import REPOSITORY
from tests.images.databases import SETTINGS, database_of, shard_files, stored, write_photos
from tests.object_store import served_bucket

from mlimages.cli import run
from mlimages.database import Database
from mlimages.errors import DatabaseError
from mlimages.execution.parts import Part
from mlimages.images.packing import dividing
from mlimages.images.packing.settings import PackSettings
from mlimages.storage import located

OPTIONS = ["--block-rows", "8", "--workers", "1"]


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """37 photos, of which one is damaged and one is not there."""
    found = write_photos(tmp_path / "photos", 37)
    found[11].write_bytes(b"no photo")
    return [*found, tmp_path / "nowhere"]


@pytest.fixture
def whole(photos: list[Path], tmp_path: Path) -> Database:
    """What a single run makes of them."""
    database = database_of(tmp_path / "whole", photos)
    database.pack(SETTINGS, workers=1)
    return database


def assert_same(ours: Database, theirs: Database) -> None:
    assert ours.check().passed
    assert shard_files(ours) == shard_files(theirs)
    for name in ("shards/index", "rejects"):
        columns = [(column, "ascending") for column in ours.store.table(name).column_names]
        assert ours.store.table(name).sort_by(columns) == theirs.store.table(name).sort_by(columns)


def test_parts_in_any_order_then_merged_equal_the_single_run(
    photos: list[Path], whole: Database, tmp_path: Path
) -> None:
    db = database_of(tmp_path / "DB", photos)
    for index in (3, 1, 2):
        assert db.parts.pack(Part(index, 3), SETTINGS, workers=1).tasks in (1, 2)
        assert not db.store.entries("shards")
    report = db.parts.merge_pack()
    assert (report.packed, report.rejected) == (36, 2)
    assert_same(db, whole)
    assert list((tmp_path / "DB" / "staging").iterdir()) == []


def test_parts_by_commands_of_their_own_equal_the_single_run(
    photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = (database_of(tmp_path / name, photos) for name in ("here", "there"))
    assert run(["pack", str(here.root), *OPTIONS]) == 0
    for part in ("1/3", "2/3", "3/3"):
        options = [*OPTIONS, "--part", part]
        command = [sys.executable, "-m", "mlimages", "pack", str(there.root), *options]
        subprocess.run(command, check=True, cwd=REPOSITORY)
    capsys.readouterr()
    assert run(["pack", str(there.root), "--merge", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["packed"] == 36
    assert_same(Database.open(there.root), Database.open(here.root))


def test_a_missing_part_is_named(photos: list[Path], tmp_path: Path) -> None:
    db = database_of(tmp_path / "DB", photos)
    db.parts.pack(Part(2, 3), SETTINGS, workers=1)
    with pytest.raises(DatabaseError, match=r"parts 1/3, 3/3 of pack missing; run: .*--part 1/3"):
        db.parts.merge_pack()
    assert not db.store.num_rows("shards/index")


def test_a_killed_part_goes_on_and_leaves_nothing_over(
    photos: list[Path], whole: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = database_of(tmp_path / "DB", photos)
    mark = dividing.PartFolder.mark

    def die_at_block_2(folder: dividing.PartFolder, task: str, result: object) -> None:
        if task == "2":
            raise KeyboardInterrupt  # its shards are there, and count for nothing
        mark(folder, task, result)

    monkeypatch.setattr(dividing.PartFolder, "mark", die_at_block_2)
    with pytest.raises(KeyboardInterrupt):
        db.parts.pack(Part(1, 1), SETTINGS, workers=1)
    with pytest.raises(DatabaseError, match="part 1/1 of pack not finished"):
        db.parts.merge_pack()
    monkeypatch.undo()
    report = db.parts.pack(Part(1, 1), SETTINGS, workers=1)
    assert (report.tasks, report.done_before) == (5, 2)
    db.parts.merge_pack()
    assert_same(db, whole)


def test_a_merge_killed_after_its_commit_is_completed_by_the_next(
    photos: list[Path], whole: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = database_of(tmp_path / "DB", photos)
    for index in (1, 2):
        db.parts.pack(Part(index, 2), SETTINGS, workers=1)

    def die(folder: dividing.PartFolder) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dividing.PartFolder, "remove", die)
    with pytest.raises(KeyboardInterrupt):
        db.parts.merge_pack()
    monkeypatch.undo()
    db = Database.open(db.root)
    db.parts.merge_pack()
    assert_same(db, whole)
    assert list((tmp_path / "DB" / "staging").iterdir()) == []


def test_a_merge_killed_before_its_commit_changes_nothing(
    photos: list[Path], whole: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = database_of(tmp_path / "DB", photos)
    db.parts.pack(Part(1, 1), SETTINGS, workers=1)
    adopt, calls = dividing.adopt, []

    def die(commit: object, shard: object) -> None:
        calls.append(adopt(commit, shard))  # type: ignore[arg-type]
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(dividing, "adopt", die)
    with pytest.raises(KeyboardInterrupt):
        db.parts.merge_pack()
    monkeypatch.undo()
    assert not Database.open(db.root).store.num_rows("shards/index")
    assert not list((tmp_path / "DB" / "shards").glob("*.tar"))
    db.parts.merge_pack()
    assert_same(db, whole)


def test_parts_are_of_use_only_for_the_database_they_saw(
    photos: list[Path], tmp_path: Path
) -> None:
    db = database_of(tmp_path / "DB", photos)
    db.parts.pack(Part(1, 1), SETTINGS, workers=1)
    db.pack(SETTINGS, workers=1)
    before = stored(db)
    with pytest.raises(DatabaseError, match="has changed since part 1/1"):
        db.parts.merge_pack()
    assert stored(Database.open(db.root)) == before


def test_parts_of_different_forms_are_not_mixed(photos: list[Path], tmp_path: Path) -> None:
    db = database_of(tmp_path / "DB", photos)
    db.parts.pack(Part(1, 2), SETTINGS, workers=1)
    db.parts.pack(Part(2, 2), PackSettings(shard_bytes=20_000, block_rows=8), workers=1)
    with pytest.raises(DatabaseError, match="had different options"):
        db.parts.merge_pack()


def test_images_that_are_packed_already_are_in_no_part(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 30)
    db = database_of(tmp_path / "DB", photos[:12])
    db.pack(SETTINGS, workers=1)
    database_of(tmp_path / "DB", photos[12:], start=12)
    db = Database.open(db.root)
    for index in (1, 2):
        db.parts.pack(Part(index, 2), workers=1)
    report = db.parts.merge_pack()
    assert (report.packed, report.already_packed) == (18, 12)
    assert sorted(stored(db)) == list(range(30))
    assert db.check().passed


def test_parts_in_an_object_store_equal_the_single_run(photos: list[Path], whole: Database) -> None:
    with served_bucket() as address:
        db = database_of(located(f"{address}/DB"), photos)
        for index in (2, 1):
            db.parts.pack(Part(index, 2), SETTINGS, workers=1)
        assert db.parts.merge_pack().packed == 36
        assert stored(db) == stored(whole)
        for index in (2, 1):
            db.parts.hash(Part(index, 2))
        assert db.parts.merge_hash() == whole.hash()
        assert list((db.root / "staging").glob("*")) == []
