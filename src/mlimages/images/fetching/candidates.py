"""The images to fetch, each with the addresses that are worth trying, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")

_WEB = ("http://", "https://")
ORIGINAL = 0
"""Place of the original among an image's addresses: what a source's MD5 and size are of."""


@dataclass(slots=True)
class Wanted:
    """An image to fetch.

    Attributes:
        row: of the image in the database.
        id: its name.
        candidates: (place among its addresses, address) of those to try, in order of preference;
            the first is removed when it is tried.
        md5: of the original file, 32 hexadecimal digits, if a source gave it.
        length: of the original file in bytes, likewise.
        licence: as known now.
        author: likewise.
    """

    row: int
    id: str
    candidates: deque[tuple[int, str]]
    md5: str | None = None
    length: int | None = None
    licence: str | None = None
    author: str | None = None

    def differs(self, place: int, md5: str, length: int) -> bool:
        """Whether bytes are not those that the source described.

        Only the original is held against its MD5 and size: a thumbnail has others.
        """
        if place != ORIGINAL:
            return False
        return (self.length is not None and self.length != length) or (
            self.md5 is not None and self.md5.lower() != md5
        )


def is_web(address: str) -> bool:
    """Whether an address is one to ask a host for; others are files of this machine."""
    return address[:8].lower().startswith(_WEB)


def in_turns(streams: Iterable[Iterator[Item]], slice_length: int = 256) -> Iterator[Item]:
    """Items of several streams, some of each in turn, until all have ended."""
    waiting = deque(streams)
    while waiting:
        stream = waiting.popleft()
        for _ in range(slice_length):
            try:
                yield next(stream)
            except StopIteration:
                break
        else:
            waiting.append(stream)
