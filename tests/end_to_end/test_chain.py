"""The whole chain through the command line, on a tiny painted dataset."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.tiny import RECIPE, TinyData, make_tiny_data

from mlimages.cli import run
from mlimages.errors import InputError
from mlimages.training.probing import labelled_photos


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TinyData:
    data = make_tiny_data(tmp_path_factory.mktemp("tiny"))
    (data.imagenet / "n02084071" / "notes.JPEG").write_text("not a picture")
    recipe = data.root / "tiny.toml"
    recipe.write_text(RECIPE)
    return data


@pytest.fixture(scope="module")
def database(data: TinyData) -> Path:
    """Imported, completed and packed; with one reject."""
    db = data.root / "DB"
    for command in (
        f"import imagenet {data.imagenet} {db}",
        f"import table {data.table} {db}",
        f"complete {db}",
        f"pack {db}",
    ):
        assert run(command.split()) == 0
    return db


@pytest.fixture(scope="module")
def trained(data: TinyData, database: Path) -> Path:
    out = data.root / "run"
    assert run(f"train {database} --recipe {data.root / 'tiny.toml'} --out {out}".split()) == 0
    return out


def printed(capsys: pytest.CaptureFixture[str], command: str) -> dict:
    capsys.readouterr()
    assert run([*command.split(), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_every_count_reconciles(
    data: TinyData, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = printed(capsys, f"check {database}")
    assert report["passed"], report
    notes = {name: note for name, _, note in report["checks"]}
    assert "96 packed" in notes["pack"]
    assert "1 rejected" in notes["imports"] or "1 rejected" in notes["pack"]


def test_importing_twice_changes_nothing(
    data: TinyData, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = printed(capsys, f"statistics {database}")
    report = printed(capsys, f"import imagenet {data.imagenet} {database}")
    assert report["new_images"] == 0
    assert report["facts"] == 0
    assert printed(capsys, f"check {database}")["passed"]
    assert printed(capsys, f"statistics {database}") == before


def test_new_facts_make_the_tags_old(
    data: TinyData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    db = tmp_path / "DB"
    for command in (f"import imagenet {data.imagenet} {db}", f"complete {db}"):
        assert run(command.split()) == 0
    (tmp_path / "more.csv").write_text("id,tags\nn02084071_0,n02121620\n")
    assert run(["import", "table", str(tmp_path / "more.csv"), str(db)]) == 0
    capsys.readouterr()
    assert run(["explain", str(db), "n02084071_0"]) == 1
    assert "mlimages complete" in capsys.readouterr().err
    assert run(["check", str(db)]) == 1
    assert run(["complete", str(db)]) == 0
    assert run(["check", str(db)]) == 0


def test_an_import_that_keeps_nothing_fails_and_leaves_no_database(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list.txt").write_text("a.jpg\t99999:1\n")
    assert run(["import", "tencent", str(tmp_path / "list.txt"), str(tmp_path / "DB")]) == 1
    assert "list.txt:1: category 99999 is unknown" in capsys.readouterr().err
    assert not (tmp_path / "DB").exists()


def test_tags_are_closed_under_ancestors_and_explained(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = printed(capsys, f"explain {database} n02084071_0")
    text = json.dumps(shown)
    assert "n02084071" in text
    assert "n00002684" in text  # object, the root above dog
    capsys.readouterr()
    assert run(["explain", str(database), "n02084071_0"]) == 0
    assert "dog" in capsys.readouterr().out


def test_training_predicting_completing_tagging_and_probing(
    data: TinyData, database: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = printed(capsys, f"evaluate {trained} {database} --split train")
    assert 0 <= measured["metrics"]["map_macro"] <= 1
    assert {part["negatives"] for part in measured["by_depth"].values()} == {"closed-world"}
    dog = next(one for one in measured["categories"] if one["category"] == "n02084071")
    assert (dog["positives"], dog["training_images"]) == (24, 25)  # one could not be packed
    assert dog["negatives"] == 96 - 24
    assert 0 <= measured["consistency"]["violations"] <= 1
    assert run(["evaluate", str(trained), str(database), "--split", "train"]) == 0
    assert "a category outscores its parent in" in capsys.readouterr().out
    out = data.root / "predictions.parquet"
    printed(capsys, f"predict {trained} {database} --subset single --out {out}")
    table = pq.read_table(out)
    assert table.column_names == ["row", "category", "probability"]
    assert min(table["probability"].to_pylist()) >= 0.05
    report = printed(capsys, f"complete {database} --predictions {out}")
    assert report["images"] >= 96
    ranked = printed(capsys, f"quality {database} --predictions {out}")
    assert ranked
    photo = data.photos / "n02858304-0.jpg"
    tagged = printed(capsys, f"tag {photo} --model {trained} --threshold 0")
    assert "path" in json.dumps(tagged)
    vectors = data.root / "features.parquet"
    printed(capsys, f"features {trained} {data.photos} --out {vectors}")
    assert pq.read_table(vectors).num_rows == 48
    probe = printed(capsys, f"probe {trained} {data.imagenet} --images-per-class 5 --splits 2")
    (result,) = probe["results"].values()
    assert 0 <= result["mean"] <= 1
    assert len(result["per_split"]) == 2


def test_a_database_is_probed_by_what_its_single_label_sources_asserted(
    database: Path,
) -> None:
    photos = labelled_photos(database, images_per_class=5)
    assert np.bincount(photos.labels).tolist() == [12, 12, 12, 12]
    with pytest.raises(InputError, match="0 classes have more than 12 photos"):
        labelled_photos(database, images_per_class=12)


def test_an_existing_run_is_not_overwritten(
    data: TinyData, database: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = f"train {database} --recipe {data.root / 'tiny.toml'} --out {trained}"
    assert run(command.split()) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--resume" in error
