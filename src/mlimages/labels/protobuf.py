"""The wire format of protocol buffers, read and written without a library.

https://protobuf.dev/programming-guides/encoding: a message is a row of fields, each a tag (number
and wire type, as one base-128 number) and a value. Bytes come from strangers: nothing is taken on
trust, and whatever does not fit raises `WireError`.
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
_MASK = 0xFFFFFFFFFFFFFFFF


class WireError(ValueError):
    """Bytes that are no protocol buffer; the message says why."""


def fields(data: bytes, begin: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(field number, wire type, begin, end) of each field of the message in data[begin:end]."""
    position = begin
    while position < end:
        tag, position = varint(data, position, end)
        wire, start = tag & 7, position
        if wire == VARINT:
            position = varint(data, position, end)[1]
        elif wire == LENGTH:
            length, start = varint(data, position, end)
            position = start + length
        elif wire in (FIXED64, FIXED32):
            position += 8 if wire == FIXED64 else 4
        else:
            raise WireError(f"wire type {wire} at byte {start}")
        if position > end:
            raise WireError(f"a field at byte {start} goes beyond its message")
        yield tag >> 3, wire, start, position


def messages(
    data: bytes, begin: int, end: int, wanted: int | None = None
) -> Iterator[tuple[int, int, int]]:
    """(field number, begin, end) of the fields that have a length: messages, bytes and strings."""
    for number, wire, start, stop in fields(data, begin, end):
        if wire == LENGTH and (wanted is None or number == wanted):
            yield number, start, stop


def varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    """An unsigned number in base 128, and the position behind it."""
    value = shift = 0
    while position < end and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & _MASK, position
        shift += 7
    raise WireError(f"a number at byte {position} does not end")


def signed(value: int) -> int:
    """An int32 or int64 as it was before it was written as an unsigned number."""
    return value - (1 << 64) if value >> 63 else value


def write_varint(value: int) -> bytes:
    """A number in base 128; negative ones as two's complement of 64 bits."""
    value &= _MASK
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    written.append(value)
    return bytes(written)


def write_number(number: int, value: int) -> bytes:
    """A field that holds a number; zero is written as nothing, as protocol buffers do."""
    return write_varint(number << 3 | VARINT) + write_varint(value) if value else b""


def write_fixed32(number: int, value: int) -> bytes:
    """A field of four bytes."""
    return write_varint(number << 3 | FIXED32) + value.to_bytes(4, "little")


def write_message(number: int, content: bytes) -> bytes:
    """A field that holds a message, bytes or a string."""
    return write_varint(number << 3 | LENGTH) + write_varint(len(content)) + content
