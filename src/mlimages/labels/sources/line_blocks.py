"""A text file of any size as blocks of whole lines, so that neither it nor a line is held whole."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mlimages.errors import InputError

BLOCK_BYTES = 8 << 20
MOST_LINE_BYTES = 1 << 20
"""A longer line is no line of a list, and is not kept whole."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Block:
    """Some lines of a file.

    Attributes:
        first: number of the first line, from 1.
        data: whole lines; the last one of the file may lack its newline. Of a line that is longer
            than MOST_LINE_BYTES there may be only the beginning, still longer than that.
    """

    first: int
    data: bytes

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Number and content of each line, without its ending."""
        lines = self.data.removesuffix(b"\n").split(b"\n")
        for number, line in enumerate(lines, self.first):
            yield number, line.rstrip(b"\r") if len(line) <= MOST_LINE_BYTES else line


def blocks_of(path: Path) -> Iterator[Block]:
    """The lines of a file in blocks.

    Raises:
        InputError: the file cannot be read.
    """
    number, rest = 1, b""
    for read in _reads(path):
        data = rest + read
        cut = data.rfind(b"\n") + 1
        rest = data[cut:]
        if len(rest) > MOST_LINE_BYTES:
            rest = rest[: MOST_LINE_BYTES + 1]
        if cut:
            yield Block(number, data[:cut])
            number += data.count(b"\n")
    if rest:
        yield Block(number, rest)


def _reads(path: Path) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            while data := file.read(BLOCK_BYTES):
                yield data
    except OSError as error:
        cause = f"cannot be read ({error.strerror})"
        raise InputError(path, cause, "name a readable file") from None


def ahead(blocks: Iterator[Block], make: Callable[[Block], Result]) -> Iterator[Result]:
    """What is made of each block, in order; a thread makes the next while one is in use."""
    with ThreadPoolExecutor(1, thread_name_prefix="reading") as thread:
        waiting: deque[Future[Result]] = deque()
        for block in blocks:
            waiting.append(thread.submit(make, block))
            if len(waiting) > 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
