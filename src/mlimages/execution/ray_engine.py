"""Tasks on a Ray cluster: a thin adapter, all the work of which Ray does.

Ray itself redoes the task of a lost worker or node, and fetches no result twice. Workers import the
package from a copy of the one in use here, so that all run the same code. What tasks read and write
(a database, photos) has to lie where every node finds it under one name.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlimages.errors import ExecutionError, MlimagesError, require
from mlimages.execution.local import REDONE

_KNOCK_SECONDS = 10.0
_PACKAGE = Path(__file__).parent.parent


class RayPool:
    """A context manager over a connection to Ray; see `run.Pool` for its methods."""

    def __init__(
        self,
        function: Callable[[Any], Any],
        workers: int | None = None,
        address: str | None = None,
        gpus: float = 0,
    ) -> None:
        """Connect, unless the program is connected already.

        Args:
            function: importable, or a `functools.partial` of one that is.
            workers: tasks at once; as many as the cluster has processors by default.
            address: of the cluster; by default RAY_ADDRESS, or the cluster that runs on this
                machine, or one that is started here for the purpose.
            gpus: that a task needs.

        Raises:
            MissingExtraError: Ray is not installed.
            ExecutionError: there is no cluster at the address.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anyone
        self._ray = require("ray", "ray")
        self._connected = not self._ray.is_initialized()
        if self._connected:
            self._connect(address)
        self.slots = workers or max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        self._function = self._ray.put(function)  # it may hold a database's list of files
        options = {"max_retries": REDONE, "num_gpus": gpus, "scheduling_strategy": "SPREAD"}
        self._remote = self._ray.remote(**options)(_call)
        self._tasks: dict[Any, tuple[int, Any]] = {}

    def __enter__(self) -> RayPool:
        return self

    def __exit__(self, *_: object) -> None:
        for reference in self._tasks:
            self._ray.cancel(reference, force=True)
        self._tasks.clear()
        if self._connected:
            self._ray.shutdown()

    def submit(self, number: int, task: Any) -> None:
        """Hand a task to the cluster."""
        self._tasks[self._remote.remote(self._function, task)] = (number, task)

    def wait(self) -> list[tuple[int, Any]]:
        """Results that have come, at least one, each with the number of its task.

        Raises:
            ExecutionError: a task's worker was lost too often, or the cluster was.
            Exception: what the function raised.
        """
        ready, _ = self._ray.wait(list(self._tasks), num_returns=1)
        results = []
        for reference in ready:
            number, task = self._tasks.pop(reference)
            results.append((number, self._result(reference, task)))
        return results

    def _connect(self, address: str | None) -> None:
        place = address or os.environ.get("RAY_ADDRESS", "")
        try:
            _knock(place)
            self._ray.init(
                address=address,
                runtime_env={"py_modules": [str(_PACKAGE)], "excludes": ["__pycache__"]},
                logging_level="WARNING",
            )
        except (OSError, ValueError, RuntimeError, self._ray.exceptions.RayError) as error:
            cause = f"cannot be reached ({_line(error)})"
            where = f"Ray cluster {place}".strip()
            raise ExecutionError(where, cause, "check the address: ray status") from error

    def _result(self, reference: Any, task: Any) -> Any:
        exceptions = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except exceptions.RayTaskError as error:
            if isinstance(error.cause, MlimagesError):
                raise error.cause from None
            raise
        except exceptions.RayError as error:
            cause = f"lost {REDONE + 1} times ({_line(error)})"
            action = "look at the nodes (ray status, memory) and run again"
            raise ExecutionError(f"task {task}", cause, action) from error


def _call(function: Callable[[Any], Any], task: Any) -> Any:
    return function(task)


def _knock(address: str) -> None:
    """Raise OSError where nobody listens: Ray itself would try for minutes, and then abort."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_SECONDS).close()


def _line(error: Exception) -> str:
    """The first line of what Ray says, which may go on for a page."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
