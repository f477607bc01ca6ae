"""What a run leaves beside metrics.jsonl."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from tests.training.fakes import FakeDatabase, tiny_recipe

from mlimages.training.loop import train

CHANGES = ("model.backbone=timm:test_resnet", "schedule.epochs=1", "evaluation.every_epochs=1")


def test_the_table_has_the_numbers_of_the_log(tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(FakeDatabase(), tiny_recipe(*CHANGES), out)  # type: ignore[arg-type]
    lines = list(map(json.loads, (out / "metrics.jsonl").read_text().splitlines()))
    rows = list(csv.DictReader((out / "metrics.csv").read_text().splitlines()))
    assert [row["kind"] for row in rows] == ["train"] * 5 + ["evaluation"]
    for line, row in zip(lines[:5], rows, strict=False):
        assert float(row["loss"]) == line["loss"]
        assert row["metrics.map_macro"] == ""
    assert float(rows[-1]["metrics.map_macro"]) == lines[-1]["metrics"]["map_macro"]


def test_the_page_shows_curves_settings_and_measures(tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = train(FakeDatabase(), tiny_recipe(*CHANGES, 'name="<b>mine"'), out)  # type: ignore[arg-type]
    page = (out / "index.html").read_text()
    assert page.count("data:image/svg+xml;base64,") == 5
    assert "batch_norm_group" in page
    assert "&lt;b&gt;mine" in page
    assert "<b>mine" not in page
    assert result.evaluation is not None
    assert f"{result.evaluation['model']['map_macro']:.4f}" in page


def test_logs_that_are_not_wanted_are_not_written(tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(FakeDatabase(), tiny_recipe(*CHANGES, "logging.csv=false", "logging.page=false"), out)  # type: ignore[arg-type]
    assert not {"metrics.csv", "index.html", "tensorboard"} & {path.name for path in out.iterdir()}


def test_tensorboard_holds_the_losses(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "run"
    train(FakeDatabase(), tiny_recipe(*CHANGES, "logging.tensorboard=true"), out)  # type: ignore[arg-type]
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    losses = [line["loss"] for line in lines if line["kind"] == "train"]
    found = events.Scalars("train/loss")
    assert [event.step for event in found] == [1, 2, 3, 4, 5]
    assert [event.value for event in found] == pytest.approx(losses)
