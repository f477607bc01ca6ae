"""What `train --dry-run` says of every named recipe, at a tiny size."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import REPOSITORY
from tests.training.fakes import FakeDatabase

from mlimages.database import Database
from mlimages.errors import RecipeError
from mlimages.training.estimate import estimate
from mlimages.training.recipe import find_recipe

NAMES = sorted(path.stem for path in (REPOSITORY / "recipes").glob("*.toml"))
TINY = (
    *("model.width=0.0625", "model.depth=26", "data.image_size=32", "data.lanes=4"),
    *("data.batch_size=8", "data.micro_batch=0", "data.batch_norm_group=4", "data.workers=1"),
    *("hardware.device=cpu", "hardware.precision=float32"),
)


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_is_measured_without_being_trained(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = find_recipe(name).override(*TINY)
    sizes = len(recipe.data.early_sizes)
    recipe = recipe.override(f"data.early_sizes={[24] * sizes}")
    db: Database = FakeDatabase()  # type: ignore[assignment]
    found = estimate(db, recipe)
    assert found.recipe == name
    assert found.steps == int(recipe.schedule.epochs * 40 / 8)
    assert found.hours == pytest.approx(found.steps * found.step_seconds / 3600, abs=1e-3)
    assert found.measured_steps == 5 * (sizes + 1)
    average = 1 if recipe.optimizer.average_decay else 0
    moments = 2 if recipe.optimizer.name in ("adamw", "lamb") else 1
    weights = 4 * found.parameters * (1 + average + moments)
    assert weights < found.checkpoint_bytes < 1.2 * weights
    assert found.storage_bytes >= 3 * found.checkpoint_bytes
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_is_built_for_one_size_cannot_see_growing_images() -> None:
    sizes = ("data.image_size=48", "data.early_sizes=[32]", "data.size_epochs=[1]")
    recipe = find_recipe("photos").override(
        *TINY, *sizes, "model.backbone=timm:vit_tiny_patch16_224"
    )
    db: Database = FakeDatabase()  # type: ignore[assignment]
    with pytest.raises(RecipeError, match=r"early_sizes: timm:vit.* images of 32 pixels"):
        estimate(db, recipe)
    assert estimate(db, recipe.override("data.early_sizes=[]", "data.size_epochs=[]")).steps
