"""Checkpoints: one sealed folder a step, in formats that execute nothing when read.

    RUN/checkpoints/step-00001234/
      model.safetensors     weights and running statistics
      model.json            architecture, categories, preprocessing: enough to use the network
      training.safetensors  momentum and the loss's counters
      state.json            step, samples seen, fingerprint of the data, versions
      manifest.json         size and SHA-256 of the others, written last

A folder is written aside, synced and renamed. Readers take only one whose manifest agrees with its
files; from a run they take the newest such, and say why a newer one was passed over.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mlimages.errors import CheckpointError, require
from mlimages.storage import PARTIAL, atomic_directory, sha256_file, storage_errors

safetensors = require("safetensors", extra="train")
safetensors_torch = require("safetensors.torch", extra="train")
logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
FILES = ("model.safetensors", "model.json", "training.safetensors", "state.json")
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """A folder that was found intact, with what its JSON files say."""

    folder: Path
    model: dict[str, Any]
    state: dict[str, Any]

    @property
    def step(self) -> int:
        """Updates done when it was written."""
        return int(self.state["step"])

    def model_tensors(self) -> Tensors:
        """The network's weights and running statistics by name."""
        return self._load("model.safetensors")

    def training_tensors(self) -> Tensors:
        """Momentum and loss counters, as `write_checkpoint` was given them."""
        return self._load("training.safetensors")

    def _load(self, name: str) -> Tensors:
        try:
            return safetensors_torch.load((self.folder / name).read_bytes())
        except (OSError, safetensors.SafetensorError) as error:
            raise CheckpointError(
                self.folder / name, f"cannot be read ({error})", "use another checkpoint of the run"
            ) from None


def checkpoints_folder(run: Path) -> Path:
    """Where a run keeps its checkpoints."""
    return run / "checkpoints"


def checkpoint_folder(run: Path, step: int) -> Path:
    """Where a run keeps the checkpoint of a step."""
    return checkpoints_folder(run) / f"step-{step:08d}"


def write_checkpoint(
    run: Path,
    model: dict[str, Any],
    model_tensors: Tensors,
    state: dict[str, Any],
    training_tensors: Tensors,
    keep: int,
    best: int | None = None,
) -> Path:
    """Write and seal RUN/checkpoints/step-N, then remove all but the newest `keep` and the best.

    Folders of later steps are removed too: a run that is at this step passed them over as damaged.

    Args:
        run: the run's folder.
        model: content of model.json.
        model_tensors: network state.
        state: content of state.json, with "step".
        training_tensors: everything else that resuming needs.
        keep: number of checkpoints that stay.
        best: step of one that stays beside them.

    Raises:
        StorageError: no space, or not writable; the older checkpoints stay as they were.
    """
    folder = checkpoint_folder(run, state["step"])
    if not seal(folder, model, model_tensors, state, training_tensors):
        return folder
    _prune(checkpoints_folder(run), keep, state["step"], best)
    return folder


def seal(
    folder: Path,
    model: dict[str, Any],
    model_tensors: Tensors,
    state: dict[str, Any],
    training_tensors: Tensors,
) -> bool:
    """Write one checkpoint folder, aside and then at once; returns whether it was not there yet."""
    if folder.exists():
        if damage(folder) is None:
            return False  # a step's checkpoint is always the same
        _remove(folder)
    # Serialised in memory and written by Python, so that a full disk is an error of its own kind.
    contents = {
        "model.safetensors": _serialise(model_tensors),
        "model.json": _json(model),
        "training.safetensors": _serialise(training_tensors),
        "state.json": _json({"format_version": FORMAT_VERSION, **state}),
    }
    with atomic_directory(folder) as temporary:
        for name, content in contents.items():
            (temporary / name).write_bytes(content)
        files = {
            name: {"bytes": len(content), "sha256": sha256_file(temporary / name)}
            for name, content in contents.items()
        }
        manifest = {"format_version": FORMAT_VERSION, "step": state["step"], "files": files}
        (temporary / MANIFEST).write_bytes(_json(manifest))
    return True


