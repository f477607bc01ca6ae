"""Checkpoint folders: sealed, verified, pruned, and read without executing anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mlimages.errors import CheckpointError
from mlimages.training.checkpoint import (
    load_into,
    newest_checkpoint,
    read_checkpoint,
    write_checkpoint,
)


def write(run: Path, step: int, keep: int = 2) -> Path:
    weights = {"weight": torch.full((3, 2), float(step))}
    counters = {"loss.pos_t": torch.arange(step)}
    return write_checkpoint(run, {"categories": []}, weights, {"step": step}, counters, keep)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    folder = write(tmp_path, 12)
    assert folder == tmp_path / "checkpoints" / "step-00000012"
    names = {"model.safetensors", "model.json", "training.safetensors", "state.json"}
    assert {path.name for path in folder.iterdir()} == names | {"manifest.json"}
    checkpoint = newest_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint.step == 12
    assert torch.equal(checkpoint.model_tensors()["weight"], torch.full((3, 2), 12.0))
    assert torch.equal(checkpoint.training_tensors()["loss.pos_t"], torch.arange(12))


def test_channels_last_tensors_keep_their_values(tmp_path: Path) -> None:
    weight = torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last)
    write_checkpoint(tmp_path, {}, {"w": weight}, {"step": 1}, {}, 1)
    checkpoint = newest_checkpoint(tmp_path)
    assert checkpoint is not None
    assert torch.equal(checkpoint.model_tensors()["w"], weight)


def test_only_the_newest_stay(tmp_path: Path) -> None:
    for step in (1, 2, 10, 100):
        write(tmp_path, step, keep=2)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-00000010", "step-00000100"]


@pytest.mark.parametrize("keep", [1, 2])
def test_a_damaged_later_checkpoint_does_not_push_out_the_one_just_written(
    tmp_path: Path, keep: int
) -> None:
    write(tmp_path, 100, keep)
    flip_a_bit(write(tmp_path, 200, keep=2) / "model.safetensors")
    write(tmp_path, 150, keep)  # by a run that continued after step 100
    checkpoint = newest_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint.step == 150
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-00000100", "step-00000150"][-keep:]


def test_a_run_without_checkpoints_has_none(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None


DAMAGES = {
    "manifest.json is missing": lambda folder: (folder / "manifest.json").unlink(),
    "manifest.json is damaged": lambda folder: (folder / "manifest.json").write_text("{"),
    "state.json is missing": lambda folder: (folder / "state.json").unlink(),
    "is truncated or changed": lambda folder: (folder / "model.safetensors").write_bytes(b""),
    "its checksum differs": lambda folder: flip_a_bit(folder / "training.safetensors"),
    "does not list state.json": lambda folder: forget(folder, "state.json"),
    "format version 2": lambda folder: (folder / "manifest.json").write_text(
        json.dumps({"format_version": 2, "files": {}})
    ),
}


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def forget(folder: Path, name: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["files"][name]
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("reason", DAMAGES)
def test_damage_is_named_and_the_checkpoint_before_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, reason: str
) -> None:
    write(tmp_path, 1)
    newest = write(tmp_path, 2)
    DAMAGES[reason](newest)
    with pytest.raises(CheckpointError, match=reason):
        read_checkpoint(newest)
    checkpoint = newest_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint.step == 1
    assert reason in caplog.text
    assert str(newest) in caplog.text


def test_a_file_that_is_damaged_after_it_was_checked_is_named(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(write(tmp_path, 1))
    (checkpoint.folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match=r"model.safetensors: cannot be read"):
        checkpoint.model_tensors()


def test_no_intact_checkpoint_is_an_error(tmp_path: Path) -> None:
    (write(tmp_path, 1) / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match="no intact checkpoint"):
        newest_checkpoint(tmp_path)


def test_a_damaged_checkpoint_is_replaced_and_an_intact_one_left(tmp_path: Path) -> None:
    folder = write(tmp_path, 1)
    before = (folder / "model.safetensors").stat().st_mtime_ns
    write(tmp_path, 1)
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    flip_a_bit(folder / "model.safetensors")
    write(tmp_path, 1)
    assert read_checkpoint(folder).step == 1


def test_leftovers_of_a_killed_writer_are_ignored_and_removed(tmp_path: Path) -> None:
    leftover = tmp_path / "checkpoints" / "step-00000009.partial"
    leftover.mkdir(parents=True)
    assert newest_checkpoint(tmp_path) is None
    write(tmp_path, 1)
    assert not leftover.exists()


def test_tensors_of_another_network_are_refused(tmp_path: Path) -> None:
    module = torch.nn.Linear(2, 3)
    with pytest.raises(CheckpointError, match=r"does not fit the network \(bias differs\)"):
        load_into(module, {"weight": torch.zeros(3, 2)}, tmp_path)
    wrong = {"weight": torch.zeros(4, 2), "bias": torch.zeros(3)}
    with pytest.raises(CheckpointError, match="weight differs"):
        load_into(module, wrong, tmp_path)
