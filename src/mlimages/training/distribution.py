"""The processes of a run: `Ranks` says which one this is, and what they tell each other.

    torchrun --nproc-per-node 2 -m mlimages train DB --recipe photos --out runs/photos

torchrun starts the processes and sets RANK, WORLD_SIZE and LOCAL_RANK; `joined` connects them, with
NCCL on GPUs and gloo otherwise. Without torchrun there is one rank and nothing is connected.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist

from mlimages.errors import InputError, MlimagesError, TrainingError
from mlimages.training.device import choose_device

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """The processes of a run, as one of them sees them.

    Every method that exchanges something has to be called by all ranks in the same order.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
        device: where this one's network is.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        """Whether this process writes the run's files and speaks to the user."""
        return self.rank == 0

    def portion(self, number: int) -> range:
        """This rank's share of things in a row, such that the ranks' shares follow each other."""
        return range(number * self.rank // self.size, number * (self.rank + 1) // self.size)

    def sum_tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        """Replace a tensor on `device` by the sum of everyone's, and return it."""
        if self.size > 1:
            with lost_peers():
                dist.all_reduce(tensor)
        return tensor

    def sum(self, array: np.ndarray) -> np.ndarray:
        """The sum of everyone's array (equal shapes), on all."""
        if self.size == 1:
            return array
        return self.sum_tensor(torch.tensor(array, device=self.device)).cpu().numpy()

    def gather(self, array: np.ndarray) -> np.ndarray:
        """Everyone's array, one after the other along the first axis, on all."""
        if self.size == 1:
            return array
        lengths = np.zeros(self.size, np.int64)
        lengths[self.rank] = len(array)
        lengths = self.sum(lengths)
        # Collectives want equal shapes: padded to the longest.
        padded = np.zeros((int(lengths.max()), *array.shape[1:]), array.dtype)
        padded[: len(array)] = array
        own = torch.from_numpy(padded).to(self.device)
        parts = [torch.empty_like(own) for _ in range(self.size)]
        with lost_peers():
            dist.all_gather(parts, own)
        return np.concatenate(
            [part.cpu().numpy()[:length] for part, length in zip(parts, lengths, strict=True)]
        )

    def share(self, value: T) -> T:
        """The first rank's value (anything that can be pickled), on all."""
        if self.size == 1:
            return value
        holder: list[Any] = [value]
        with lost_peers():
            dist.broadcast_object_list(holder, src=0, device=self.device)
        return holder[0]

    def collect(self, value: T) -> list[T]:
        """Everyone's value (anything that can be pickled), in order of rank, on all."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        with lost_peers():
            dist.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Return when all ranks have come here."""
        self.collect(None)

    def together(self, action: Callable[[], T]) -> T:
        """Do something on every rank; where it fails on one, it fails on all.

        The action must not exchange anything. The message is told once, by the rank it is of.
        """
        failure: MlimagesError | None = None
        try:
            result = action()
        except MlimagesError as error:
            failure = error
        for rank, failed in enumerate(self.collect(failure)):
            if failed is not None:
                failed.told_by_another = rank != self.rank
                raise failed
        return result

    def everywhere(self, error: MlimagesError) -> MlimagesError:
        """An error that all ranks raise: only the first one tells it."""
        error.told_by_another = not self.is_first
        return error


def is_first_process() -> bool:
    """Whether this process, alone or as one of torchrun's, is the one that speaks to the user."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def lost_peers() -> Iterator[None]:
    """Inside, what PyTorch says when another rank has ended becomes one line."""
    try:
        yield
    except RuntimeError as error:
        if not is_lost_peer(error):
            raise
        raise lost_peer() from None


def is_lost_peer(error: RuntimeError) -> bool:
    """Whether PyTorch's error is that another rank cannot be reached any more."""
    signs = ("closed by peer", "reset by peer", "Connection refused", "Broken pipe", "Timed out")
    text = str(error)
    return isinstance(error, dist.DistError) or any(sign in text for sign in signs)


def lost_peer() -> TrainingError:
    """The error of a rank that has to end because another one did."""
    return TrainingError(
        f"rank {os.environ.get('RANK', '?')}",
        "another process of the run ended",
        "see its message; continue with --resume",
    )


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Connect the processes that torchrun has started, and part at the end.

    Args:
        device: auto, cpu, cuda or cuda:N. Of several processes on GPUs each takes its own.

    Raises:
        InputError: there are fewer GPUs than processes on this machine.
        TrainingError: the others cannot be reached.
    """
    rank, size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if size == 1:
        yield Ranks(device=choose_device(device))
        return
    chosen = _device_of(device, int(os.environ.get("LOCAL_RANK", 0)))
    own_group = not dist.is_initialized()  # a program that calls `train` may have connected them
    package = logging.getLogger("mlimages")
    level = package.level
    try:
        if own_group:
            with lost_peers():
                dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
        if rank:
            package.setLevel(logging.WARNING)  # the first one tells how it goes
        yield Ranks(rank, size, chosen)
    finally:
        package.setLevel(level)
        if own_group and dist.is_initialized():
            dist.destroy_process_group()


def _device_of(name: str, local_rank: int) -> torch.device:
    device = choose_device(name)
    if device.type != "cuda":
        return device
    if local_rank >= torch.cuda.device_count():
        raise InputError(
            f"process {local_rank} of this machine",
            f"there are {torch.cuda.device_count()} GPUs",
            "lower --nproc-per-node, or use --device cpu",
        )
    device = torch.device("cuda", local_rank)
    torch.cuda.set_device(device)
    return device
