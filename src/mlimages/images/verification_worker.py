"""The process in which images are decoded: it may be exhausted, hung or killed, and is replaced.

It holds nothing but the images in hand, cannot grow or compute without bound, and answers in
records of fixed form: what a decoder's bug could make of it is never unpickled by its parent.

Request:  HEAD, lengths uint64 [count], and the images' bytes where they are not in a slot of the
    memory that both processes share.
Response: for each image a RECORD, then `length` bytes of the result where they are not those of
    the image itself.
"""

from __future__ import annotations

import importlib
import json
import mmap
import os
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable

from mlimages.images.headers import EXTENSIONS
from mlimages.images.preparation import Verified
from mlimages.images.rejection import Reason
from mlimages.images.settings import ImageSettings

HEAD = struct.Struct("<Ii")  # count of images; the slot that holds their bytes, or -1
SLOT_BYTES = 2 << 20
# Place of the reason in REASONS, of the format in FORMATS, whether the bytes are those that came,
# whether there is an MD5, width, height, CRC-32, length of the bytes that follow, MD5.
RECORD = struct.Struct("<BBBBIIIQ16s")
REASONS = (None, *Reason)
FORMATS = ("", *EXTENSIONS)
READY = b"\1"
# Results of a batch are sent at its end, and before it when they have waited this long: then a
# silence means that one image takes that long.
FLUSH_SECONDS = 0.05
# What decoders, and Pillow's conversions of transparent pixels, hold of a pixel at once.
_BYTES_PER_PIXEL = 16
_SPARE_BYTES = 512 << 20


def main() -> None:
    """Serve on an inherited socket until its other end is closed."""
    descriptor, function, options = int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    memory = map_slots(int(sys.argv[4]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings, seconds = ImageSettings.from_dict(options["settings"]), options["seconds"]
    module, name = function.split(":")
    prepare = getattr(importlib.import_module(module), name)
    _limit_memory(settings)
    connection = socket.socket(fileno=descriptor)
    connection.sendall(READY)
    # From here on what native decoders print about bad files is of no use to anybody.
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    while images := _receive_images(connection, memory):
        _limit_time(seconds * len(images))
        _answer(connection, images, lambda data: prepare(data, settings, md5=options["md5"]))


def pack_result(result: Verified, data: bytes) -> list[bytes]:
    """A response of one image: its record and, where they changed, its bytes."""
    same = result.data is data
    record = RECORD.pack(
        *(REASONS.index(result.reason), FORMATS.index(result.format), same, bool(result.md5)),
        *(result.width, result.height, result.crc32, 0 if same else len(result.data)),
        bytes.fromhex(result.md5),
    )
    return [record] if same else [record, result.data]


def unpack_result(record: bytes, came: bytes, data: bytes) -> Verified:
    """The inverse of `pack_result`: of a record, the bytes that came and those that followed."""
    reason, kind, same, hashed, width, height, crc32, _, md5 = RECORD.unpack(record)
    kept = came if same else data
    digest = md5.hex() if hashed else ""
    return Verified(kept, FORMATS[kind], width, height, crc32, digest, REASONS[reason])


def _answer(
    connection: socket.socket, images: list[bytes], prepare: Callable[[bytes], Verified]
) -> None:
    response: list[bytes] = []
    flushed = time.monotonic()
    for data in images:
        response += pack_result(prepare(data), data)
        if time.monotonic() - flushed > FLUSH_SECONDS:
            connection.sendall(b"".join(response))
            response, flushed = [], time.monotonic()
    connection.sendall(b"".join(response))


def map_slots(descriptor: int) -> memoryview:
    """The shared memory behind a descriptor; none where there is no descriptor."""
    return memoryview(mmap.mmap(descriptor, 0) if descriptor >= 0 else b"")


def _receive_images(connection: socket.socket, memory: memoryview) -> list[bytes]:
    count, slot = HEAD.unpack(_receive(connection, HEAD.size))
    lengths = struct.unpack(f"<{count}Q", _receive(connection, 8 * count))
    if slot < 0:
        whole = memoryview(_receive(connection, sum(lengths)))
    else:
        whole = memory[slot * SLOT_BYTES : (slot + 1) * SLOT_BYTES]
    images, position = [], 0
    for length in lengths:
        images.append(bytes(whole[position : position + length]))
        position += length
    return images


def _receive(connection: socket.socket, length: int) -> bytearray:
    buffer = bytearray(length)
    view, filled = memoryview(buffer), 0
    while filled < length:
        got = connection.recv_into(view[filled:])
        if not got:
            os._exit(0)  # the parent has gone: nobody waits for an answer
        filled += got
    return buffer


def _limit_memory(settings: ImageSettings) -> None:
    now = _address_space()
    more = _BYTES_PER_PIXEL * settings.maximum_pixels + 4 * settings.maximum_bytes + _SPARE_BYTES
    _lower(resource.RLIMIT_AS, now + more)
    _lower(resource.RLIMIT_CORE, 0)


def _limit_time(seconds: float) -> None:
    """Let the processor's time end a decoder that nobody is left to kill."""
    used = time.process_time()
    _lower(resource.RLIMIT_CPU, int(used + seconds) + 2)


def _lower(kind: int, soft: int) -> None:
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _address_space() -> int:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 1 << 30  # no such file on other systems than Linux


if __name__ == "__main__":
    main()