def read_checkpoint(folder: Path) -> Checkpoint:
    """Open a checkpoint folder.

    Raises:
        CheckpointError: it is unsealed, or a file differs from the manifest.
    """
    reason = damage(folder)
    if reason is not None:
        raise CheckpointError(folder, reason, "use another checkpoint of the run")
    return Checkpoint(folder, _read_json(folder / "model.json"), _read_json(folder / "state.json"))


def newest_checkpoint(run: Path) -> Checkpoint | None:
    """The newest intact checkpoint of a run; a warning names each newer one and its damage.

    Returns:
        None when the run has no checkpoint at all.

    Raises:
        CheckpointError: there are checkpoints, but none is intact.
    """
    folders = _folders(checkpoints_folder(run))
    reasons = []
    for folder in reversed(folders):
        reason = damage(folder)
        if reason is None:
            return read_checkpoint(folder)
        logger.warning("%s: %s; using the one before it", folder, reason)
        reasons.append(f"{folder.name}: {reason}")
    if reasons:
        raise CheckpointError(
            checkpoints_folder(run),
            f"no intact checkpoint ({'; '.join(reasons)})",
            "start again in a new folder",
        )
    return None


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder is a checkpoint (intact or not) rather than a run."""
    return (folder / "model.json").is_file() or (folder / MANIFEST).is_file()


def damage(folder: Path) -> str | None:
    """Why a checkpoint must not be used, or None when it is sealed and intact."""
    if not (folder / MANIFEST).is_file():
        return f"not a sealed checkpoint ({MANIFEST} is missing)"
    try:
        manifest = _read_json(folder / MANIFEST)
        version, files = manifest["format_version"], manifest["files"]
        expected = {name: (entry["bytes"], entry["sha256"]) for name, entry in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{MANIFEST} is damaged"
    if version != FORMAT_VERSION:
        return f"format version {version}, this program reads {FORMAT_VERSION}"
    unlisted = [name for name in FILES if name not in expected]
    if unlisted:
        return f"{MANIFEST} does not list {unlisted[0]}"
    for name, (size, checksum) in expected.items():
        path = folder / name
        if os.path.basename(name) != name or not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != size:
            return f"{name} is truncated or changed ({path.stat().st_size:,} bytes, not {size:,})"
        if sha256_file(path) != checksum:
            return f"{name} is damaged (its checksum differs)"
    return None


def load_into(module: nn.Module, tensors: Tensors, folder: Path) -> None:
    """Copy saved tensors into a module of the same architecture, keeping its memory format.

    Raises:
        CheckpointError: names or shapes differ.
    """
    current = module.state_dict()
    odd = sorted(current.keys() ^ tensors.keys())
    odd += [n for n in current.keys() & tensors.keys() if current[n].shape != tensors[n].shape]
    if odd:
        raise CheckpointError(
            folder,
            f"does not fit the network ({odd[0]} differs)",
            "use the recipe it was made with",
        )
    module.load_state_dict(tensors)


def under(prefix: str, tensors: Tensors) -> Tensors:
    """Those whose names begin so, without the prefix."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _serialise(tensors: Tensors) -> bytes:
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return safetensors_torch.save(plain)


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _folders(root: Path) -> list[Path]:
    """All finished checkpoint folders, oldest first."""
    if not root.is_dir():
        return []
    named = [path for path in root.iterdir() if re.fullmatch(r"step-\d{8,}", path.name)]
    return sorted(named, key=_step_of)


def _step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def _prune(root: Path, keep: int, step: int, best: int | None) -> None:
    """Remove what is later than the step just written, and of the others all that need not stay."""
    folders = _folders(root)
    good = [folder for folder in folders if _step_of(folder) <= step]
    for folder in folders:
        if folder not in good[-keep:] and not (folder in good and _step_of(folder) == best):
            _remove(folder)
    for leftover in root.glob("*" + PARTIAL):  # of a process killed while writing or removing
        shutil.rmtree(leftover, ignore_errors=True)


def _remove(folder: Path) -> None:
    # Renamed first: a half-removed folder must never look like a checkpoint.
    aside = folder.with_name(folder.name + PARTIAL)
    with storage_errors(folder):
        shutil.rmtree(aside, ignore_errors=True)
        os.replace(folder, aside)
        shutil.rmtree(aside)
