"""The parent's side of a process that decodes: how it starts, what it was sent, how it ends."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from mlimages.images.preparation import Verified
from mlimages.images.verification_worker import HEAD, SLOT_BYTES, map_slots

BATCHES_IN_FLIGHT = 2


@dataclass
class Job:
    """An image that was submitted."""

    data: bytes
    future: Future[Verified]
    failures: int = 0


@dataclass
class Worker:
    """A process, with what it was sent and what it has answered so far."""

    process: subprocess.Popen[bytes]
    connection: socket.socket
    memory: memoryview  # that both share; empty where the system has no such memory
    next_slot: int = 0
    ready: bool = False
    progress: float = field(default_factory=time.monotonic)  # when it last said anything
    batches: deque[deque[Job]] = field(default_factory=deque)  # sent, not answered
    outgoing: deque[memoryview] = field(default_factory=deque)
    incoming: bytearray = field(default_factory=bytearray)

    def load(self, batch: deque[Job]) -> None:
        """Queue a batch for sending."""
        self.batches.append(batch)
        sizes = [len(job.data) for job in batch]
        slot = -1
        if sum(sizes) <= SLOT_BYTES and self.memory:
            # Each batch in flight has a slot: another comes when the first is answered.
            slot = self.next_slot = (self.next_slot + 1) % BATCHES_IN_FLIGHT
            position = slot * SLOT_BYTES
            for job, size in zip(batch, sizes, strict=True):
                self.memory[position : position + size] = job.data
                position += size
        lengths = struct.pack(f"<{len(batch)}Q", *sizes)
        self.outgoing.append(memoryview(HEAD.pack(len(batch), slot) + lengths))
        if slot < 0:
            self.outgoing.extend(memoryview(job.data) for job in batch if job.data)


def start_worker(function: str, options: dict[str, Any]) -> Worker:
    """Start a process that runs `verification_worker`."""
    ours, theirs = socket.socketpair()
    shared = _shared_memory()
    command = [sys.executable, "-m", "mlimages.images.verification_worker"]
    arguments = [str(theirs.fileno()), function, json.dumps(options), str(shared)]
    # Imports as this process has them; decoders need no threads of a library's own.
    path = os.pathsep.join(place or os.getcwd() for place in sys.path)
    environment = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[theirs.fileno(), *([shared] if shared >= 0 else [])],
        env=environment | {"OMP_NUM_THREADS": "1"},
        process_group=0,  # Ctrl-C is for the parent
    )
    theirs.close()
    ours.setblocking(False)
    worker = Worker(process, ours, map_slots(shared))
    if shared >= 0:
        os.close(shared)
    return worker


def stop_worker(worker: Worker) -> int:
    """Kill a process, unless it has died, and return its exit code."""
    worker.connection.close()
    if worker.process.poll() is None:
        worker.process.kill()
    return worker.process.wait()


def _shared_memory() -> int:
    """A descriptor of memory for the batches of one process; -1 where there is no such thing."""
    if not hasattr(os, "memfd_create"):
        return -1
    descriptor = os.memfd_create("images")
    os.ftruncate(descriptor, BATCHES_IN_FLIGHT * SLOT_BYTES)
    return descriptor
