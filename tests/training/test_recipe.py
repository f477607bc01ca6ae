"""Recipes: TOML in and out, overrides, and errors that name the key."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import REPOSITORY

from mlimages.errors import RecipeError
from mlimages.training import recipe as recipe_module
from mlimages.training.recipe import Recipe, find_recipe
from mlimages.training.schedule import learning_rate

SHIPPED = sorted(path.stem for path in (REPOSITORY / "recipes").glob("*.toml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipes_are_found_by_name_and_say_theirs(name: str) -> None:
    recipe = find_recipe(name)
    assert recipe.name == name
    assert recipe.description


def test_the_papers_recipe() -> None:
    recipe = find_recipe("paper")
    assert (recipe.model.depth, recipe.data.image_size, recipe.data.batch_size) == (101, 224, 4096)
    assert (recipe.loss.name, recipe.loss.variant, recipe.loss.keep_negatives) == (
        "paper",
        "paper",
        0.1,
    )
    assert (recipe.optimizer.momentum, recipe.optimizer.weight_decay) == (0.9, 1e-4)
    assert recipe.schedule.epochs == 60
    rate = recipe.optimizer.learning_rate
    assert learning_rate(recipe.schedule, rate, 0) == pytest.approx(0.01)
    assert learning_rate(recipe.schedule, rate, 7) == pytest.approx(0.01 * 1.297**7)
    assert learning_rate(recipe.schedule, rate, 55) == pytest.approx(0.0008)
    assert recipe.augmentation.area == (0.7, 1.0)
    assert "not run here" in recipe.expected.lower()


def test_the_released_recipe_differs_in_loss_and_length() -> None:
    paper, released = find_recipe("paper"), find_recipe("released")
    assert released.loss == dataclasses.replace(paper.loss, variant="code")
    assert released.schedule.epochs == 100


def test_recipes_are_found_in_an_installed_package(tmp_path, monkeypatch) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "mine.toml").write_text('name = "mine"')
    monkeypatch.setattr(
        recipe_module, "recipe_folders", lambda: [tmp_path / "recipes", tmp_path / "none"]
    )
    assert find_recipe("mine").name == "mine"


def test_toml_round_trip_of_every_setting() -> None:
    recipe = Recipe().override(
        "seed=7", 'description=a "quoted" \\ text', "schedule.decay_epochs=[1,2.5]",
        "loss.name=bce", "optimizer.weight_decay=1e-05", "checkpoint.every_steps=3",
    )  # fmt: skip
    assert recipe.description == 'a "quoted" \\ text'
    assert Recipe.from_dict(tomllib.loads(recipe.to_toml())) == recipe


@given(st.text(), st.floats(1e-9, 1e5), st.lists(st.floats(0, 1e4), max_size=4))
def test_toml_round_trip_of_any_value(text: str, rate: float, epochs: list[float]) -> None:
    values = {
        "description": text,
        "optimizer": {"learning_rate": rate},
        "schedule": {"decay_epochs": sorted(epochs)},
    }
    recipe = Recipe.from_dict(values)
    assert Recipe.from_dict(tomllib.loads(recipe.to_toml())) == recipe


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model.dept=26", r"model\.dept: unknown key; did you mean 'depth'"),
        ("modle.depth=26", r"modle: unknown key; did you mean 'model'"),
        ("sead=1", r"sead: unknown key; did you mean 'seed'"),
        ("model.depth=27", r"model\.depth: 27 is out of range; use 26, 50, 101 or 152"),
        ("loss.name=bse", r"loss\.name: 'bse' is unknown; did you mean 'bce'"),
        ("data.batch_size=1.5", r"data\.batch_size: 1\.5 is not of type int"),
        ("data.batch_size=true", r"data\.batch_size: True is not of type int"),
        ("optimizer.learning_rate=nan", r"learning_rate: nan"),
        ("data.micro_batch=1", r"micro_batch: 1 is out of range"),
        ("schedule.decay_epochs=[2, 1]", "rising order"),
        ("schedule.decay_epochs=[-1, 2]", "0 or more in rising order"),
        (f"schedule.epochs=1{'0' * 400}", r"schedule\.epochs: is too large a number"),
        ("schedule.decay_epochs=3", "is not a list"),
        ("augmentation.area=[0.5]", r"augmentation\.area: .* needs 2 values"),
        ("augmentation.hue=3", r"augmentation\.hue: 3\.0 is out of range"),
        ("seed", "is not of the form section.key=value"),
        ("model=3", "is not a section"),
    ],
)
def test_mistakes_are_named(change: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe().override(change)


def test_whole_numbers_are_fine_for_fractions() -> None:
    recipe = Recipe().override("schedule.epochs=5", "model.width=1")
    assert recipe.schedule.epochs == 5.0
    assert isinstance(recipe.model.width, float)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        find_recipe(tmp_path / "no-such.toml")
    bad = tmp_path / "bad.toml"
    bad.write_text("seed = ")
    with pytest.raises(RecipeError, match=r"bad\.toml: cannot be read \(Invalid value"):
        find_recipe(bad)
    bad.write_text("[data]\nbatchsize = 3")
    with pytest.raises(RecipeError, match=r"bad\.toml: data\.batchsize: unknown key; .*batch_size"):
        find_recipe(bad)
    with pytest.raises(RecipeError, match="no such recipe; did you mean 'photos'"):
        find_recipe("photo")
