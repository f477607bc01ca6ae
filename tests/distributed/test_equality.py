"""Any number of processes trains the same network on the same images."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.distributed.processes import run, train_as_rank
from tests.training.fakes import FakeDatabase, tiny_recipe

from mlimages.errors import RecipeError
from mlimages.training.checkpoint import newest_checkpoint
from mlimages.training.data import TrainingData
from mlimages.training.distribution import Ranks
from mlimages.training.tags import TagMatrix

CHANGES = (
    "data.batch_norm_group=4",
    "data.batch_size=16",
    "schedule.epochs=2",
    "optimizer.average_decay=0.9",
)
# Networks this small multiply any rounding in each step, unless the steps are small.
NETWORKS = {
    "timm:test_resnet": ("model.backbone=timm:test_resnet", "optimizer.learning_rate=1e-4"),
    "resnet": (
        "data.batch_norm_group=8",
        "data.image_size=64",
        "model.width=0.125",
        "optimizer.learning_rate=1e-4",
    ),
}


def weights(out: Path) -> dict[str, torch.Tensor]:
    checkpoint = newest_checkpoint(out)
    assert checkpoint is not None
    assert checkpoint.step == 5
    return checkpoint.model_tensors() | checkpoint.training_tensors()


def losses(out: Path) -> list[float]:
    lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if line["kind"] == "train"]


@pytest.mark.parametrize(
    ("network", "loss", "micro"),
    [
        ("timm:test_resnet", "paper", 0),
        ("resnet", "bce", 8),
        pytest.param("timm:test_resnet", "selective", 8, marks=pytest.mark.slow),
        pytest.param("timm:test_resnet", "semantic-softmax", 0, marks=pytest.mark.slow),
    ],
)
def test_two_ranks_and_one_agree_over_five_steps(
    tmp_path: Path, network: str, loss: str, micro: int
) -> None:
    changes = (*CHANGES, *NETWORKS[network], f"loss.name={loss}")
    one, two = tmp_path / "one", tmp_path / "two"
    assert run(1, train_as_rank, str(one), changes) == [0]
    assert run(2, train_as_rank, str(two), (*changes, f"data.micro_batch={micro}")) == [0, 0]
    np.testing.assert_allclose(losses(two), losses(one), rtol=1e-5)
    expected = weights(one)
    for name, tensor in weights(two).items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-5, msg=name)
    measured = [json.loads((out / "result.json").read_text())["evaluation"] for out in (one, two)]
    assert measured[0]["baseline"] == measured[1]["baseline"]
    assert measured[1]["model"]["map_macro"] == pytest.approx(measured[0]["model"]["map_macro"])
    assert measured[0]["model"]["images"] == measured[1]["model"]["images"] == 20


@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_ranks_read_their_lanes_and_the_same_groups(ranks: int) -> None:
    """The batch, its groups and what each rank reads, for batches smaller and larger than lanes."""
    for lanes, batch in ((8, 32), (128, 16), (24, 24)):
        changes = (f"data.lanes={lanes}", f"data.batch_size={batch}", "data.batch_norm_group=2")
        alone = steps(Ranks(), *changes)
        everyone = [steps(Ranks(rank, ranks), *changes) for rank in range(ranks)]
        for number, whole in enumerate(alone):
            shares = [own[number] for own in everyone]
            assert [group for share in shares for group in share[1]] == whole[1]
            positions = np.arange(number * batch, (number + 1) * batch)
            if positions[-1] // 400 != positions[0] // 400 or batch % (2 * ranks):
                continue  # what does not go evenly is dealt out group by group
            lane = positions % 400 % lanes
            classes = [sorted(whole[2][lane % ranks == rank]) for rank in range(ranks)]
            assert sorted(sorted(share[0]) for share in shares) == sorted(classes)


def steps(ranks: Ranks, *changes: str) -> list[tuple[list, list, np.ndarray]]:
    """Of each step: this rank's samples, its groups, and all samples in order of position."""
    db, recipe = FakeDatabase(train=400), tiny_recipe(*changes)
    selection = db.select("train")
    tags = TagMatrix(selection, np.arange(4))  # type: ignore[arg-type]
    data = TrainingData(db.reader(), selection, tags, recipe, ranks)  # type: ignore[arg-type]
    found, size = [], recipe.data.batch_size
    for step in range(30):
        samples = data._plan(step).samples.tolist()
        sizes = [size for sizes in data.division.passes for size in sizes]
        bounds = np.concatenate([[0], np.cumsum(sizes)]).astype(int).tolist()
        groups = [samples[a:b] for a, b in pairwise(bounds)]
        found.append((samples, groups, data.order.batch(step * size, size)[1]))
    return found


@pytest.mark.parametrize(
    ("ranks", "changes", "line"),
    [
        (4, ("data.lanes=2",), "4 processes: are more than the 2 lanes of the data order"),
        (3, (), "3 processes: do not divide the 128 lanes of the data order"),
        (4, ("data.batch_norm_group=4",), "4 processes: are more than the groups of 4"),
    ],
)
def test_ranks_that_cannot_share_the_data_are_told_so_in_a_line(ranks, changes, line) -> None:
    with pytest.raises(RecipeError, match=line):
        steps(Ranks(0, ranks), *changes)


def test_a_wrong_number_of_processes_is_told_once(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run(2, train_as_rank, str(out), ("data.lanes=1",)) == [1, 1]
    told = [Path(f"{out}.rank-{rank}.txt").read_text() for rank in range(2)]
    assert "2 processes: are more than the 1 lanes" in told[0]
    assert told[1] == ""


def test_broken_images_are_known_to_all_ranks(tmp_path: Path) -> None:
    changes = ("data.batch_norm_group=4", "evaluation.split=''", "schedule.epochs=1")
    out, alone = tmp_path / "run", tmp_path / "alone"
    assert run(2, train_as_rank, str(out), changes, False, (3, 17)) == [0, 0]
    assert run(1, train_as_rank, str(alone), changes, False, (3, 17)) == [0]
    told = [json.loads((path / "result.json").read_text())["broken"] for path in (out, alone)]
    assert sorted(told[0]) == sorted(told[1]) == ["row 17: truncated", "row 3: truncated"]
    strict = (*changes, "data.broken_limit=0.025")
    assert run(2, train_as_rank, str(tmp_path / "strict"), strict, False, (3, 17)) == [1, 1]
    assert "2 are broken" in Path(f"{tmp_path / 'strict'}.rank-0.txt").read_text()
