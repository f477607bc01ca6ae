"""Sorted tables of LevelDB's form, in which TensorFlow keeps a checkpoint's index.

https://github.com/google/leveldb/blob/main/doc/table_format.md. A table is a row of blocks, each
followed by its kind of compression (one byte) and a masked CRC-32C of both; its last 48 bytes say
where the block is that lists the others. A block is a row of entries, each

    shared, unshared, length (base-128 numbers), the key's last `unshared` bytes, the value

whose key begins with the first `shared` bytes of the key before it; then the places of entries
that share nothing. Bytes come from strangers: sizes and checksums are held against the file first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from mlimages.labels.crc32c import masked_crc32c
from mlimages.labels.protobuf import WireError, varint, write_varint

MAXIMUM_BYTES = 1 << 28
"""Bytes of the largest table that is read, and of its largest block once decompressed."""
_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
_TRAILER = 5
_PLAIN, _SNAPPY = 0, 1
_RESTART_INTERVAL = 16
_BLOCK_BYTES = 1 << 16


class TableError(ValueError):
    """Bytes that are no such table; the message says why."""


def read_table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) of all entries, in the order of their keys.

    Raises:
        TableError: the table is cut, damaged or not one at all.
    """
    if len(data) > MAXIMUM_BYTES:
        raise TableError(f"{len(data):,} bytes long, more than {MAXIMUM_BYTES:,}")
    if len(data) < _FOOTER:
        raise TableError(f"only {len(data)} bytes long")
    footer = data[-_FOOTER:]
    if int.from_bytes(footer[-8:], "little") != _MAGIC:
        raise TableError("its last bytes are not those of a table (cut off, or another format)")
    try:
        _, position = _handle(footer, 0)  # of the block that describes filters
        index, _ = _handle(footer, position)
        last = b""
        for _, place in _entries(_block(data, index)):
            handle, _ = _handle(place, 0)
            for key, value in _entries(_block(data, handle)):
                if last and key <= last:
                    raise TableError("its keys are not in order")
                last = key
                yield key, value
    except WireError as error:
        raise TableError(str(error)) from None


def write_table(entries: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A table of entries whose keys ascend, uncompressed."""
    data, index, block, size = bytearray(), [], [], 0
    for entry in entries:
        block.append(entry)
        size += sum(map(len, entry))
        if size >= _BLOCK_BYTES:
            index.append((block[-1][0], _append(data, block)))
            block, size = [], 0
    if block:
        index.append((block[-1][0], _append(data, block)))
    handles = _append(data, []) + _append(data, index, interval=1)
    data += handles.ljust(_FOOTER - 8, b"\0") + _MAGIC.to_bytes(8, "little")
    return bytes(data)


def _handle(data: bytes, position: int) -> tuple[tuple[int, int], int]:
    offset, position = varint(data, position, len(data))
    size, position = varint(data, position, len(data))
    return (offset, size), position


def _block(data: bytes, handle: tuple[int, int]) -> bytes:
    offset, size = handle
    if offset + size + _TRAILER > len(data) - _FOOTER:
        raise TableError(f"a block at byte {offset:,} goes beyond the file")
    content = data[offset : offset + size]
    kind = data[offset + size]
    check = int.from_bytes(data[offset + size + 1 : offset + size + _TRAILER], "little")
    if masked_crc32c(data[offset : offset + size + 1]) != check:
        raise TableError(f"the checksum of its block at byte {offset:,} differs")
    if kind == _PLAIN:
        return content
    if kind != _SNAPPY:
        raise TableError(f"compression {kind} of its block at byte {offset:,} is unknown")
    length, _ = varint(content, 0, len(content))
    if length > MAXIMUM_BYTES:
        raise TableError(f"its block at byte {offset:,} says {length:,} bytes")
    try:
        return pa.decompress(content, length, codec="snappy", asbytes=True)
    except (OSError, pa.ArrowException):
        raise TableError(f"its block at byte {offset:,} cannot be decompressed") from None


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    if len(block) < 4 or end < 0:
        raise TableError("a block says more restarts than it has bytes")
    key, position = b"", 0
    while position < end:
        shared, position = varint(block, position, end)
        unshared, position = varint(block, position, end)
        length, position = varint(block, position, end)
        if shared > len(key) or position + unshared + length > end:
            raise TableError("an entry goes beyond its block")
        key = key[:shared] + block[position : position + unshared]
        position += unshared + length
        yield key, block[position - length : position]


def _append(
    data: bytearray, entries: list[tuple[bytes, bytes]], interval: int = _RESTART_INTERVAL
) -> bytes:
    """Append a block and return its handle."""
    block, restarts, before = bytearray(), [], b""
    for number, (key, value) in enumerate(entries):
        shared = 0
        if number % interval == 0:
            restarts.append(len(block))
        else:
            most = min(len(key), len(before))
            while shared < most and key[shared] == before[shared]:
                shared += 1
        for size in (shared, len(key) - shared, len(value)):
            block += write_varint(size)
        block += key[shared:] + value
        before = key
    for place in restarts or [0]:
        block += place.to_bytes(4, "little")
    block += max(1, len(restarts)).to_bytes(4, "little")
    handle = write_varint(len(data)) + write_varint(len(block))
    block.append(_PLAIN)
    data += block + masked_crc32c(bytes(block)).to_bytes(4, "little")
    return handle
