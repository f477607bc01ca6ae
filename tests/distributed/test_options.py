"""Options of the hardware section: they change rounding and speed, not what is computed."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.distributed.processes import run, train_as_rank

from mlimages.training.batch_norm import BatchNormGroups
from mlimages.training.distribution import Ranks

CHANGES = (
    "data.batch_norm_group=4",
    "model.backbone=timm:test_resnet",
    "schedule.epochs=0.6",
    "optimizer.learning_rate=0.002",
    "evaluation.split=''",
)


def losses(out: Path) -> list[float]:
    lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if line["kind"] == "train"]


@pytest.mark.parametrize("compression", ["float16", "bfloat16"])
def test_compressed_gradients_train_nearly_the_same(tmp_path: Path, compression: str) -> None:
    plain, out = tmp_path / "plain", tmp_path / "run"
    assert run(2, train_as_rank, str(plain), CHANGES) == [0, 0]
    changes = (*CHANGES, f"hardware.compression={compression}")
    assert run(2, train_as_rank, str(out), changes) == [0, 0]
    assert losses(out)[1:] != losses(plain)[1:]
    np.testing.assert_allclose(losses(out), losses(plain), rtol=0.05)


@pytest.mark.parametrize(
    "change",
    [
        "hardware.channels_last=false",
        pytest.param("hardware.compile=true", marks=pytest.mark.slow),
    ],
)
def test_formats_and_compilation_train_the_same(tmp_path: Path, change: str) -> None:
    plain, out = tmp_path / "plain", tmp_path / "run"
    assert run(1, train_as_rank, str(plain), CHANGES) == [0]
    assert run(1, train_as_rank, str(out), (*CHANGES, change), seconds=300) == [0]
    np.testing.assert_allclose(losses(out), losses(plain), rtol=1e-4)


def test_groups_are_normalised_apart_and_move_the_statistics_once() -> None:
    norm = torch.nn.BatchNorm2d(3, momentum=0.1)
    images = torch.randn(7, 3, 5, 5, generator=torch.Generator().manual_seed(0)) * 3 + 1
    groups = BatchNormGroups(network := torch.nn.Sequential(norm))
    with groups.step(3, Ranks()):
        groups.sizes = (2, 3)
        first = network(images[:5])
        groups.sizes = (2,)
        last = network(images[5:])
    parts = images.split([2, 3, 2])
    expected = [torch.nn.BatchNorm2d(3)(part) for part in parts]
    torch.testing.assert_close(torch.cat([first, last]), torch.cat(expected))
    means = torch.stack([part.mean((0, 2, 3)) for part in parts]).mean(0)
    variances = torch.stack([part.var((0, 2, 3)) for part in parts]).mean(0)
    torch.testing.assert_close(norm.running_mean, 0.1 * means)
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * variances)
    assert norm.num_batches_tracked == 1


def test_a_step_that_fails_leaves_the_statistics() -> None:
    groups = BatchNormGroups(norm := torch.nn.BatchNorm2d(3))
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    groups.sizes = (4,)
    with contextlib.suppress(ArithmeticError), groups.step(1, Ranks()):
        norm(torch.randn(4, 3, 2, 2))
        raise ArithmeticError
    for name, value in norm.state_dict().items():
        assert torch.equal(value, before[name])
    assert (norm.momentum, "forward" in vars(norm)) == (0.1, False)
