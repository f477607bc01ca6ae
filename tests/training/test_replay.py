"""A captured step, run again, names what went non-finite first."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.training.fakes import KEYS, FakeDatabase, tiny_recipe

from mlimages.errors import CheckpointError, TrainingError
from mlimages.training.estimate import estimate
from mlimages.training.loop import train
from mlimages.training.replay import replay
from mlimages.training.setup import Setup

CHANGES = ("model.backbone=timm:test_resnet", "data.batch_norm_group=4", "schedule.epochs=1")


def captured(out: Path, monkeypatch: pytest.MonkeyPatch, spoil) -> Path:
    """Train with a network that `spoil` has changed; returns the capture."""

    class Spoilt(Setup):
        def connect(self) -> None:
            super().connect()
            spoil(self.state)

    monkeypatch.setattr("mlimages.training.loop.Setup", Spoilt)
    with pytest.raises(TrainingError, match=r"see why: mlimages train DB --replay"):
        train(FakeDatabase(), tiny_recipe(*CHANGES), out)  # type: ignore[arg-type]
    monkeypatch.undo()
    (folder,) = (out / "nan-capture").iterdir()
    return folder


def test_a_weight_and_its_layer_are_named(tmp_path: Path, monkeypatch) -> None:
    def spoil(state) -> None:
        state.network.backbone.model.conv1[0].weight.data[0, 0, 0, 0] = float("inf")

    folder = captured(tmp_path / "run", monkeypatch, spoil)
    report = replay(FakeDatabase(), folder)  # type: ignore[arg-type]
    assert (report.weight, report.layer) == (
        "backbone.model.conv1.0.weight",
        "backbone.model.conv1.0",
    )
    assert report.same_images
    assert report.rows


def test_a_term_of_the_loss_and_its_images_are_named(tmp_path: Path, monkeypatch) -> None:
    def overflow(state) -> None:
        state.network.head.bias.data[2] = 3e38

    folder = captured(tmp_path / "run", monkeypatch, overflow)
    report = replay(FakeDatabase(), folder)  # type: ignore[arg-type]
    assert report.weight is None
    assert report.layer is None
    assert report.category == KEYS[2]
    assert report.rows


def test_what_is_no_capture_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = train(FakeDatabase(), tiny_recipe(*CHANGES), out)  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match="is no captured step"):
        replay(FakeDatabase(), result.checkpoint)  # type: ignore[arg-type]


def test_an_estimate_counts_what_a_run_does_and_writes_nothing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = tiny_recipe(*CHANGES)
    expected = estimate(FakeDatabase(), recipe)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    result = train(FakeDatabase(), recipe, tmp_path / "run")  # type: ignore[arg-type]
    assert (expected.steps, expected.images) == (result.steps, result.images)
    assert expected.parameters == result.parameters
    written = sum(
        (Path(result.checkpoint) / name).stat().st_size
        for name in ("model.safetensors", "training.safetensors")
    )
    assert expected.checkpoint_bytes == pytest.approx(written, rel=0.1)
    assert expected.hours == pytest.approx(expected.steps * expected.step_seconds / 3600, abs=1e-3)
