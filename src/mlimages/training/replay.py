"""Running the captured step of a non-finite loss again, to see where it began.

report = replay(Database.open("DB"), "runs/photos/nan-capture/step-00001234")
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mlimages.database import Database
from mlimages.errors import CheckpointError
from mlimages.losses.base import TagLoss
from mlimages.losses.targets import SparseTargets
from mlimages.training.capture import CAPTURE
from mlimages.training.checkpoint import read_checkpoint
from mlimages.training.data import MicroBatch
from mlimages.training.device import choose_device
from mlimages.training.distribution import Ranks
from mlimages.training.recipe import Recipe
from mlimages.training.setup import Setup
from mlimages.training.update import forward_logits


@dataclass(frozen=True)
class ReplayReport:
    """Where a step first became infinite or NaN.

    Attributes:
        step: number of the step, from 0.
        problem: what the run found.
        rows: images whose outputs, or else losses, are not finite (at most 20); in a network with
            batch normalisation one image may spoil those of its group.
        weight: the first weight that is not finite before the step.
        layer: the first layer, from the image up, whose output is not finite.
        category: key of the category whose term of the loss is not finite, or the greatest when
            only the sum is not.
        gradient: the first weight, from the loss down, without a finite gradient.
        same_images: whether the step saw the images that were captured.
    """

    step: int
    problem: str
    rows: list[int]
    weight: str | None
    layer: str | None
    category: str | None
    gradient: str | None
    same_images: bool


def replay(db: Database, capture: Path | str, device: str | None = None) -> ReplayReport:
    """Run a captured step again, up to the update.

    Args:
        db: the database of the run.
        capture: a folder of RUN/nan-capture.
        device: as in `train`; the recipe's when left out.

    Raises:
        CheckpointError: it is no capture, damaged, or of another database.
    """
    checkpoint = read_checkpoint(Path(capture))
    if CAPTURE not in checkpoint.state:
        raise CheckpointError(capture, "is no captured step", "name a folder of RUN/nan-capture")
    recipe = Recipe.from_dict(checkpoint.model["recipe"])
    setup = Setup(db, recipe, Ranks(device=choose_device(device or recipe.hardware.device)))
    if checkpoint.state["data"] != setup.fingerprint:
        raise CheckpointError(
            capture, "the database's images, tags or shards have changed", "restore the database"
        )
    setup.state.restore(checkpoint)
    setup.state.network.train()
    batch = next(setup.data.steps(checkpoint.step, checkpoint.step + 1))
    captured = checkpoint.state[CAPTURE]
    found = ReplayReport(
        checkpoint.step,
        captured["problem"],
        [],
        _first_of(setup.state.network.named_parameters()),
        None,
        None,
        None,
        sorted(captured["rows"]) == sorted(batch.rows.tolist()),
    )
    setup.state.loss.begin_step(batch.targets.to(setup.ranks.device), checkpoint.step)
    start = 0
    for part in batch.parts:
        rows = batch.rows[start : start + len(part.targets)].tolist()
        found = _examine(setup, part, rows, found)
        start += len(rows)
        if found.rows or found.layer or found.gradient:
            break
    return found


def _examine(setup: Setup, part: MicroBatch, rows: list[int], found: ReplayReport) -> ReplayReport:
    """Run a micro-batch and look for the first value that is not finite."""
    state, device = setup.state, setup.ranks.device
    gradients: list[str] = []
    with state.batch_norms.step(1, Ranks()):
        with _watched_layers(state.network) as layers:
            logits = forward_logits(state, part, setup.recipe.hardware.precision, device)
        if not torch.isfinite(logits).all():
            wrong = (~torch.isfinite(logits)).any(1).nonzero().flatten().tolist()
            images = [rows[i] for i in wrong[:20]]
            return replace(found, layer=next(iter(layers), "head"), rows=images)
        leaf = logits.detach().requires_grad_()
        value = state.loss(leaf, part.targets.to(device))
        (terms,) = torch.autograd.grad(value, leaf)
        if not (torch.isfinite(value) and torch.isfinite(terms).all()):
            bad, column = _worst(state.loss, leaf.detach(), part.targets.to(device), terms)
            key = setup.keys[int(setup.outputs[column])]
            return replace(found, category=key, rows=[rows[i] for i in bad[:20]])
        with _watched_gradients(state.network, gradients):
            logits.backward(terms)
    return replace(found, gradient=next(iter(gradients), None))


def _worst(
    loss: TagLoss, logits: torch.Tensor, targets: SparseTargets, terms: torch.Tensor
) -> tuple[list[int], int]:
    """The images whose loss or its gradient is not finite, or the greatest; and a category."""
    images = torch.arange(len(targets), device=logits.device).split(1)
    losses = torch.stack([loss(logits[image], targets.take(image)) for image in images])
    bad = ~torch.isfinite(losses) | ~torch.isfinite(terms).all(1)
    if not bad.any():  # only their sum is too great
        bad[losses.argmax()] = True
    odd = ~torch.isfinite(terms[bad]).all(0)
    column = odd.float().argmax() if odd.any() else logits[bad].abs().amax(0).argmax()
    return bad.nonzero().flatten().tolist(), int(column)


def _first_of(named: Iterator[tuple[str, torch.Tensor]]) -> str | None:
    return next((name for name, tensor in named if not torch.isfinite(tensor).all()), None)


@contextmanager
def _watched_layers(network: torch.nn.Module) -> Iterator[list[str]]:
    """Inside, layers whose outputs are not finite are listed in the order they are computed."""
    found: list[str] = []

    def watch(name: str) -> Any:
        def look(module: object, inputs: object, output: object) -> None:
            if isinstance(output, torch.Tensor) and not torch.isfinite(output).all():
                found.append(name)

        return look

    with ExitStack() as stack:
        for name, module in network.named_modules():
            if not list(module.children()):
                stack.callback(module.register_forward_hook(watch(name)).remove)
        yield found


@contextmanager
def _watched_gradients(network: torch.nn.Module, found: list[str]) -> Iterator[None]:
    """Inside, weights whose gradients are not finite are listed in the order they are computed."""

    def watch(name: str) -> Any:
        def look(gradient: torch.Tensor) -> None:
            if not torch.isfinite(gradient).all():
                found.append(name)

        return look

    with ExitStack() as stack:
        for name, parameter in network.named_parameters():
            stack.callback(parameter.register_hook(watch(name)).remove)
        yield
