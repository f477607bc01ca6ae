"""Every named recipe reads, round-trips, and says what is expected and that it was not run."""

from __future__ import annotations

import pytest
from tests.conftest import REPOSITORY

from mlimages.errors import RecipeError
from mlimages.training.recipe import Recipe, find_recipe
from mlimages.transfer.data import read_data
from mlimages.transfer.recipe import TransferRecipe, find_transfer_recipe

NAMES = sorted(file.stem for file in (REPOSITORY / "recipes" / "transfer").glob("*.toml"))
# What the notes hold; nothing else may be quoted.
PUBLISHED = {
    "imagenet-scratch": ["77.8", "93.9", "79.0", "94.5"],
    "imagenet-finetune-224": ["78.8", "94.5", "79.5", "94.9"],
    "imagenet-finetune-299": ["75.8", "92.7", "79.6", "94.6"],
    "imagenet-finetune-224-299": ["78.3", "94.2", "80.73", "95.5"],
    "voc2007-detection-07": ["75.06", "75.76"],
    "voc2007-detection-0712": ["79.80", "80.3"],
    "voc2012-segmentation-v3-os8": ["78.70", "79.95"],
    "voc2012-segmentation-v3plus-os8": ["78.62", "79.53"],
    "voc2007-multilabel": ["94.98"],
    "coco-multilabel": ["84.9", "86.5"],
}


@pytest.mark.parametrize("name", NAMES)
def test_it_reads_and_writes_back(name: str, tmp_path) -> None:
    recipe = find_transfer_recipe(name)
    assert recipe.name == name
    file = tmp_path / "recipe.toml"
    file.write_text(recipe.to_toml())
    assert TransferRecipe.read(file) == recipe


@pytest.mark.parametrize("name", NAMES)
def test_full_data_recipes_say_that_they_were_not_run(name: str) -> None:
    expected = find_transfer_recipe(name).expected
    if name.startswith(("imagenet", "voc", "coco")):
        assert expected.startswith("Not run here")
    for number in PUBLISHED.get(name, []):
        assert number in expected
    if name.startswith(("voc2007-detection", "voc2012", "caltech")):
        assert "left open" in expected  # the paper's own number is in no note


def test_224_then_299_changes_size_late() -> None:
    recipe = find_transfer_recipe("imagenet-finetune-224-299")
    sizes = [recipe.data.size_at(epoch, recipe.schedule.epochs) for epoch in (0, 89.9, 90, 119)]
    assert sizes == [224, 224, 299, 299]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("model.output_strid=8", "did you mean 'output_stride'"),
        ("evaluation.crops=3", "use 1 or 10"),
        ("hardware.precision=float16", "float32 or bfloat16"),
        ("data.fold=4", "out of range"),
        ("model.regions=-1", "use 0 to 4096"),
    ],
)
def test_a_wrong_setting_is_named(change: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        TransferRecipe().override(change)


def test_kinds_of_recipe_are_not_mixed_up() -> None:
    with pytest.raises(RecipeError, match="no such recipe"):
        find_transfer_recipe("photos")
    with pytest.raises(RecipeError, match="no such recipe"):
        find_recipe("caltech256")
    assert type(find_recipe("photos")) is Recipe


def test_a_layout_without_lists_is_named(tmp_path) -> None:
    recipe = find_transfer_recipe("voc2007-detection-07").override("data.test=[]")
    with pytest.raises(RecipeError, match=r"data\.test: names no list"):
        read_data(recipe, tmp_path)
    with pytest.raises(RecipeError, match="has no data for detection"):
        read_data(recipe.override("data.layout=folders"), tmp_path)
