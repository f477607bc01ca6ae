"""Each task learns 8 photos by heart; a run that was killed ends as one that was not."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.transfer import worlds

from mlimages.errors import CheckpointError, InterruptedTrainingError, TrainingError
from mlimages.training.checkpoint import newest_checkpoint
from mlimages.training.inference import load_model
from mlimages.transfer.cost import measure_cost
from mlimages.transfer.data import TransferPhotos, build_task, read_data
from mlimages.transfer.loop import Transfer, transfer
from mlimages.transfer.recipe import TransferRecipe
from mlimages.transfer.tasks.classification import Classification

BACKBONE = "untrained:resnet26x0.125"
COMMON = {
    "model": {"backbone": BACKBONE},
    "optimizer": {"name": "adamw", "learning_rate": 3e-3, "weight_decay": 0.0},
    "augmentation": {
        "area": [1.0, 1.0],
        "flip_fraction": 0.0,
        "rotation_fraction": 0.0,
        "colour_fraction": 0.0,
    },
    "schedule": {"name": "cosine", "warmup_epochs": 0, "epochs": 10},
    "hardware": {"log_seconds": 0},
    "evaluation": {"pictures": 2, "crop_fraction": 1.0},
}
TASKS = {
    "classification": {
        "data": {"layout": "imagenet", "size": 64, "batch_size": 6},
        "schedule": {"epochs": 60},
    },
    "multilabel": {
        "loss": {"name": "bce"},
        "data": {"layout": "voc", "size": 64, "batch_size": 8},
        "schedule": {"epochs": 60},
    },
    "detection": {
        "model": {"detector": "c4", "regions": 32},  # "fpn" has 14 million weights on top
        "data": {"layout": "voc", "size": 64, "long_side": 96, "batch_size": 4},
        "schedule": {"epochs": 60},
        "optimizer": {"learning_rate": 1e-3, "clip_norm": 10.0},
    },
    "segmentation": {
        "model": {"output_stride": 16, "segmenter": "v3plus"},
        "data": {"layout": "voc", "size": 64, "batch_size": 8, "scales": [1.0, 1.0]},
        "schedule": {"epochs": 90},
    },
}


def recipe_of(task: str, **changes: dict) -> TransferRecipe:
    values: dict = {"name": task, "task": task}
    for part in (COMMON, TASKS[task], changes):
        for section, settings in part.items():
            values[section] = {**values.get(section, {}), **settings}
    if values["data"]["layout"] == "voc":
        values["data"] |= {"train": ["VOC2007/trainval"], "test": ["VOC2007/test"]}
    return TransferRecipe.from_dict(values)


def photos_of(recipe: TransferRecipe, place: Path) -> TransferPhotos:
    return read_data(recipe, place)


@pytest.mark.parametrize(
    "task",
    [
        "classification",
        "multilabel",
        "segmentation",
        pytest.param("detection", marks=pytest.mark.slow),  # a minute of one core
    ],
)
def test_it_learns_eight_photos_by_heart(task: str, place: Path, tmp_path: Path) -> None:
    recipe = recipe_of(task)
    result = transfer(recipe, photos_of(recipe, place), tmp_path / "run")
    assert result.value > 0.9, result.measures
    assert result.loss is not None
    assert result.loss < (0.5 if task == "detection" else 0.3)  # detection's is a sum of four
    lines = (tmp_path / "run" / "images.jsonl").read_text().splitlines()
    assert len(lines) == result.test_images == len(list(map(json.loads, lines)))
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.count("data:image/jpeg") == 4
    assert "data:image/svg" in page


@pytest.mark.parametrize("task", list(TASKS))
def test_a_killed_run_ends_as_one_that_was_not(
    task: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(
        task,
        schedule={"epochs": 4},
        checkpoint={"every_steps": 1},
        optimizer={"average_decay": 0.9},
        augmentation={"flip_fraction": 0.5, "area": [0.5, 1.0]},
    )
    photos = photos_of(recipe, place)
    whole = transfer(recipe, photos, tmp_path / "whole")
    monkeypatch.setattr(Transfer, "update", killed_at(2))
    with pytest.raises(KeyboardInterrupt):
        transfer(recipe, photos, tmp_path / "killed")
    monkeypatch.undo()
    again = transfer(recipe, photos, tmp_path / "killed", resume=True)
    assert again.measures == whole.measures
    ends = [newest_checkpoint(tmp_path / name) for name in ("whole", "killed")]
    for one, other in zip(
        (ends[0].model_tensors(), ends[0].training_tensors()),
        (ends[1].model_tensors(), ends[1].training_tensors()),
        strict=True,
    ):
        assert one.keys() == other.keys()
        for name, tensor in one.items():
            assert torch.equal(tensor, other[name]), name


def killed_at(step: int):
    update = Transfer.update

    def dying(self, samples, rate):
        if self.step == step:
            raise KeyboardInterrupt
        return update(self, samples, rate)

    return dying


def test_a_classifier_works_wherever_a_checkpoint_does(place: Path, tmp_path: Path) -> None:
    recipe = recipe_of("classification", schedule={"epochs": 1})
    transfer(recipe, photos_of(recipe, place), tmp_path / "run")
    model = load_model(tmp_path / "run")
    assert [category.key for category in model.categories] == [
        "own:aeroplane",
        "own:cat",
        "own:dog",
    ]
    photo = worlds.scene(0)[0]
    assert model.probabilities(model.preprocess(photo)[None]).shape == (1, 3)


def test_a_finished_run_is_shown_again(place: Path, tmp_path: Path) -> None:
    recipe = recipe_of("classification", schedule={"epochs": 1})
    photos = photos_of(recipe, place)
    result = transfer(recipe, photos, tmp_path / "run")
    assert transfer(recipe, photos, tmp_path / "run", resume=True) == result


def test_a_run_writes_the_logs_that_are_asked_for(place: Path, tmp_path: Path) -> None:
    changes = {"schedule": {"epochs": 1}, "logging": {"page": False, "tensorboard": True}}
    recipe = recipe_of("classification", **changes)
    transfer(recipe, photos_of(recipe, place), tmp_path / "run")
    kinds = [line.split(",")[0] for line in (tmp_path / "run/metrics.csv").read_text().splitlines()]
    assert kinds == ["kind", "train", "evaluation"]
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    assert not list((tmp_path / "run").glob("*.html"))


def test_other_photos_are_refused_on_resume(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of("classification", checkpoint={"every_steps": 1})
    photos = photos_of(recipe, place)
    monkeypatch.setattr(Transfer, "update", killed_at(1))
    with pytest.raises(KeyboardInterrupt):
        transfer(recipe, photos, tmp_path / "run")
    fewer = TransferPhotos(photos.train.take([0, 1, 2, 3]), photos.test, [])
    with pytest.raises(CheckpointError, match="other photos"):
        transfer(recipe, fewer, tmp_path / "run", resume=True)


def test_a_loss_that_is_not_finite_stops_before_the_update(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = Classification.loss

    def poisoned(self, samples, indices, step):
        return loss(self, samples, indices, step) * (torch.nan if step == 2 else 1)

    monkeypatch.setattr(Classification, "loss", poisoned)
    recipe = recipe_of("classification", checkpoint={"every_steps": 1})
    with pytest.raises(TrainingError, match=r"update 3 \(its photos are in"):
        transfer(recipe, photos_of(recipe, place), tmp_path / "run")
    (captured,) = (tmp_path / "run" / "nan-capture").iterdir()
    assert len(json.loads(captured.read_text())["photos"]) == 6
    checkpoint = newest_checkpoint(tmp_path / "run")
    assert checkpoint.step == 2
    assert all(tensor.isfinite().all() for tensor in checkpoint.model_tensors().values())


def test_sigterm_saves_and_says_how_to_go_on(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = Transfer.update

    def signalled(self, samples, rate):
        os.kill(os.getpid(), signal.SIGTERM)
        return update(self, samples, rate)

    monkeypatch.setattr(Transfer, "update", signalled)
    recipe = recipe_of("classification")
    with pytest.raises(InterruptedTrainingError, match="after update 1"):
        transfer(recipe, photos_of(recipe, place), tmp_path / "run")
    assert newest_checkpoint(tmp_path / "run").step == 1


def test_the_cost_is_measured_and_nothing_is_written(place: Path, tmp_path: Path) -> None:
    recipe = recipe_of("classification")
    cost = measure_cost(recipe, photos_of(recipe, place))
    assert cost.steps == 60
    assert cost.hours == pytest.approx(cost.seconds_per_step * 60 / 3600)
    assert list(tmp_path.iterdir()) == []


def test_a_found_box_thinner_than_a_pixel_is_drawn(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of("detection", data={"layout": "voc", "size": 64, "long_side": 96})
    task = build_task(recipe, photos_of(recipe, place))
    thin = np.array([[20.0, 10.0, 19.4, 30.0]])  # from 19.0 to 19.4, as VOC counts
    monkeypatch.setattr(task, "detect", lambda image: (thin, np.array([0.9]), np.array([0])))
    picture = task.picture(0)
    assert picture.shape == (worlds.HEIGHT, worlds.WIDTH, 3)
    assert not np.array_equal(picture[15:25, 19], picture[15:25, 30])
