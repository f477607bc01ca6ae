"""Every loss that a recipe can name trains; the hierarchy is cut down to the outputs."""

from __future__ import annotations

from typing import get_args, get_type_hints

import numpy as np
import pytest
from tests.training.fakes import FakeDatabase, tiny_recipe

from mlimages.errors import RecipeError
from mlimages.taxonomy.hierarchy import Hierarchy
from mlimages.training.checkpoint import newest_checkpoint
from mlimages.training.loop import train
from mlimages.training.objective import OutputStatistics
from mlimages.training.settings import LossSettings

NAMES = get_args(get_type_hints(LossSettings)["name"])


@pytest.mark.parametrize("hierarchical", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_every_loss_trains(name, hierarchical, tmp_path):
    if name == "semantic-softmax" and hierarchical:
        with pytest.raises(RecipeError, match=r"loss\.hierarchical"):
            tiny_recipe(f"loss.name={name}", "loss.hierarchical=true")
        return
    changes = [f"loss.name={name}", f"loss.hierarchical={str(hierarchical).lower()}"]
    recipe = tiny_recipe(*changes, "schedule.epochs=2", "checkpoint.every_steps=1")
    train(FakeDatabase(), recipe, tmp_path / "whole")
    whole = newest_checkpoint(tmp_path / "whole")
    assert whole is not None
    losses = whole.state["totals"]
    assert np.isfinite(losses["loss"])
    assert whole.step > 1


@pytest.mark.parametrize("name", ["semantic-softmax", "selective"])
def test_losses_that_decide_themselves_what_to_leave_out_refuse_to_ignore(name):
    with pytest.raises(RecipeError, match=r"loss\.unknown"):
        tiny_recipe(f"loss.name={name}", "loss.unknown=ignore")


def test_the_hierarchy_is_cut_to_the_outputs():
    # 0 above 1 above 2 above 3; 0 above 4 above 3.
    hierarchy = Hierarchy.from_edges(6, [1, 2, 3, 4, 3], [0, 1, 2, 0, 4])
    outputs = np.array([0, 2, 3, 4, 5])
    found = OutputStatistics.of(np.array([9, 0, 3, 2, 1]), 9, hierarchy, outputs)
    edges = set(zip(found.child.tolist(), found.parent.tolist(), strict=True))
    assert edges == {(1, 0), (2, 1), (2, 3), (3, 0)}  # 2 hangs under 0 now; 3 keeps both parents
    assert found.depths.tolist() == [0, 1, 2, 1, 0]
    np.testing.assert_allclose(found.prior(), np.array([10, 1, 4, 3, 2]) / 11)
