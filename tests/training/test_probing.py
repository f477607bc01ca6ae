"""Probes while a network is trained: logged, shown, and without a trace in the weights."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.training.fakes import FakeDatabase, tiny_recipe

from mlimages.errors import InputError
from mlimages.training.checkpoint import newest_checkpoint
from mlimages.training.loop import train


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Red, green and blue squares, six of each; one more file is no photo, one more class small."""
    generator = np.random.default_rng(0)
    for channel, name in enumerate(("red", "green", "blue", "small")):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for number in range(1 if name == "small" else 6):
            pixels = generator.integers(0, 120, (32, 32, 3))
            pixels[..., channel % 3] += 130
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    (tmp_path / "photos" / "red" / "notes.txt").write_text("not a photo")
    return tmp_path / "photos"


def lines(out: Path, kind: str) -> list[dict]:
    records = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return [record for record in records if record["kind"] == kind]


def weights(out: Path) -> dict[str, torch.Tensor]:
    checkpoint = newest_checkpoint(out)
    assert checkpoint is not None
    return checkpoint.model_tensors() | checkpoint.training_tensors()


def test_probes_are_logged_and_change_no_weight(photos: Path, tmp_path: Path) -> None:
    probed, plain = tmp_path / "probed", tmp_path / "plain"
    settings = {"probe": str(photos), "probe_every_epochs": 1, "probe_images": 3}
    base = tiny_recipe("evaluation.split=")
    recipe = base.override(*(f"evaluation.{k}={json.dumps(v)}" for k, v in settings.items()))
    result = train(FakeDatabase(), recipe, probed)
    train(FakeDatabase(), base, plain)
    for name, tensor in weights(plain).items():
        assert torch.equal(tensor, weights(probed)[name]), name
    first, last = lines(probed, "probe")
    assert (first["epoch"], last["epoch"]) == (1, 2)
    assert last["classes"] == 3
    assert last["test_images"] == 9
    assert result.probe == {name: last[name] for name in result.probe}
    with open(probed / "metrics.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "probe"]
    assert [float(row["linear"]) for row in rows] == [first["linear"], last["linear"]]
    assert "Accuracy of probes, 3 photos a class" in (probed / "index.html").read_text()


def test_a_resumed_run_probes_what_is_left_and_ends_alike(photos: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe("evaluation.split=", "checkpoint.every_steps=7", "checkpoint.keep=9")
    settings = (f"evaluation.probe={photos}", "evaluation.probe_every_epochs=1")
    recipe = recipe.override(*settings, "evaluation.probe_images=3")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for out in (whole, cut):
        train(FakeDatabase(), recipe, out)
    for last in (cut / "checkpoints").glob("*10"):
        (last / "model.safetensors").unlink()  # as if the run had been killed after update 7
    (cut / "result.json").unlink()
    train(FakeDatabase(), None, cut, resume=True)
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(cut)[name]), name
    assert lines(cut, "probe") == lines(whole, "probe")


def test_missing_photos_are_named_before_the_first_update(tmp_path: Path) -> None:
    recipe = tiny_recipe(f"evaluation.probe={tmp_path / 'lost'}")
    with pytest.raises(InputError, match="lost: no such folder"):
        train(FakeDatabase(), recipe, tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
