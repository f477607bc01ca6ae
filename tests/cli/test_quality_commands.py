"""`mlimages split`, `quality` and `duplicates`, as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.labels.sources.writing import write
from tests.labels.tiny import TAXONOMY

from mlimages.cli import run
from mlimages.database import Database
from mlimages.taxonomy.dictionary import write_dictionary


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Forty images of two sources; the last ten are a test split."""
    write_dictionary(TAXONOMY, tmp_path / "nine.tsv")
    names = [f"{'dog' if i % 2 else 'cat road'}" for i in range(40)]
    lines = [f"image{i},{name}" for i, name in enumerate(names)]
    first = write(tmp_path / "first.csv", "\n".join(["id,tags", *lines[:30]]) + "\n")
    second = write(tmp_path / "second.csv", "\n".join(["id,tags", *lines[30:]]) + "\n")
    db = tmp_path / "DB"
    for line in (
        f"import table {first} {db} --source first --dictionary {tmp_path / 'nine.tsv'}",
        f"import table {second} {db} --source second --split test",
        f"complete {db}",
    ):
        assert run(line.split()) == 0
    return db


def splits_of(db: Path) -> dict[int, str]:
    table = Database.open(db).store.table("splits")
    return dict(zip(table["row"].to_pylist(), table["split"].to_pylist(), strict=True))


def test_a_split_replaces_the_one_before_in_one_commit(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Database.open(database).store.manifest.generation
    capsys.readouterr()
    assert run(f"split {database} --validation 0.2 --json".split()) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["train"], report["validation"], report["untouched"]) == (24, 6, 10)
    assert Database.open(database).store.manifest.generation == before + 1
    first = splits_of(database)
    assert len(Database.open(database).select("validation", packed=False)) == 6
    assert all(first[row] == "test" for row in range(30, 40))
    assert run(f"split {database} --validation 0.2 --seed 3".split()) == 0
    assert "random" in capsys.readouterr().out
    assert splits_of(database) != first
    assert run(f"split {database} --validation 0.2".split()) == 0
    assert splits_of(database) == first


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("split {db} --validation 0.9", ["validation", "0.5"]),
        ("split {db} --validation 0.1 --keep frist", ["frist", "did you mean 'first'"]),
        ("split {db}", ["--validation"]),
        ("quality {db} --limit 0", ["limit"]),
        ("quality {db} --predictions {root}/first.csv", ["first.csv", "Parquet"]),
        ("duplicates {root}/none", ["none", "no such folder"]),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(
    database: Path, tmp_path: Path, line: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = (database / "database.json").read_bytes()
    capsys.readouterr()
    assert run(line.format(root=tmp_path, db=database).split()) in (1, 2)
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert all(word in error for word in words), error
    assert (database / "database.json").read_bytes() == before


@pytest.mark.parametrize("command", ["split {db} --validation 0.1", "quality {db}"])
def test_old_tags_are_refused(
    database: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    late = write(tmp_path / "late.csv", "id,tags\nlate,car\n")
    assert run(f"import table {late} {database} --source late".split()) == 0
    assert run(command.format(db=database).split()) == 1
    assert "mlimages complete" in capsys.readouterr().err


def test_duplicates_of_a_database_without_bytes_are_none(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(["duplicates", str(database)]) == 0
    assert "40 images = 40 left + 0 that another stands for" in capsys.readouterr().out
    assert run(["quality", str(database)]) == 0  # the tags are as current as before
    assert "0 contradictions on 0 images" in capsys.readouterr().out
