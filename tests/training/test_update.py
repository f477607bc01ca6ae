"""One update: what micro-batches must not change, and running out of memory or of range."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.fakes import FakeDatabase, statistics_of, tiny_recipe

from mlimages.errors import TrainingError
from mlimages.models.network import TagNetwork
from mlimages.training.data import StepData, TrainingData
from mlimages.training.loop import train
from mlimages.training.state import TrainingState, build_state
from mlimages.training.tags import TagMatrix
from mlimages.training.update import NonFiniteLossError, update

CPU = torch.device("cpu")


def start(*changes: str) -> tuple[TrainingState, StepData]:
    db, recipe = FakeDatabase(), tiny_recipe(*changes)
    selection = db.select("train")
    tags = TagMatrix(selection, np.arange(4))  # type: ignore[arg-type]
    data = TrainingData(db.reader(), selection, tags, recipe)  # type: ignore[arg-type]
    state = build_state(recipe, statistics_of(tags.frequencies()), CPU)
    return state, next(data.steps(0, 1))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"),
        MemoryError(),
    ],
)
def test_running_out_of_memory_says_what_to_lower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def exhausted(*_: object) -> None:
        raise error

    monkeypatch.setattr(TagNetwork, "forward", exhausted)
    with pytest.raises(TrainingError, match=r"out of memory at update 1; lower data.micro_batch"):
        train(FakeDatabase(), tiny_recipe(), tmp_path / "run")


def test_other_errors_of_the_network_are_not_hidden(tmp_path: Path, monkeypatch) -> None:
    def defective(*_: object) -> None:
        raise RuntimeError("sizes do not match")

    monkeypatch.setattr(TagNetwork, "forward", defective)
    with pytest.raises(RuntimeError, match="sizes do not match"):
        train(FakeDatabase(), tiny_recipe(), tmp_path / "run")


def test_float16_that_finds_no_factor_stops() -> None:
    state, batch = start("hardware.precision=float16")
    state.network.head.weight.register_hook(lambda gradient: gradient * float("inf"))
    before = {name: p.clone() for name, p in state.network.named_parameters()}
    for _ in range(16):  # from 65,536 to 1: skipped, and not yet hopeless
        update(state, batch, 0.1, "float16")
    with pytest.raises(NonFiniteLossError):
        update(state, batch, 0.1, "float16")
    assert state.step == 16
    for name, parameter in state.network.named_parameters():
        assert torch.equal(parameter, before[name])
