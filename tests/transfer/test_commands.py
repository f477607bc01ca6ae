"""`mlimages transfer` and `mlimages finetune`, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.transfer import worlds

from mlimages.cli import run

BACKBONE = "untrained:resnet26x0.0625"
SHORT = (
    *("data.size=32", "data.batch_size=4", "schedule.epochs=1", "evaluation.pictures=1"),
    "optimizer.layer_decay=1",
)


def last_json(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_finetune_takes_class_folders_and_the_result_is_a_model(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "mlimages")
    photos, out = worlds.write_folders(tmp_path / "photos", 5), tmp_path / "run"
    assert run(["finetune", BACKBONE, str(photos), "--out", str(out), "--set", *SHORT]) == 0
    text = caplog.text
    assert "every photo has one tag: softmax cross-entropy" in text
    assert "3 categories (your own), 4 to 4 photos each" in text
    picture = str(next(photos.glob("*/*.jpg")))
    assert run(["tag", picture, "--model", str(out)]) == 0
    assert run(["features", str(out), picture, "--out", str(tmp_path / "f.parquet")]) == 0
    assert run(["probe", str(out), str(photos), "--images-per-class", "2", "--splits", "1"]) == 0


def test_finetune_takes_a_table_of_tags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = worlds.write_folders(tmp_path / "photos", 5)
    names = sorted(path.relative_to(photos).as_posix() for path in photos.glob("*/*.jpg"))
    rows = "".join(f"{name},{name[:3]} thing\n" for name in names)
    (tmp_path / "tags.csv").write_text("image_id,tags\n" + rows)
    arguments = ["finetune", BACKBONE, str(tmp_path / "tags.csv"), "--photos", str(photos)]
    assert run([*arguments, "--out", str(tmp_path / "run"), "--set", *SHORT, "--json"]) == 0
    result = last_json(capsys)
    assert result["task"] == "multilabel"
    assert result["metric"] == "mAP@32"
    assert "photos have several tags" in result["choices"][2]


def test_wnids_become_wordnets_categories(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "mlimages")
    photos = worlds.write_folders(tmp_path / "photos", 4)
    for name, wnid in (("cat", "n02121620"), ("dog", "n02084071"), ("aeroplane", "n02691156")):
        (photos / name).rename(photos / wnid)
    out = tmp_path / "run"
    assert run(["finetune", BACKBONE, str(photos), "--out", str(out), "--set", *SHORT]) == 0
    assert "3 categories (WordNet ids)" in caplog.text
    (model,) = (out / "checkpoints").glob("*/model.json")
    names = {entry["key"]: entry["name"] for entry in json.loads(model.read_text())["categories"]}
    assert names["n02084071"].startswith("dog")


def test_a_dry_run_tells_data_schedule_cost_and_the_expected_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = worlds.write_folders(tmp_path / "photos", 4)
    arguments = ["transfer", "caltech256", "--data", str(photos), "--backbone", BACKBONE]
    small = ["--set", "data.images_per_class=3", "data.size=32", "data.batch_size=3"]
    assert run([*arguments, *small, "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert "data: 9 photos to learn from, 3 to test on, 3 classes" in text
    assert "schedule: 60 updates of 3 photos, 20 epochs at 32 pixels" in text
    assert "s an update on 1 x cpu, measured" in text
    assert "expected: Not run here on Caltech-256" in text
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_protocol_runs_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = worlds.write_voc(tmp_path, 6)
    out = tmp_path / "run"
    arguments = [
        *("transfer", "voc2012-segmentation-v3-os16", "--data", str(root), "--out", str(out)),
        *("--backbone", BACKBONE, "--json", "--set"),
        *('data.train=["VOC2007/train"]', 'data.test=["VOC2007/val"]', "data.size=32"),
        *("data.batch_size=3", "schedule.epochs=1", "hardware.precision=float32"),
    ]
    assert run(arguments) == 0
    result = last_json(capsys)
    assert result["metric"] == "mIoU"
    assert 0 <= result["value"] <= 1
    assert (out / "report.html").is_file()
    assert run([*arguments[:-1], "schedule.epochs=2"]) == 1
    assert "holds a finished run" in capsys.readouterr().err


def test_probes_tell_minimum_median_and_maximum(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = worlds.write_folders(tmp_path / "photos", 4)
    out = tmp_path / "run"
    assert run(["finetune", BACKBONE, str(photos), "--out", str(out), "--set", *SHORT]) == 0
    capsys.readouterr()
    arguments = ["transfer", "few-shot", "--data", str(photos), "--backbone", str(out)]
    assert run([*arguments, "--set", "data.images_per_class=2", "evaluation.draws=3"]) == 0
    text = capsys.readouterr().out
    assert "minimum  median  maximum" in text
    assert "knn" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["transfer", "caltech", "--data", "d", "--backbone", "x"], "did you mean 'caltech256"),
        (["transfer", "caltech256", "--data", "d", "--backbone", "x"], "add --out RUN"),
        (["finetune", "x", "nowhere", "--out", "r"], "nowhere: no such folder"),
    ],
)
def test_wrong_words_are_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) != 0
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_a_broken_photo_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = worlds.write_folders(tmp_path / "photos", 5)
    for path in photos.glob("*/*.jpg"):
        path.write_bytes(b"no photo")
    arguments = ["finetune", BACKBONE, str(photos), "--out", str(tmp_path / "run"), "--set", *SHORT]
    assert run(arguments) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "image_00" in error
    assert "restore the photo" in error
