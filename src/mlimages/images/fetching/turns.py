"""A bound on the memory that large bodies take: only some of them are taken in at a time."""

from __future__ import annotations

from collections import deque
from typing import Protocol


class Taker(Protocol):
    """Something that takes in a body and can be told to go on."""

    def go_on(self) -> None:
        """Its turn has come."""


class Turns:
    """Places for bodies that have grown large; the others wait, in order, with what they have.

    At most `large` bytes of each connection and the greatest size of `places` bodies are then in
    memory, whatever the hosts send.

    Args:
        places: large bodies taken in at a time.
        large: bytes from which on a body needs a place.
    """

    def __init__(self, places: int = 32, large: int = 2 << 20) -> None:
        self.large = large
        self._free = places
        self._waiting: deque[Taker] = deque()

    def take(self, taker: Taker) -> bool:
        """Whether there is a place now; if not, `taker.go_on` is called when there is."""
        if self._free:
            self._free -= 1
            return True
        self._waiting.append(taker)
        return False

    def give_back(self, taker: Taker) -> None:
        """Give back a place, or stop waiting for one."""
        if taker in self._waiting:
            self._waiting.remove(taker)
        elif self._waiting:
            self._waiting.popleft().go_on()
        else:
            self._free += 1
