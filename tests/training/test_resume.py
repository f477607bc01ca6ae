"""A run that is killed or stopped, and continued, ends with the weights of one that never was."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest
import torch
from tests.training.fakes import FakeDatabase, tiny_recipe, train_in_process

from mlimages.errors import InputError, InterruptedTrainingError
from mlimages.training.loop import train

CHANGES = (
    "schedule.epochs=4",
    "checkpoint.every_steps=3",
    "data.batch_norm_group=4",
    "model.start_at_prior=true",
)
SEALED = ("model.safetensors", "training.safetensors", "model.json")
slow = pytest.mark.slow


@pytest.fixture(autouse=True)
def one_thread():
    """Bit-equality is promised for equal numbers of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> dict[str, bytes]:
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("runs") / "whole"
    train(FakeDatabase(), tiny_recipe(*CHANGES), out)
    return final_files(out)


def final_files(out: Path) -> dict[str, bytes]:
    folder = max((out / "checkpoints").iterdir())
    assert folder.name == "step-00000020"
    return {name: (folder / name).read_bytes() for name in SEALED}


def logged_steps(out: Path) -> list[int]:
    path = out / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.is_file() else []
    records = [json.loads(line) for line in lines if line.endswith("\n")]
    return [record["step"] for record in records if record["kind"] == "train"]


def run_until_killed(out: Path, step: int, delay: float) -> None:
    """Start (or continue) a run in its own process, and kill it some time after an update."""
    server = multiprocessing.get_context("forkserver")
    # What an update would otherwise import in every new process.
    preload = ["tests.training.fakes", "mlimages.training.loop", "torch._dynamo", "cv2"]
    server.set_forkserver_preload(preload)
    process = server.Process(target=train_in_process, args=(str(out), True, CHANGES))
    process.start()
    deadline = time.monotonic() + 60
    while process.is_alive() and max(logged_steps(out), default=0) < step:
        assert time.monotonic() < deadline, "the run made no progress"
        time.sleep(0.002)
    time.sleep(delay)
    if process.is_alive() and process.pid is not None:
        os.kill(process.pid, signal.SIGKILL)
    process.join()


@pytest.mark.parametrize(
    "attempt", [*range(3), *(pytest.param(n, marks=slow) for n in range(3, 30))]
)
def test_killed_at_random_steps_and_continued_gives_equal_bits(
    uninterrupted: dict[str, bytes], tmp_path: Path, attempt: int
) -> None:
    choose = random.Random(attempt)
    out = tmp_path / "run"
    for _ in range(2):
        done = max(logged_steps(out), default=0)
        run_until_killed(out, choose.randint(min(done, 19), 19), choose.uniform(0, 0.02))
    train(FakeDatabase(), tiny_recipe(*CHANGES), out, resume=True)
    assert final_files(out) == uninterrupted
    assert logged_steps(out) == list(range(1, 21))


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_saves_stops_and_says_how_to_continue(
    uninterrupted: dict[str, bytes], tmp_path: Path, name: str
) -> None:
    out = tmp_path / "run"

    def interrupt() -> None:
        while max(logged_steps(out), default=0) < 4:
            time.sleep(0.002)
        os.kill(os.getpid(), getattr(signal, name))

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(InterruptedTrainingError, match="continue with: mlimages train DB --out"):
        train(FakeDatabase(), tiny_recipe(*CHANGES), out)
    thread.join()
    saved = json.loads((max((out / "checkpoints").iterdir()) / "state.json").read_text())
    assert saved["step"] == logged_steps(out)[-1] >= 4  # nothing that was done is lost
    train(FakeDatabase(), None, out, resume=True)
    assert final_files(out) == uninterrupted


def test_workers_do_not_change_the_result(uninterrupted: dict[str, bytes], tmp_path: Path) -> None:
    train(FakeDatabase(), tiny_recipe(*CHANGES, "data.workers=0"), tmp_path / "run")
    files = final_files(tmp_path / "run")
    assert files["model.safetensors"] == uninterrupted["model.safetensors"]
    assert files["training.safetensors"] == uninterrupted["training.safetensors"]


def test_a_truncated_newest_checkpoint_falls_back_and_says_why(
    uninterrupted: dict[str, bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "run"
    run_until_killed(out, 10, 0.0)
    newest = max((out / "checkpoints").glob("step-????????"))
    weights = newest / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    caplog.clear()
    train(FakeDatabase(), None, out, resume=True)
    assert f"{newest}: model.safetensors is truncated" in caplog.text
    assert final_files(out) == uninterrupted


def test_a_run_killed_in_its_last_evaluation_keeps_its_time_and_loss(tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = train(FakeDatabase(), tiny_recipe(), out)
    (out / "result.json").unlink()
    again = train(FakeDatabase(), None, out, resume=True)
    assert again == first
    assert again.images_per_second > 0
    assert again.loss is not None


def test_time_and_images_add_up_over_sessions(tmp_path: Path, monkeypatch) -> None:
    from mlimages.training.loop import Pretraining

    out = tmp_path / "run"
    update = Pretraining.update

    def fail_late(self: Pretraining, *arguments):
        if self.state.step == 6:
            raise KeyboardInterrupt
        return update(self, *arguments)

    monkeypatch.setattr(Pretraining, "update", fail_late)
    with pytest.raises(KeyboardInterrupt):
        train(FakeDatabase(), tiny_recipe("checkpoint.every_steps=3"), out)
    monkeypatch.undo()
    saved = json.loads((max((out / "checkpoints").iterdir()) / "state.json").read_text())["totals"]
    assert saved["images"] == 48
    result = train(FakeDatabase(), None, out, resume=True)
    assert result.seconds > saved["seconds"]
    images = result.images_per_second * result.seconds
    assert images == pytest.approx(result.samples_seen, rel=0.05)


def test_a_finished_run_resumes_to_its_result(tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = train(FakeDatabase(), tiny_recipe(), out)
    assert train(FakeDatabase(), None, out, resume=True) == first
    with pytest.raises(InputError, match="finished run"):
        train(FakeDatabase(), tiny_recipe(), out)
