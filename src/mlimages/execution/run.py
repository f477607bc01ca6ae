"""One function over many tasks: `run`, whatever does the work.

    for task, result in run(function, tasks, engine="local", workers=8):
        ...

A result is given once, for every task, however many workers were lost on the way. What a function
writes must therefore be harmless when it is written twice: files of their own, which only a result
makes count.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from contextlib import closing
from typing import Any, Literal, Protocol, TypeVar

from mlimages.errors import InputError
from mlimages.execution.local import LocalPool
from mlimages.execution.ray_engine import RayPool
from mlimages.progress import track

Task = TypeVar("Task")
Result = TypeVar("Result")
Engine = Literal["local", "ray"]

_AHEAD = 4
"""Tasks begun, for each slot, beyond the oldest one without a result, when order is asked for."""


class Pool(Protocol):
    """What an engine is: a place that takes up to `slots` tasks and gives their results."""

    slots: int

    def submit(self, number: int, task: Any) -> None:
        """Begin a task; there must be a slot."""

    def wait(self) -> list[tuple[int, Any]]:
        """Results that have come, at least one, each with the number of its task."""

    def __enter__(self) -> Pool:
        """Begin."""

    def __exit__(self, *_: object) -> None:
        """End all tasks in hand."""


def run(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    engine: Engine = "local",
    workers: int | None = None,
    address: str | None = None,
    gpus: float = 0,
    ordered: bool = False,
    description: str | None = None,
    total: int | None = None,
    unit: str = "tasks",
) -> Iterator[tuple[Task, Result]]:
    """Run a function over tasks, in this process, in others, or on a Ray cluster.

    Args:
        function: importable by name, or a `functools.partial` of one that is.
        tasks: small, and can be pickled, as results; taken only when there is room.
        engine: "local" or "ray".
        workers: tasks at once; by default 1 with "local", which is this process itself, and with
            "ray" as many as the cluster has processors.
        address: of the Ray cluster; see `ray_engine.RayPool`.
        gpus: that a task needs, on Ray.
        ordered: give results in the order of the tasks, else as they come.
        description, total, unit: for the progress bar; none without a description.

    Yields:
        each task with its result.

    Raises:
        InputError: an unknown engine, or no workers.
        ExecutionError: a worker was lost more than 3 times with the same task, which it names.
        MissingExtraError: Ray is asked for and not installed.
        Exception: what the function raised; then all other tasks are ended.
    """
    if workers is not None and workers < 1:
        raise InputError(f"{workers} workers", "not enough", "use 1 or more")
    if engine not in ("local", "ray"):
        raise InputError(f"engine {engine!r}", "unknown", "use local or ray")
    if total is None and isinstance(tasks, Sized):
        total = len(tasks)
    if engine == "local" and workers in (None, 1):
        results: Generator[tuple[Task, Result], None, None] = (
            (task, function(task)) for task in tasks
        )
    else:
        results = _pooled(function, tasks, engine, workers, address, gpus, ordered)
    with closing(results):  # ends the workers at once when the caller has enough
        shown = track(results, description, total=total, unit=unit) if description else results
        yield from shown


def _pooled(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    engine: Engine,
    workers: int | None,
    address: str | None,
    gpus: float,
    ordered: bool,
) -> Generator[tuple[Task, Result], None, None]:
    pool: Pool
    if engine == "ray":
        pool = RayPool(function, workers, address, gpus)
    else:
        pool = LocalPool(function, workers or 1)
    with pool:
        yield from _results(pool, tasks, ordered)


def _results(pool: Pool, tasks: Iterable[Task], ordered: bool) -> Iterator[tuple[Task, Result]]:
    numbered = enumerate(tasks)
    pending: dict[int, Task] = {}  # begun, without a result
    early: dict[int, tuple[Task, Result]] = {}  # results that came before their turn
    turn = 0
    while True:
        while len(pending) < pool.slots and len(pending) + len(early) < _AHEAD * pool.slots:
            number, task = next(numbered, (-1, None))
            if task is None and number < 0:
                break
            pending[number] = task  # type: ignore[assignment]
            pool.submit(number, task)
        if not pending:
            break
        for number, result in pool.wait():
            entry = pending.pop(number), result
            if not ordered:
                yield entry
                continue
            early[number] = entry
            while turn in early:
                yield early.pop(turn)
                turn += 1
