"""`mlimages train` hands its options on as they were written."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlimages.cli.train import train
from mlimages.database import Database
from mlimages.training import loop
from mlimages.training.recipe import Recipe


class StartedError(Exception):
    """Stands for the training that a test does not do."""


@pytest.mark.parametrize("split", ["2012", "true", "train", 'a "quoted" [name]', "\u540d"])
def test_any_name_of_a_split_is_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: str
) -> None:
    recipes: list[Recipe] = []

    def start(db: object, recipe: Recipe, out: Path, resume: bool) -> None:
        recipes.append(recipe)
        raise StartedError

    monkeypatch.setattr(Database, "open", lambda path: None)
    monkeypatch.setattr(loop, "train", start)
    with pytest.raises(StartedError):
        train(tmp_path, out=tmp_path / "run", recipe="photos", split=split, device="cpu")
    assert recipes[0].data.split == split
    assert recipes[0].hardware.device == "cpu"
