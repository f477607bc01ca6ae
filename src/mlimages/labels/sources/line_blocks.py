"""A text file of any size as blocks of whole lines, so that neither it nor a line is held whole."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

from mlimages.labels.sources.streams import MAXIMUM_LINE, Place, damage, open_stream

BLOCK_BYTES = 8 << 20
_READ_BYTES = 1 << 16
MOST_LINE_BYTES = MAXIMUM_LINE
"""A longer line is no line of a list, and is not kept whole."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Block:
    """Some lines of a file.

    Attributes:
        first: number of the first line, from 1.
        data: whole lines; the last one of the file may lack its newline. Of a line that is longer
            than MOST_LINE_BYTES there may be only the beginning, still longer than that.
        wrong: why the file cannot be read from this line on; then it is the last block, and empty.
    """

    first: int
    data: bytes
    wrong: str = ""

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Number and content of each line, without its ending."""
        lines = self.data.removesuffix(b"\n").split(b"\n")
        for number, line in enumerate(lines, self.first):
            yield number, line.rstrip(b"\r") if len(line) <= MOST_LINE_BYTES else line


def blocks_of(path: Place) -> Iterator[Block]:
    """The lines of a file in blocks.

    Raises:
        InputError: the file cannot be opened. What is met later is a block that says so.
    """
    with open_stream(path) as file:
        yield from _blocks(file)


def _blocks(file: BinaryIO) -> Iterator[Block]:
    number, rest, wrong = 1, b"", ""
    while not wrong:
        read, wrong = _read_block(file)
        if not read:
            break
        data = rest + read
        if number == 1 and not rest:
            data = data.removeprefix(b"\xef\xbb\xbf")  # the mark some editors put first
        cut = data.rfind(b"\n") + 1
        rest = data[cut:]
        if len(rest) > MOST_LINE_BYTES:
            rest = rest[: MOST_LINE_BYTES + 1]
        if cut:
            yield Block(number, data[:cut])
            number += data.count(b"\n")
    if wrong:
        yield Block(number, b"", wrong)
    elif rest:
        yield Block(number, rest)


def _read_block(file: BinaryIO) -> tuple[bytes, str]:
    """About BLOCK_BYTES, fewer only at the end or before damage, and what the damage is."""
    pieces: list[bytes] = []
    size = 0
    while size < BLOCK_BYTES:
        try:
            # In small reads, since one that meets damage gives nothing.
            piece = file.read1(min(_READ_BYTES, BLOCK_BYTES - size))  # type: ignore[attr-defined]
        except OSError as error:
            return b"".join(pieces), damage(error)
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces), ""


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
