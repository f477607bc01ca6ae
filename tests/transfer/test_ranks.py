"""Two processes transfer the same network, and measure the same, as one does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.distributed.processes import run
from tests.transfer import worlds
from tests.transfer.test_overfitting import recipe_of

from mlimages.errors import MlimagesError
from mlimages.training.checkpoint import newest_checkpoint

# Small steps: networks this small multiply any rounding in each.
CHANGES = {
    "model": {"backbone": "untrained:resnet26x0.125"},
    "data": {"batch_size": 8, "batch_norm_group": 4},
    "schedule": {"epochs": 5},
    "optimizer": {"learning_rate": 1e-5, "average_decay": 0.9},
    "augmentation": {"flip_fraction": 0.5, "area": [0.5, 1.0]},
    "evaluation": {"flip": True},
}
TIMM = {"model": {"backbone": "untrained:timm:test_resnet"}}
KINDS = {
    "classification": ("classification", {"data": {"batch_size": 6, "batch_norm_group": 3}}),
    "multilabel": ("multilabel", TIMM),
    "segmentation": ("segmentation", {}),
    "detection c4": ("detection", {}),
    "detection fpn": ("detection", {"model": {"detector": "fpn"}}),
}


def transfer_as_rank(rank: int, place: str, out: str, task: str, changes: list[dict]) -> None:
    """Transfer; an error goes to OUT.rank-N.txt, and makes the exit code 1."""
    from mlimages.transfer.data import read_data
    from mlimages.transfer.loop import transfer

    merged: dict = {}
    for part in changes:
        for section, settings in part.items():
            merged[section] = {**merged.get(section, {}), **settings}
    recipe = recipe_of(task, **merged)
    try:
        transfer(recipe, read_data(recipe, place), out, resume=True)
    except MlimagesError as error:
        Path(f"{out}.rank-{rank}.txt").write_text("" if error.told_by_another else str(error))
        raise SystemExit(error.exit_code) from None


@pytest.mark.parametrize(
    "kind", [*list(KINDS)[:4], pytest.param("detection fpn", marks=pytest.mark.slow)]
)
def test_two_ranks_and_one_agree_over_five_steps(kind: str, place: Path, tmp_path: Path) -> None:
    task, changes = KINDS[kind]
    ends = []
    for size in (1, 2):
        out = tmp_path / str(size)
        arguments = (str(place), str(out), task, [CHANGES, changes])
        assert run(size, transfer_as_rank, *arguments, seconds=120) == [0] * size
        lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
        losses = [line["loss"] for line in lines if line["kind"] == "train"]
        result = json.loads((out / "result.json").read_text())
        ends.append((newest_checkpoint(out), losses, result, (out / "images.jsonl").read_text()))
    (one, losses, result, images), (two, other_losses, other_result, other_images) = ends
    assert one.step == 5
    np.testing.assert_allclose(other_losses, losses, rtol=1e-5)
    for expected, found in (
        (one.model_tensors(), two.model_tensors()),
        (one.training_tensors(), two.training_tensors()),
    ):
        assert expected.keys() == found.keys()
        for name, tensor in expected.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=1e-5, msg=name)
    assert other_result["measures"] == pytest.approx(result["measures"], abs=0.01)
    names = [
        [json.loads(line)["image"] for line in text.splitlines()] for text in (images, other_images)
    ]
    assert names[0] == names[1]
    assert len(names[0]) == result["test_images"]


def test_more_ranks_than_groups_are_told_once(place: Path, tmp_path: Path) -> None:
    changes = [CHANGES, {"data": {"batch_norm_group": 8}}]
    arguments = (str(place), str(tmp_path / "run"), "segmentation", changes)
    assert run(2, transfer_as_rank, *arguments) == [1, 1]
    told = [(tmp_path / f"run.rank-{rank}.txt").read_text() for rank in range(2)]
    assert "2 processes: are more than the groups of 8 in a batch of 8" in told[0]
    assert told[1] == ""


def test_a_photo_that_one_rank_cannot_read_ends_both(place: Path, tmp_path: Path) -> None:
    worlds.write_voc(tmp_path)
    worst = tmp_path / "VOCdevkit" / "VOC2007" / "JPEGImages" / "000006.jpg"
    worst.write_bytes(worst.read_bytes()[:400])
    arguments = (str(tmp_path), str(tmp_path / "run"), "multilabel", [CHANGES])
    assert run(2, transfer_as_rank, *arguments) == [1, 1]
    told = [(tmp_path / f"run.rank-{rank}.txt").read_text() for rank in range(2)]
    assert sorted("000006.jpg" in text for text in told) == [False, True]
