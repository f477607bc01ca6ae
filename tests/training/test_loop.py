"""Whole runs on a tiny database in memory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.fakes import KEYS, FakeDatabase, statistics_of, tags_of, tiny_recipe

from mlimages.errors import CheckpointError, InputError, RecipeError, TrainingError
from mlimages.training.loop import train


def records(out: Path, kind: str) -> list[dict]:
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


def test_a_run_learns_and_leaves_its_files(tmp_path: Path) -> None:
    out = tmp_path / "run"
    recipe = tiny_recipe("schedule.epochs=16", "loss.name=bce", "model.start_at_prior=true")
    result = train(FakeDatabase(), recipe, out)
    assert (result.steps, result.samples_seen, result.epochs) == (80, 640, 16)
    assert result.categories == 4  # "never" has no image
    assert result.evaluation is not None
    model, baseline = result.evaluation["model"], result.evaluation["baseline"]
    assert model["map_macro"] > baseline["map_macro"] + 0.1
    assert json.loads((out / "result.json").read_text())["steps"] == 80
    train_records = records(out, "train")
    assert [record["step"] for record in train_records] == list(range(1, 81))
    expected = {"kind", "step", "epoch", "samples_seen", "loss", "gradient_norm"}
    assert set(train_records[0]) == expected | {"learning_rate", "images_per_second", "data_wait"}
    (evaluation,) = records(out, "evaluation")
    assert evaluation["metrics"]["map_macro"] == model["map_macro"]
    assert len(list((out / "checkpoints").iterdir())) == 1


def test_learning_rates_follow_the_schedule(tmp_path: Path) -> None:
    train(FakeDatabase(), tiny_recipe(), tmp_path / "run")
    rates = [record["learning_rate"] for record in records(tmp_path / "run", "train")]
    stairs = [0.05 * 0.125 * 1.297 ** int(8 * step / 5) for step in range(5)]
    np.testing.assert_allclose(rates, [*stairs, 0.05, 0.05, 0.05, 0.005, 0.005])


def test_evaluation_every_epoch(tmp_path: Path) -> None:
    train(FakeDatabase(), tiny_recipe("evaluation.every_epochs=1"), tmp_path / "run")
    assert [record["epoch"] for record in records(tmp_path / "run", "evaluation")] == [1.0, 2.0]


def test_micro_batches_change_nothing(tmp_path: Path) -> None:
    """A pass of two groups and two passes of one are the same, but for rounding."""
    losses = []
    for micro in (0, 4, 8):
        changes = [f"data.micro_batch={micro}", "data.batch_norm_group=4", "schedule.epochs=1"]
        out = tmp_path / str(micro)
        changes += [
            "model.backbone=timm:test_resnet",
            "loss.name=bce",
            "optimizer.learning_rate=0.002",
        ]
        recipe = tiny_recipe(*changes)
        train(FakeDatabase(), recipe, out)
        losses.append([record["loss"] for record in records(out, "train")])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-6)
    np.testing.assert_allclose(losses[2], losses[0], rtol=1e-5)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_autocast_trains_and_is_saved_in_float32(tmp_path: Path, precision: str) -> None:
    out = tmp_path / "run"
    result = train(FakeDatabase(), tiny_recipe(f"hardware.precision={precision}"), out)
    assert np.isfinite(result.loss)
    from mlimages.training.checkpoint import newest_checkpoint

    checkpoint = newest_checkpoint(out)
    assert checkpoint is not None
    assert checkpoint.model_tensors()["head.weight"].dtype == torch.float32


def test_non_finite_loss_stops_before_the_update_and_captures_the_batch(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(TrainingError, match=r"nan-capture.*lower optimizer.learning_rate"):
        train(FakeDatabase(), tiny_recipe("optimizer.learning_rate=900000"), out)
    (capture,) = (out / "nan-capture").iterdir()
    captured = json.loads((capture / "state.json").read_text())
    assert len(captured["capture"]["rows"]) == 8
    assert captured["step"] == len(records(out, "train"))  # the update was not made


def test_weights_are_untouched_by_a_non_finite_update(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlimages.training.data import TrainingData
    from mlimages.training.state import build_state
    from mlimages.training.tags import TagMatrix
    from mlimages.training.update import NonFiniteLossError, update

    db, recipe = FakeDatabase(), tiny_recipe()
    selection = db.select("train")
    tags = TagMatrix(selection, np.arange(4))  # type: ignore[arg-type]
    data = TrainingData(db.reader(), selection, tags, recipe)  # type: ignore[arg-type]
    state = build_state(recipe, statistics_of(tags.frequencies()), torch.device("cpu"))
    state.network.head.bias.data[2] = float("inf")
    before = {name: p.clone() for name, p in state.network.named_parameters()}
    with pytest.raises(NonFiniteLossError):
        update(state, next(data.steps(0, 1)), 0.1)
    assert state.step == 0
    for name, parameter in state.network.named_parameters():
        assert torch.equal(parameter, before[name])


def test_weight_decay_spares_batch_norm_only() -> None:
    from mlimages.training.optimizers import build_optimizer
    from mlimages.training.state import build_network

    recipe = tiny_recipe()
    network = build_network(recipe, 4)
    optimizer = build_optimizer(recipe.optimizer, network)
    free, decayed = (group["params"] for group in optimizer.param_groups)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.0, 1e-4]
    assert any(p is network.head.bias for p in decayed)
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(free) == 2 * len(norms)
    assert len(decayed) + len(free) == len(list(network.parameters()))
    assert not optimizer.param_groups[0]["nesterov"]


def test_broken_images_are_replaced_named_and_counted(tmp_path: Path) -> None:
    result = train(FakeDatabase(broken={3, 17, 45}), tiny_recipe(), tmp_path / "run")
    assert sorted(result.broken) == ["row 17: truncated", "row 3: truncated"]
    assert result.evaluation is not None
    assert result.evaluation["broken"] == 1
    assert result.evaluation["model"]["images"] == 19


def test_too_many_broken_images_stop_the_run(tmp_path: Path) -> None:
    recipe = tiny_recipe("data.broken_limit=0.05")
    with pytest.raises(TrainingError, match="3 are broken"):
        train(FakeDatabase(broken={3, 17, 20}), recipe, tmp_path / "run")


def test_an_unfinished_run_continues_only_when_asked(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(TrainingError):
        train(FakeDatabase(), tiny_recipe("optimizer.learning_rate=900000"), out)
    with pytest.raises(InputError, match="unfinished run; add --resume"):
        train(FakeDatabase(), tiny_recipe(), out)
    with pytest.raises(RecipeError, match=r"optimizer.learning_rate: the run was started with"):
        train(FakeDatabase(), tiny_recipe(), out, resume=True)


def test_a_start_that_failed_is_not_a_run(tmp_path: Path, monkeypatch) -> None:
    out = tmp_path / "run"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for wrong in ("data.split=tarin", "hardware.device=cuda"):
        for resume in (False, True):
            with pytest.raises(InputError, match=r"no such split|no CUDA device"):
                train(FakeDatabase(), tiny_recipe(wrong), out, resume)
    assert train(FakeDatabase(), tiny_recipe("seed=3"), out).steps == 10


def test_a_run_continues_on_another_device_but_not_in_another_precision(tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(FakeDatabase(), tiny_recipe(), out)
    (out / "result.json").unlink()
    with pytest.raises(RecipeError, match=r"hardware.precision: the run was started with"):
        train(FakeDatabase(), tiny_recipe("hardware.precision=float16"), out, resume=True)
    changed = tiny_recipe("hardware.device=auto", "hardware.log_seconds=5")
    assert train(FakeDatabase(), changed, out, resume=True).steps == 10


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_text("precious")
    with pytest.raises(InputError, match="holds no run"):
        train(FakeDatabase(), tiny_recipe(), tmp_path)
    with pytest.raises(InputError, match="is a file"):
        train(FakeDatabase(), tiny_recipe(), tmp_path / "photo.jpg")
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


@pytest.mark.parametrize("content", ["{", "[1]", '{"steps": 3}'])
def test_a_damaged_result_is_named_and_can_be_made_again(tmp_path: Path, content: str) -> None:
    out = tmp_path / "run"
    result = train(FakeDatabase(), tiny_recipe("schedule.epochs=0.2"), out)
    (out / "result.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"result.json: is damaged; remove it"):
        train(FakeDatabase(), None, out, resume=True)
    (out / "result.json").unlink()
    assert train(FakeDatabase(), None, out, resume=True) == result


def test_a_changed_database_is_not_continued(tmp_path: Path, monkeypatch) -> None:
    out = tmp_path / "run"
    train(FakeDatabase(), tiny_recipe(), out)
    (out / "result.json").unlink()
    with pytest.raises(CheckpointError, match="changed since"):
        train(FakeDatabase(train=39), None, out, resume=True)


def test_two_processes_cannot_write_one_run(tmp_path: Path) -> None:
    from mlimages.training.run import open_run

    out = tmp_path / "run"
    with (
        open_run(out, tiny_recipe(), resume=False),
        pytest.raises(InputError, match="another process"),
    ):
        train(FakeDatabase(), None, out, resume=True)


def test_categories_need_the_minimum_of_images(tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = train(FakeDatabase(), tiny_recipe("data.minimum_images=10"), out)
    assert result.categories == 3  # 8 of 40 images are blue
    model = json.loads((Path(result.checkpoint) / "model.json").read_text())
    assert [entry["key"] for entry in model["categories"]] == list(KEYS[:3])
    assert model["categories"][1] == {"key": "red", "name": "Red", "parents": ["scene"]}
    assert sum(3 in tags_of(row) for row in range(40)) == 8
    with pytest.raises(InputError, match="no category has 99"):
        train(FakeDatabase(), tiny_recipe("data.minimum_images=99"), tmp_path / "other")


def test_without_a_validation_split_the_run_says_so(tmp_path: Path, caplog) -> None:
    result = train(FakeDatabase(), tiny_recipe("evaluation.split=test"), tmp_path / "run")
    assert result.evaluation is None
    assert "training without evaluation" in caplog.text


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch) -> None:
    import errno

    from mlimages.errors import StorageError
    from mlimages.training import checkpoint

    out = tmp_path / "run"
    digest = checkpoint.sha256_file

    def digest_until_full(path: Path) -> str:
        if "step-00000008" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        return digest(path)

    monkeypatch.setattr(checkpoint, "sha256_file", digest_until_full)
    with pytest.raises(StorageError, match="no space left"):
        train(FakeDatabase(), tiny_recipe("checkpoint.every_steps=4"), out)
    monkeypatch.undo()
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["step-00000004"]
    assert train(FakeDatabase(), None, out, resume=True).steps == 10


@pytest.mark.parametrize("prior", ["true", "false"])
def test_the_global_random_state_is_not_touched(tmp_path: Path, prior: str) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    train(FakeDatabase(), tiny_recipe(f"model.start_at_prior={prior}"), tmp_path / "run")
    assert torch.equal(torch.rand(1), expected)


def test_a_recipe_decides_the_first_weights() -> None:
    from mlimages.training.state import build_state

    recipe = tiny_recipe("model.start_at_prior=true")
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        states.append(build_state(recipe, statistics_of([40, 20, 5]), torch.device("cpu")))
    one, other = (state.network.state_dict() for state in states)
    assert all(torch.equal(one[name], other[name]) for name in one)
