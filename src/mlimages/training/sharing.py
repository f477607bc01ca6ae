"""Handing large arrays to other processes without copies: written once, then mapped by each.

A forked process shares its parent's memory anyway. One that is started afresh gets what it needs
pickled, gigabytes for each worker of a large split; here the arrays go into one temporary file.
"""

from __future__ import annotations

import os
import pickle
import tempfile
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

_ALIGNMENT = 64


class SharedState:
    """An object's attributes with their arrays in a file, which lives as long as this does."""

    def __init__(self, state: dict[str, Any]) -> None:
        buffers: list[pickle.PickleBuffer] = []
        self._header = pickle.dumps(state, protocol=5, buffer_callback=buffers.append)
        self._spans: list[tuple[int, int]] = []
        descriptor, self.path = tempfile.mkstemp(prefix="mlimages-arrays-")
        weakref.finalize(self, _remove, self.path, os.getpid())
        with open(descriptor, "wb") as file:
            for buffer in buffers:
                file.write(bytes(-file.tell() % _ALIGNMENT))
                raw = buffer.raw()
                self._spans.append((file.tell(), raw.nbytes))
                file.write(raw)

    def recipe(self) -> tuple[Callable[..., dict[str, Any]], tuple[Any, ...]]:
        """A function and its small arguments that give the attributes in another process."""
        return restored, (self._header, self.path, self._spans)


def restored(header: bytes, path: str, spans: list[tuple[int, int]]) -> dict[str, Any]:
    """The attributes, with read-only arrays that are pages of the file."""
    size = os.path.getsize(path)
    mapped = np.memmap(path, mode="r") if size else np.empty(0, dtype=np.uint8)
    return pickle.loads(header, buffers=[mapped[start : start + length] for start, length in spans])


def _remove(path: str, owner: int) -> None:
    if os.getpid() == owner and os.path.exists(path):
        os.unlink(path)
