"""One update: what micro-batches must not change, and running out of memory or of range."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.training.fakes import FakeDatabase, tiny_recipe

from mlimages.training.data import StepData, TagMatrix, TrainingData
from mlimages.training.state import TrainingState, build_state
from mlimages.training.update import update

CPU = torch.device("cpu")


def start(*changes: str) -> tuple[TrainingState, StepData]:
    db, recipe = FakeDatabase(), tiny_recipe(*changes)
    selection = db.select("train")
    tags = TagMatrix(selection, np.arange(4))  # type: ignore[arg-type]
    data = TrainingData(db.reader(), selection, tags, recipe)  # type: ignore[arg-type]
    state = build_state(recipe, tags.frequencies(), 40, CPU)
    return state, next(data.steps(0, 1))


@pytest.mark.parametrize("parts", [2, 5])
def test_parts_move_the_running_statistics_as_far_as_the_whole(parts: int) -> None:
    """Equal parts have equal statistics, so that any difference is one of how far they move."""
    results = []
    for count in (1, parts):
        state, batch = start()
        update(state, replace(batch, parts=batch.parts * count), 0.1, "float32", CPU)
        norm = state.network.stages[0][0].norm1
        assert norm.momentum == 0.1
        results.append((norm.running_mean.clone(), norm.running_var.clone()))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
