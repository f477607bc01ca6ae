"""`mlimages import`, `complete`, `statistics` and `explain`, as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.labels.sources.writing import write
from tests.labels.tiny import CAR, KEYS, ROAD, TAXONOMY

from mlimages.cli import run
from mlimages.database import Database
from mlimages.errors import DatabaseError
from mlimages.schemas import PREDICTIONS
from mlimages.taxonomy.dictionary import write_dictionary


@pytest.fixture
def dictionary(tmp_path: Path) -> Path:
    write_dictionary(TAXONOMY, tmp_path / "nine.tsv")
    return tmp_path / "nine.tsv"


@pytest.fixture
def database(tmp_path: Path, dictionary: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Three photos of cars from an ImageNet, and a table of two photos."""
    for number in range(3):
        write(tmp_path / "train" / KEYS[CAR] / f"car_{number}.jpg")
    table = write(tmp_path / "tags.csv", "id,tags\nstreet,car road\ncafe,dog zebra\nlost,zebra\n")
    db = tmp_path / "DB"
    assert run(f"import imagenet {tmp_path / 'train'} {db} --dictionary {dictionary}".split()) == 0
    assert run(f"import table {table} {db} --source mine --split validation".split()) == 0
    capsys.readouterr()
    return db


def printed(capsys: pytest.CaptureFixture[str], line: str) -> dict:
    assert run([*line.split(), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_import_reports_counts_that_reconcile_and_names_rejects(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"import table {tmp_path / 'tags.csv'} {database} --source again".split()) == 0
    shown = capsys.readouterr().out
    assert "again: 3 read = 2 kept + 1 rejected; 0 images are new, 2 known" in shown
    assert "1 broken annotations in images that were kept" in shown
    assert f"{tmp_path / 'tags.csv'}:4: 'zebra'" in shown
    assert shown.count("'zebra'") == 1  # of each reason the first
    assert "... and 1 more, in the database's table of rejects" in shown
    assert "note: 1 tags are of no category, or of several: --map says what they mean" in shown


def test_cooccurrence_from_the_command_line(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = printed(capsys, f"complete {database}")
    assert report["by_reason"]["cooccurrence"] == 0
    rows = [{"row": row, "category": ROAD, "probability": 0.9} for row in range(2)]
    pq.write_table(pa.Table.from_pylist(rows, PREDICTIONS), tmp_path / "p.parquet")
    line = f"complete {database} --predictions {tmp_path / 'p.parquet'}"
    assert printed(capsys, line)["by_reason"]["cooccurrence"] == 0  # 0.9 is below 0.95
    assert printed(capsys, line + " --minimum-probability 0.8")["by_reason"] == {
        "asserted": 6,
        "ancestor": 14,
        "cooccurrence": 3,
    }
    assert run([*line.split(), "--minimum-probability", "0.8"]) == 0
    assert "2 predictions, 2 usable, 2 probable, 1 observed, 1 frequent" in capsys.readouterr().out
    assert run(["explain", str(database), "car_2"]) == 0
    shown = capsys.readouterr().out
    assert "co-occurs with car (n02958343): predicted on 2 of its 3 images (67%)" in shown
    explained = printed(capsys, f"explain {database} car_2")
    road = next(tag for tag in explained["tags"] if tag["key"] == KEYS[ROAD])
    assert road["because"] == KEYS[CAR]
    assert printed(capsys, line + " --minimum-ratio 0.7")["by_reason"]["cooccurrence"] == 0


def test_statistics_as_text_and_as_json(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["complete", str(database)]) == 0
    capsys.readouterr()
    counted = printed(capsys, f"statistics {database}")
    assert counted["images"] == 5
    assert counted["images_by_split"] == {"train": 3, "validation": 2}
    assert counted["images_by_part"] == {"single": 3, "multi": 2}
    assert counted["categories_in_both_parts"] == 3  # car, vehicle, object
    assert sum(counted["tag_counts"]) == 5
    assert run(["statistics", str(database)]) == 0
    shown = capsys.readouterr().out
    assert "trainable" in shown
    assert "mine" in shown


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("import voc {root}/missing {root}/new", ["missing", "no such folder", "VOCdevkit"]),
        ("import jpeg {root} {root}/new", ["jpeg"]),
        ("import voc {root} {root}/new --images {root}", ["--images", "voc does not use it"]),
        ("import imagenet {root}/train {db} --dictionary {root}/nine.tsv", ["--dictionary"]),
        ("import table {root}/tags.csv {db} --map {root}/no.tsv", ["no.tsv", "packaged"]),
        ("complete {db} --minimum-ratio 2", ["minimum ratio", "2"]),
        ("complete {db} --predictions {root}/missing.parquet", ["missing.parquet", "predict"]),
        ("complete {db} --predictions {root}/tags.csv", ["tags.csv", "Parquet"]),
        ("complete {db} --hierarchy tree", ["tree"]),
        ("statistics {db}", ["no tags yet", "mlimages complete"]),
        ("explain {db} nobody", ["nobody"]),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing_behind(
    database: Path, tmp_path: Path, line: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    if "explain" in line:
        assert run(["complete", str(database)]) == 0
    before = (database / "database.json").read_bytes()
    capsys.readouterr()
    assert run(line.format(root=tmp_path, db=database).split()) in (1, 2)
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert all(word in error for word in words), error
    assert not (tmp_path / "new").exists()
    assert (database / "database.json").read_bytes() == before


def test_tags_older_than_the_images_are_one_clear_error(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["complete", str(database)]) == 0
    table = write(tmp_path / "more.csv", "id,tags\nlate,car\n")
    assert run(f"import table {table} {database}".split()) == 0
    capsys.readouterr()
    for line in (f"statistics {database}", f"explain {database} late"):
        assert run(line.split()) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "mlimages complete" in error
    with pytest.raises(DatabaseError, match="mlimages complete"):
        Database.open(database).select(packed=False)


def test_completing_without_a_rule_undoes_it(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def shown(options: str = "") -> dict:
        report = printed(capsys, f"complete {database} {options}")
        return {key: value for key, value in report.items() if "partitions" not in key}

    first = shown()
    shown("--hierarchy wordnet")
    assert shown() == first
