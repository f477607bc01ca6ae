"""Several gloo processes of one run, each pinned to a core, against one.

Efficiency is of weak scaling: every process has the same number of images a step, and the ratio is
one process's time for its step over two processes' time for theirs, in turns, on the wall clock.
Where other programs use the cores, or two processes share a memory's bandwidth, it tells of these
too; so two processes that know nothing of each other also take their turn.
What is handed to collectives is counted where the loop hands it over: gradients, statistics of
batch normalisation, the loss, the samples' numbers, the signals. Four processes only show that
they take the steps that one takes.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from harness import Outcome
from torch.distributed import distributed_c10d
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks

from mlimages.database import Database
from mlimages.training.distribution import Ranks, joined
from mlimages.training.interruption import StopRequest
from mlimages.training.recipe import Recipe, find_recipe
from mlimages.training.setup import Setup
from mlimages.training.update import update

SHARE = 64  # images a step and process
TOLERANCE = 1e-5


def measure(quick: bool, db: Database, folder: Path) -> Outcome:
    """Efficiency and bytes of two processes, and whether four equal one."""
    rounds, steps = (3, 3) if quick else (12, 5)
    two, four, one = (folder / f"{name}.json" for name in ("two", "four", "one"))
    together(2, _take_turns, str(db.root), rounds, steps, str(two))
    together(4, _losses_and_weights, str(db.root), str(four))
    together(1, _losses_and_weights, str(db.root), str(one))
    found = json.loads(two.read_text())
    alone, apart, pair = found["alone"], found["apart"], found["together"]
    difference = _greatest_difference(json.loads(one.read_text()), json.loads(four.read_text()))
    if not difference <= TOLERANCE:
        raise SystemExit(f"error: four processes differ from one by {difference}")
    return Outcome(
        seconds={
            "step of one process": statistics.median(alone) / steps,
            "step of two processes": statistics.median(pair) / steps,
        },
        ratios={
            "scaling_efficiency_2": median_ratio(alone, pair),
            "collective_bytes_vs_gradient_bytes": found["bytes"] / found["gradient_bytes"],
        },
        raw={"rounds alone": alone, "rounds apart": apart, "rounds together": pair},
        figures={
            "scaling_efficiency_2 against two apart": median_ratio(apart, pair),
            "megabytes of a gradient": found["gradient_bytes"] / 1e6,
            "four processes against one, greatest difference": difference,
        },
    )


def median_ratio(above: list[float], below: list[float]) -> float:
    """Of the rounds."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def together(size: int, function: Callable[..., None], *arguments: Any) -> None:
    """Run `function(ranks, *arguments)` in connected processes, each on a core of its own."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    multiprocessing.spawn(_as_rank, (size, port, function, arguments), nprocs=size)


def _as_rank(rank: int, size: int, port: int, function: Callable, arguments: tuple) -> None:
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[rank % len(cores)]})
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
    with joined("cpu") as ranks:
        function(ranks, *arguments)


def recipe_for(processes: int, *changes: str) -> Recipe:
    """The recipe `photos` with a share for each process."""
    size = f"data.batch_size={SHARE * processes}"
    return find_recipe("photos").override(size, "data.workers=0", "hardware.device=cpu", *changes)


class Steps:
    """The steps of a run, as its loop does them."""

    def __init__(self, db: Database, recipe: Recipe, ranks: Ranks, last: int) -> None:
        self.ranks, self.setup = ranks, Setup(db, recipe, ranks)
        self.setup.connect()
        self.setup.state.network.train()
        self.batches = self.setup.data.steps(0, last)
        self.rate = recipe.optimizer.learning_rate

    def go(self, count: int) -> list[float]:
        """Do some steps; returns their losses."""
        losses = []
        for _ in range(count):
            batch = next(self.batches)
            losses.append(update(self.setup.state, batch, self.rate, ranks=self.ranks)[0])
            StopRequest().agreed(self.ranks, wish=False)
        return losses


def _take_turns(ranks: Ranks, root: str, rounds: int, steps: int, out: str) -> None:
    db, total = Database.open(root), 2 * (rounds + 2) * steps
    single = Steps(db, recipe_for(1), Ranks(), total)
    pair = Steps(db, recipe_for(ranks.size), ranks, total)
    times: dict[str, list[float]] = {"alone": [], "apart": [], "together": []}
    for number in range(rounds + 1):
        for name in times:
            ranks.wait()
            start = time.perf_counter()
            if name == "together":
                pair.go(steps)
            elif name == "apart" or ranks.is_first:
                single.go(steps)
            ranks.wait()
            if number:  # the first round warms up
                times[name].append(time.perf_counter() - start)
    with counted(pair.setup.state.parallel) as sizes:
        pair.go(steps)
    network = pair.setup.state.network
    gradient = sum(p.numel() * p.element_size() for p in network.parameters())
    if ranks.is_first:
        found = {**times, "bytes": sum(sizes), "gradient_bytes": steps * gradient}
        Path(out).write_text(json.dumps(found))


@contextmanager
def counted(network: torch.nn.Module) -> Iterator[list[int]]:
    """Inside, the bytes of every tensor that this process hands to a collective."""
    sizes: list[int] = []

    def count(name: str, place: int) -> Callable[..., Any]:
        original = getattr(distributed_c10d, name)

        def counting(*arguments: Any, **options: Any) -> Any:
            sizes.append(arguments[place].nbytes)
            return original(*arguments, **options)

        return counting

    # By itself DistributedDataParallel exchanges gradients in C++; this hook does so in Python.
    network.register_comm_hook(None, default_hooks.allreduce_hook)  # type: ignore[operator]
    places = {"all_reduce": 0, "broadcast": 0, "all_gather": 1}
    originals = {name: getattr(distributed_c10d, name) for name in places}
    replaced = {name: count(name, place) for name, place in places.items()}
    try:
        _install(replaced)
        yield sizes
    finally:
        _install(originals)


def _install(collectives: dict[str, Callable[..., Any]]) -> None:
    for module in (dist, distributed_c10d):
        for name, function in collectives.items():
            setattr(module, name, function)


def _losses_and_weights(ranks: Ranks, root: str, out: str) -> None:
    # Batches of four groups; networks this small multiply rounding unless their steps are small.
    recipe = recipe_for(2, "optimizer.learning_rate=1e-4")
    steps = Steps(Database.open(root), recipe, ranks, 3)
    losses = steps.go(3)
    tensors = [t for t in steps.setup.state.model_tensors().values() if t.is_floating_point()]
    if ranks.is_first:
        weights = torch.cat([tensor.flatten() for tensor in tensors])
        Path(out).write_text(json.dumps({"losses": losses, "weights": weights.tolist()}))


def _greatest_difference(one: dict[str, list[float]], other: dict[str, list[float]]) -> float:
    """Of losses relative to them, and of weights relative to the greater of them and 1."""
    return max(
        abs(a - b) / max(abs(a), least)
        for name, least in (("losses", 0.0), ("weights", 1.0))
        for a, b in zip(one[name], other[name], strict=True)
    )
