"""Functions that workers of the tests import by name."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from mlimages.errors import InputError


def square(number: int) -> int:
    return number * number


def slow_first(number: int) -> int:
    time.sleep(0.5 if number == 0 else 0)
    return number


def refuse_three(number: int) -> int:
    if number == 3:
        raise InputError("three", "is not wanted", "leave it out")
    return number


def divide(number: int) -> float:
    return 1 / number


def unpicklable(number: int) -> object:
    return lambda: number


def process_id(number: int) -> int:
    return os.getpid()


def threads_of(number: int) -> str | None:
    return os.environ.get("OMP_NUM_THREADS")


def die_once(task: tuple[str, int]) -> int:
    """SIGKILL to itself the first time that each task is begun; notes every beginning."""
    folder, number = task
    begun = Path(folder, str(number))
    times = len(begun.read_text()) if begun.exists() else 0
    begun.write_text("x" * (times + 1))
    if times == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def note_and_wait(task: tuple[str, int]) -> int:
    folder, number = task
    Path(folder, f"{os.getpid()}").touch()
    time.sleep(60)
    return number
