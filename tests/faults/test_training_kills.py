"""Runs that are killed, stopped, moved to other numbers of processes, or meet a NaN."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.distributed.processes import run, start, train_as_rank
from tests.training.fakes import FakeDatabase, tiny_recipe

from mlimages.errors import InterruptedTrainingError
from mlimages.training.checkpoint import newest_checkpoint
from mlimages.training.loop import train

CHANGES = (
    "data.batch_norm_group=4",
    "schedule.epochs=4",
    "checkpoint.every_steps=1",
    "model.backbone=timm:test_resnet",
    "optimizer.learning_rate=0.002",
    "evaluation.split=''",
)
slow = pytest.mark.slow


@pytest.fixture(autouse=True)
def one_thread():
    """Bit-equality is promised for equal numbers of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tensors(out: Path) -> dict[str, bytes]:
    checkpoint = newest_checkpoint(out)
    assert checkpoint is not None
    assert checkpoint.step == 20
    names = ("model.safetensors", "training.safetensors")
    return {name: (checkpoint.folder / name).read_bytes() for name in names}


def logged(out: Path) -> list[dict]:
    path = out / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.is_file() else []
    records = [json.loads(line) for line in lines if line.endswith("\n")]
    return [record for record in records if record["kind"] == "train"]


def wait_for(out: Path, step: int, processes: list) -> None:
    deadline = time.monotonic() + 60
    while all(p.is_alive() for p in processes) and len(logged(out)) < step:
        assert time.monotonic() < deadline, "the run made no progress"
        time.sleep(0.002)


def join(processes: list) -> list:
    for process in processes:
        process.join(30)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    return codes


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert run(1, train_as_rank, str(out), CHANGES) == [0]
    return out


@pytest.mark.parametrize(
    "attempt", [*range(3), *(pytest.param(n, marks=slow) for n in range(3, 30))]
)
def test_killed_while_training_or_saving_and_continued_gives_equal_bits(
    whole: Path, tmp_path: Path, attempt: int
) -> None:
    """A checkpoint is being written nearly all the time, so kills also hit the writing."""
    choose = random.Random(attempt)
    out = tmp_path / "run"
    processes = start(1, train_as_rank, str(out), CHANGES, True)
    wait_for(out, choose.randint(1, 19), processes)
    time.sleep(choose.uniform(0, 0.05))
    processes[0].kill()
    join(processes)
    assert run(1, train_as_rank, str(out), CHANGES, True) == [0]
    assert tensors(out) == tensors(whole)
    assert [record["step"] for record in logged(out)] == list(range(1, 21))


def test_twenty_steps_equal_seven_and_thirteen_by_two_processes(tmp_path: Path) -> None:
    changes = tuple(c for c in CHANGES if not c.startswith("checkpoint"))
    straight, halted = tmp_path / "straight", tmp_path / "halted"
    assert run(2, train_as_rank, str(straight), changes) == [0, 0]
    processes = start(2, train_as_rank, str(halted), changes)
    wait_for(halted, 7, processes)
    assert processes[1].pid is not None
    os.kill(processes[1].pid, signal.SIGTERM)  # one rank only: all of them save and stop
    assert join(processes) == [130, 130]
    checkpoint = newest_checkpoint(halted)
    assert checkpoint is not None
    assert 7 <= checkpoint.step == len(logged(halted)) < 20
    told = Path(f"{halted}.rank-0.txt").read_text()
    assert "stopped by SIGTERM" in told
    assert "continue with: mlimages train DB --out" in told
    assert run(2, train_as_rank, str(halted), changes, True) == [0, 0]
    assert tensors(halted) == tensors(straight)


