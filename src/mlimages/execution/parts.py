"""Sharing a stage's tasks among runs that know nothing of each other, as a job array's.

    mlimages pack DB --part 2/8

Task k belongs to part i of n when k % n == i - 1: whatever n is, each task has one owner, and
neighbours, which tend to cost the same, have different ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from mlimages.errors import InputError

_TEXT = re.compile(r"(\d{1,6})/(\d{1,6})", re.ASCII)


@dataclass(frozen=True, order=True)
class Part:
    """One of `count` shares.

    Attributes:
        index: 1..count.
        count: how many shares there are.
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise InputError(f"part {self}", "no such part", "use 1/8 up to 8/8, for instance")

    @classmethod
    def parse(cls, text: str) -> Part:
        """The part that "2/8" names; raises InputError when it names none."""
        found = _TEXT.fullmatch(text.strip())
        if found is None:
            raise InputError(f"part {text!r}", "not a part", "write it as 2/8: the second of eight")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def name(self) -> str:
        """As a part of file names: "2-of-8"."""
        return f"{self.index}-of-{self.count}"

    def takes(self, task: int) -> bool:
        """Whether this part does the task of that number (from 0)."""
        return task % self.count == self.index - 1


def missing(found: Iterable[Part]) -> list[Part]:
    """The parts that are not among some, ascending; all are of as many shares.

    Raises:
        InputError: there are none, or they are not of as many shares.
    """
    known = sorted(found)
    counts = sorted({part.count for part in known})
    if len(counts) != 1:
        cause = f"of {' and of '.join(map(str, counts))} parts" if counts else "there are none"
        raise InputError("parts", cause, "run all parts i/n with one n")
    return [part for i in range(counts[0]) if (part := Part(i + 1, counts[0])) not in known]
