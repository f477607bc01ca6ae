"""JSON from files that nobody vouches for: single values, and members of files of any size.

A file of several GB is read as a stream: the elements of the arrays in its outermost object come
one by one, and no more is held than the largest of them.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, NoReturn

BLOCK_CHARACTERS = 1 << 20
MAXIMUM_ELEMENT = 1 << 24
"""Characters of the largest element of an array that is read."""
_SPACE = re.compile(r"[ \t\n\r]*")


class DamagedJsonError(Exception):
    """A file whose rest cannot be read; the message says where and why."""


def parse_json(text: str | bytes) -> tuple[Any, str]:
    """(value, "") or (None, what is wrong with it): NaN, depth without end and huge numbers too."""
    try:
        return json.loads(text, parse_constant=_refuse), ""
    except RecursionError:
        return None, "not JSON that can be read (nested too deep)"
    except UnicodeDecodeError:
        return None, "not UTF-8 text"
    except ValueError as error:
        return None, f"not JSON ({error})"


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def members(stream: BinaryIO) -> Iterator[tuple[str, Any]]:
    """The members of the outermost object, an array's elements one by one.

    `{"a": 1, "b": [2, 3]}` gives ("a", 1), ("b", 2), ("b", 3). Bytes that are no UTF-8 become lone
    surrogates in the texts that hold them.

    Raises:
        DamagedJsonError: after the members that could still be read.
    """
    reader = _Reader(stream)
    reader.expect("{")
    if reader.next_is("}"):
        return
    while True:
        key = reader.value()
        if not isinstance(key, str):
            reader.fail("a key that is no text")
        reader.expect(":")
        if reader.next_is("["):
            if not reader.next_is("]"):
                yield key, reader.value()
                while reader.next_is(","):
                    yield key, reader.value()
                reader.expect("]")
        else:
            yield key, reader.value()
        if reader.next_is("}"):
            return
        reader.expect(",")


class _Reader:
    """A window of text that moves over a stream."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decode = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape").decode
        self._scan = json.JSONDecoder(parse_constant=_refuse).raw_decode
        self._text, self._position = "", 0
        self._before = 0  # characters let go
        self._ended = False

    def expect(self, mark: str) -> None:
        """Pass over white space and a mark."""
        if not self.next_is(mark):
            found = self._text[self._position : self._position + 10]
            self.fail(f"{found!r} where {mark!r} belongs" if found else "it ends too early")

    def next_is(self, mark: str) -> bool:
        """Whether a mark comes next; if so it is passed over."""
        self._skip_space()
        if not self._text.startswith(mark, self._position):
            return False
        self._position += 1
        return True

    def value(self) -> Any:
        """Read a whole value."""
        self._skip_space()
        while True:
            try:
                value, end = self._scan(self._text, self._position)
            except RecursionError:
                self.fail("nested too deep")
            except ValueError as error:
                if self._ended or not isinstance(error, json.JSONDecodeError):
                    self.fail(str(error))
            else:
                # A number near the end of the window may go on behind it: 5 may be 5.0 or 5e+1.
                if end + 2 < len(self._text) or self._ended:
                    self._position = end
                    return value
            held = len(self._text) - self._position
            if held > MAXIMUM_ELEMENT:
                self.fail(f"a value of more than {MAXIMUM_ELEMENT:,} characters, or broken")
            # Doubling keeps the work linear in the size of the value.
            self._read(max(BLOCK_CHARACTERS, held))

    def fail(self, cause: str) -> NoReturn:
        """Stop at the present position."""
        place = self._before + self._position
        raise DamagedJsonError(f"{cause}; from character {place:,} on it cannot be read")

    def _skip_space(self) -> None:
        while True:
            found = _SPACE.match(self._text, self._position)
            self._position = found.end() if found else self._position
            if self._position < len(self._text) or self._ended:
                return
            self._read(BLOCK_CHARACTERS)

    def _read(self, size: int) -> None:
        try:
            data = self._stream.read(size)
        except OSError as error:
            self.fail(str(error.strerror or error))
        self._ended = not data
        self._before += self._position
        self._text = self._text[self._position :] + self._decode(data, final=not data)
        self._position = 0
