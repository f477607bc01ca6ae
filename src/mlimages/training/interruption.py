"""Ctrl-C and SIGTERM while training: finish the update, save and stop; again: stop at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType

import numpy as np

from mlimages.training.distribution import Ranks

SIGNALS = ("SIGINT", "SIGTERM")


class StopRequest:
    """Inside `with`, the first SIGINT or SIGTERM only sets `signal_name`.

    The second raises KeyboardInterrupt. Outside the main thread, where Python delivers no signals,
    it does nothing.
    """

    def __init__(self) -> None:
        self.signal_name: str | None = None
        self._previous: dict[signal.Signals, object] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in map(signal.Signals.__getitem__, SIGNALS):
                self._previous[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def agreed(self, ranks: Ranks, wish: bool) -> tuple[str | None, bool]:
        """What all ranks, which call this together, do now.

        Args:
            ranks: that decide.
            wish: counts on the first of them only, for instance that its clock says to save.

        Returns:
            the name of a signal that any of them got, or None; and the first one's wish.
        """
        own = [name == self.signal_name for name in SIGNALS] + [wish and ranks.is_first]
        *signalled, wished = ranks.sum(np.array(own, np.int64)).tolist()
        name = next((n for n, count in zip(SIGNALS, signalled, strict=True) if count), None)
        return name, bool(wished)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.signal_name is not None:
            raise KeyboardInterrupt
        # Nothing is printed here: a handler may run in the middle of another print.
        self.signal_name = signal.Signals(number).name
