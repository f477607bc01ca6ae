"""Hashes made on several workers, or part by part, are those made at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import REPOSITORY
from tests.labels.tiny import TAXONOMY
from tests.tiny import make_tiny_data

from mlimages.cli import run
from mlimages.database import Database
from mlimages.errors import DatabaseError
from mlimages.execution.parts import Part
from mlimages.labels.sources import table


@pytest.fixture
def db(tmp_path: Path) -> Database:
    """Four partitions, packed, with tags."""
    data = make_tiny_data(tmp_path / "tiny", images_a_class=4)
    assert run(["import", "table", str(data.table), str(tmp_path / "first")]) == 0
    taxonomy = Database.open(tmp_path / "first").taxonomy
    database = Database.create(tmp_path / "DB", taxonomy, partition_rows=5)
    database.add(table.read(data.table, taxonomy))
    database.complete()
    database.pack()
    database.split(0.25)
    return database


def test_several_workers_give_the_same_hash(db: Database) -> None:
    assert db.hash(workers=2) == db.hash()


def test_an_empty_database_has_the_same_hash_in_parts(tmp_path: Path) -> None:
    db = Database.create(tmp_path / "DB", TAXONOMY)
    db.parts.hash(Part(1, 1))
    assert db.parts.merge_hash() == db.hash()


def test_parts_in_processes_of_their_own_then_merged_equal_the_single_run(
    db: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("2/3", "3/3", "1/3"):
        command = [sys.executable, "-m", "mlimages", "hash", str(db.root), "--part", part]
        subprocess.run(command, check=True, cwd=REPOSITORY)
    assert run(["hash", str(db.root), "--merge", "--json"]) == 0
    merged = json.loads(capsys.readouterr().out)
    assert run(["hash", str(db.root), "--json"]) == 0
    assert merged == json.loads(capsys.readouterr().out)
    assert list((db.root / "staging").iterdir()) == []


def test_a_missing_part_is_named(db: Database, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DatabaseError, match="no part of hash was run"):
        db.parts.merge_hash()
    for part in (Part(1, 4), Part(3, 4)):
        db.parts.hash(part)
    assert run(["hash", str(db.root), "--merge"]) == 1
    error = capsys.readouterr().err
    assert "parts 2/4, 4/4 of hash missing; run: mlimages hash" in error
    assert error.strip().endswith("--part 2/4")


def test_parts_of_another_generation_are_refused(db: Database) -> None:
    db.parts.hash(Part(1, 2))
    db.split(0.5)
    db.parts.hash(Part(2, 2))
    with pytest.raises(DatabaseError, match="has changed since part 1/2"):
        db.parts.merge_hash()
    db.parts.hash(Part(1, 2))
    assert db.parts.merge_hash() == db.hash()


def test_two_divisions_are_not_mixed(db: Database) -> None:
    db.parts.hash(Part(1, 2))
    db.parts.hash(Part(2, 3))
    with pytest.raises(DatabaseError, match="divided by 2 and by 3"):
        db.parts.merge_hash()


def test_an_interrupted_part_goes_on_with_its_next_block(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlimages.labels.hashing import dividing

    written: list[Path] = []
    write = dividing.write_bytes

    def third_fails(path: Path, data: bytes) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(path)
        write(path, data)

    monkeypatch.setattr(dividing, "write_bytes", third_fails)
    with pytest.raises(KeyboardInterrupt):
        db.parts.hash(Part(1, 1))
    with pytest.raises(DatabaseError, match="part 1/1 of hash not finished"):
        db.parts.merge_hash()
    monkeypatch.undo()
    assert db.parts.hash(Part(1, 1)).done_before == 3
    assert db.parts.merge_hash() == db.hash()


def test_a_lost_result_is_named(db: Database) -> None:
    db.parts.hash(Part(1, 1))
    (db.root / "staging" / "hash-1-of-1" / "facts-00002.digests").unlink()
    with pytest.raises(DatabaseError, match="facts-00002"):
        db.parts.merge_hash()


@pytest.mark.parametrize("options", ["--part 1/2 --merge", "--against X --part 1/2", "--part 3/2"])
def test_options_that_do_not_go_together_are_refused(
    options: str, db: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["hash", str(db.root), *options.split()]) != 0
    assert capsys.readouterr().err.startswith("error: ")
