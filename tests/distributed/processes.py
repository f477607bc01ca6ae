"""Several processes of one run on this machine, as torchrun would start them."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.training.fakes import FakeDatabase, tiny_recipe

from mlimages.errors import MlimagesError

PRELOADED = ["tests.distributed.processes", "mlimages.training.loop", "torch._dynamo", "cv2"]


def start(size: int, function: Callable[..., None], *arguments: Any) -> list[BaseProcess]:
    """Start `function(rank, *arguments)` in connected processes."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(PRELOADED)
    processes = [
        server.Process(target=_as_rank, args=(rank, size, port, function, arguments))
        for rank in range(size)
    ]
    for process in processes:
        process.start()
    return processes


def run(size: int, function: Callable[..., None], *arguments: Any, seconds: float = 40) -> list:
    """`start` and wait; returns the exit codes."""
    processes = start(size, function, *arguments)
    for process in processes:
        process.join(seconds)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    return codes


def _as_rank(rank: int, size: int, port: int, function: Callable, arguments: tuple) -> None:
    import torch

    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
    function(rank, *arguments)


def train_as_rank(
    rank: int, out: str, changes: tuple[str, ...], resume: bool = False, broken: tuple = ()
) -> None:
    """Train; an error goes to OUT.rank-N.txt, and makes the exit code 1."""
    from mlimages.training.loop import train

    try:
        train(FakeDatabase(broken=set(broken)), tiny_recipe(*changes), out, resume)  # type: ignore[arg-type]
    except MlimagesError as error:
        told = "" if error.told_by_another else str(error)
        Path(f"{out}.rank-{rank}.txt").write_text(told)
        raise SystemExit(error.exit_code) from None