def test_two_ranks_then_one_then_two_keep_the_order_of_the_data(
    whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    for size, until in ((2, 5), (1, 11), (2, None)):
        processes = start(size, train_as_rank, str(out), CHANGES, True)
        if until is not None:
            wait_for(out, until, processes)
            os.kill(processes[0].pid or 0, signal.SIGTERM)
        assert join(processes) == [0 if until is None else 130] * size
    assert [record["samples_seen"] for record in logged(out)] == list(range(8, 161, 8))
    # The same images in every step: the losses are the same, but for rounding.
    alone, moved = ([record["loss"] for record in logged(path)] for path in (whole, out))
    np.testing.assert_allclose(moved[:8], alone[:8], rtol=1e-4)
    np.testing.assert_allclose(moved, alone, rtol=0.1)


def poisoned(rank: int, out: str) -> None:
    """Train with a loss that is NaN on the second rank at step 3."""
    from mlimages.training import update

    plain = update.forward_logits

    def forward(state, part, precision, device):
        logits = plain(state, part, precision, device)
        return logits * float("nan") if rank == 1 and state.step == 3 else logits

    update.forward_logits = forward  # type: ignore[assignment]
    train_as_rank(rank, out, CHANGES)


def test_a_nan_on_one_rank_stops_all_before_the_update_and_is_captured(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run(2, poisoned, str(out)) == [1, 1]
    assert "loss nan" in Path(f"{out}.rank-0.txt").read_text()
    assert Path(f"{out}.rank-1.txt").read_text() == ""
    (capture,) = (out / "nan-capture").iterdir()
    state = json.loads((capture / "state.json").read_text())
    assert state["step"] == 3 == len(logged(out))
    assert [float(loss) == float(loss) for loss in state["capture"]["losses_of_ranks"]] == [
        True,
        False,
    ]
    before = newest_checkpoint(out)
    assert before is not None
    assert before.step == 3
    for name in ("model.safetensors", "training.safetensors"):  # counters of the loss included
        assert (capture / name).read_bytes() == (before.folder / name).read_bytes()


def killed_peer(rank: int, out: str) -> None:
    from mlimages.training import update

    plain = update.forward_logits

    def forward(state, part, precision, device):
        if rank == 1 and state.step == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(state, part, precision, device)

    update.forward_logits = forward  # type: ignore[assignment]
    train_as_rank(rank, out, CHANGES)


def test_a_rank_whose_peer_is_killed_ends_with_a_line(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run(2, killed_peer, str(out)) == [1, -signal.SIGKILL]
    assert "another process of the run ended" in Path(f"{out}.rank-0.txt").read_text()
    assert run(1, train_as_rank, str(out), CHANGES, True) == [0]


def test_the_best_checkpoint_stays_beside_the_newest(tmp_path: Path) -> None:
    out = tmp_path / "run"
    recipe = tiny_recipe("evaluation.every_epochs=1", "checkpoint.keep=1", "schedule.epochs=4")
    result = train(FakeDatabase(), recipe, out)  # type: ignore[arg-type]
    lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    measured = {
        line["step"]: line["metrics"]["map_macro"] for line in lines if line["kind"] == "evaluation"
    }
    assert sorted(measured) == [5, 10, 15, 20]
    best = json.loads((out / "best.json").read_text())
    assert measured[best["step"]] == max(measured.values())
    assert result.best == {key: best[key] for key in ("step", "map_macro")}
    kept = sorted(path.name for path in (out / "checkpoints").iterdir())
    assert {f"step-{best['step']:08d}", "step-00000020"} <= set(kept)
    assert len(kept) <= 2
    assert (out / best["checkpoint"] / "model.safetensors").is_file()


def test_a_signal_while_a_checkpoint_is_written_seals_both(tmp_path: Path, monkeypatch) -> None:
    from mlimages.training import saving

    write = saving.write_checkpoint

    def slowly(*arguments):
        if arguments[3]["step"] == 3:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.3)
        return write(*arguments)

    monkeypatch.setattr(saving, "write_checkpoint", slowly)
    out = tmp_path / "run"
    recipe = tiny_recipe(*CHANGES, "checkpoint.every_steps=3")
    with pytest.raises(InterruptedTrainingError):
        train(FakeDatabase(), recipe, out)  # type: ignore[arg-type]
    folders = sorted(path.name for path in (out / "checkpoints").iterdir())
    assert folders[0] == "step-00000003"
    assert len(folders) == 2
