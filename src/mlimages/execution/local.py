"""Processes of this machine that can be lost: each has one task, and its loss costs only that.

Processes are spawned, not forked: a fork of a process with threads (of a decoder, of an event loop)
may hang. They import the function by name, ignore Ctrl-C, which is for the parent, and end with it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from mlimages.errors import ExecutionError

REDONE = 3
"""How often a task is begun again after its worker was lost."""
_PATIENCE = 1.0  # seconds between looks at processes whose pipe says nothing
_FAREWELL = 2.0  # seconds that a process has to end before it is killed


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    number: int | None = None  # of the task in hand


class LocalPool:
    """A context manager over up to `workers` processes; see `run.Pool` for its methods."""

    def __init__(self, function: Callable[[Any], Any], workers: int) -> None:
        self.slots = workers
        self._function = function
        self._spawn = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._tasks: dict[int, Any] = {}
        self._lost: Counter[int] = Counter()

    def __enter__(self) -> LocalPool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.pipe.close()  # who waits for a task ends by itself
            if worker.number is not None:
                worker.process.terminate()
        for worker in self._workers:
            worker.process.join(_FAREWELL)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._workers.clear()

    def process_ids(self) -> list[int]:
        """Of the processes that run now."""
        return [worker.process.pid for worker in self._workers if worker.process.pid is not None]

    def submit(self, number: int, task: Any) -> None:
        """Give a task to a process that has none, or to a new one."""
        self._tasks[number] = task
        self._assign(number)

    def wait(self) -> list[tuple[int, Any]]:
        """Results that have come, at least one, each with the number of its task.

        Raises:
            ExecutionError: a task's worker was lost too often.
            Exception: what the function raised.
        """
        results: list[tuple[int, Any]] = []
        while not results:
            busy = {worker.pipe: worker for worker in self._workers if worker.number is not None}
            ready = set(connection.wait(list(busy), _PATIENCE))
            for pipe, worker in busy.items():
                if pipe in ready:
                    self._take(worker, results)
                # A process of the worker's own may hold the pipe open after its death.
                elif not worker.process.is_alive() and not pipe.poll():
                    self._replace(worker)
        return results

    def _take(self, worker: _Worker, results: list[tuple[int, Any]]) -> None:
        try:
            done, value = worker.pipe.recv()
        except (EOFError, OSError):
            self._replace(worker)
            return
        if not done:
            raise value
        assert worker.number is not None
        results.append((worker.number, value))
        del self._tasks[worker.number]
        worker.number = None

    def _replace(self, worker: _Worker) -> None:
        """Have the task of a lost worker redone by another."""
        number = worker.number
        assert number is not None
        self._bury(worker)
        self._lost[number] += 1
        if self._lost[number] > REDONE:
            code = worker.process.exitcode or 0
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            cause = f"its worker ended {self._lost[number]} times, at last by {how}"
            action = "look for what ends it (memory, a bad file) and run again"
            raise ExecutionError(f"task {self._tasks[number]}", cause, action)
        self._assign(number)

    def _bury(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.pipe.close()
        worker.process.kill()
        worker.process.join()

    def _assign(self, number: int) -> None:
        for worker in [worker for worker in self._workers if worker.number is None]:
            try:
                worker.pipe.send(self._tasks[number])
            except OSError:  # it was lost while it had nothing to do
                self._bury(worker)
            else:
                worker.number = number
                return
        worker = self._start()
        worker.number = number
        # A process that died at once is found, and counted, when its answer is awaited.
        with contextlib.suppress(OSError):
            worker.pipe.send(self._tasks[number])

    def _start(self) -> _Worker:
        ours, theirs = self._spawn.Pipe()
        threads = max(1, cores() // self.slots)
        process = self._spawn.Process(target=_serve, args=(theirs, self._function, threads))
        process.start()
        theirs.close()  # else its death would not be seen
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _serve(pipe: Connection, function: Callable[[Any], Any], threads: int) -> None:
    """What a process does: tasks, until the parent closes the pipe or is no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for library in ("OMP", "OPENBLAS", "MKL"):  # those that were not loaded yet heed it
        os.environ.setdefault(f"{library}_NUM_THREADS", str(threads))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = (True, function(task))
        except Exception as error:  # noqa: BLE001 - it is raised again in the parent
            answer = (False, _portable(error))
        try:
            pipe.send(answer)
        except (BrokenPipeError, ConnectionResetError):
            return
        except Exception as error:  # noqa: BLE001 - a result that cannot be pickled
            pipe.send((False, _portable(error)))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _portable(error: Exception) -> Exception:
    """The exception with the traceback as a note, or one that says the same and can be pickled."""
    trace = "".join(traceback.format_exception(error))
    try:
        error.add_note(trace)
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - classes may break pickling in any way
        return RuntimeError(trace)
    return error
