"""How a test server misbehaves: one function a kind of fault."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol


class FaultyConnection(Protocol):
    """What a fault may do to the connection it is on."""

    transport: asyncio.Transport

    def send(self, answer: bytes, close: bool = False) -> None:
        """Write an answer; the request is then finished."""

    def finished(self) -> None:
        """The request is finished without `send`."""


def response(
    body: bytes,
    status: int = 200,
    headers: Sequence[str] = (),
    kind: str = "image/jpeg",
    length: int | None = None,
) -> bytes:
    """A whole HTTP answer."""
    lines = [
        f"HTTP/1.1 {status} -",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body) if length is None else length}",
        *headers,
    ]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


async def _status(connection: FaultyConnection, value: str, answer: bytes) -> None:
    connection.send(response(b"<html>sorry</html>", int(value), kind="text/html"))


async def _retry_after(connection: FaultyConnection, value: str, answer: bytes) -> None:
    status, _, seconds = value.partition(",")
    connection.send(response(b"slowly", int(status), [f"Retry-After: {seconds}"]))


async def _delay(connection: FaultyConnection, value: str, answer: bytes) -> None:
    await asyncio.sleep(float(value))
    connection.send(answer)


async def _stall_head(connection: FaultyConnection, value: str, answer: bytes) -> None:
    connection.transport.write(answer[: int(value or 0)])
    await asyncio.sleep(3600)


async def _stall_body(connection: FaultyConnection, value: str, answer: bytes) -> None:
    body = answer.index(b"\r\n\r\n") + 4
    connection.transport.write(answer[: body + int(value or 100)])
    await asyncio.sleep(3600)


async def _drip_head(connection: FaultyConnection, value: str, answer: bytes) -> None:
    connection.transport.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        await asyncio.sleep(float(value or 0.05))
        connection.transport.write(b"a")


async def _slow(connection: FaultyConnection, value: str, answer: bytes) -> None:
    rate = int(value or 100)
    body = answer.index(b"\r\n\r\n") + 4
    connection.transport.write(answer[:body])
    for start in range(body, len(answer), max(1, rate // 20)):
        connection.transport.write(answer[start : start + max(1, rate // 20)])
        await asyncio.sleep(0.05)
    connection.finished()


async def _endless(connection: FaultyConnection, value: str, answer: bytes) -> None:
    image = answer[answer.index(b"\r\n\r\n") + 4 :]
    connection.transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n" + image)
    while not connection.transport.is_closing():
        connection.transport.write(bytes(65536))
        await _room(connection)


async def _endless_head(connection: FaultyConnection, value: str, answer: bytes) -> None:
    connection.transport.write(b"HTTP/1.1 200 OK\r\n")
    while not connection.transport.is_closing():
        connection.transport.write(b"X-More: " + b"a" * 4000 + b"\r\n")
        await _room(connection)


async def _huge_length(connection: FaultyConnection, value: str, answer: bytes) -> None:
    image = answer[answer.index(b"\r\n\r\n") + 4 :]
    connection.transport.write(response(image, length=int(value or 10 * 1024**3)))
    await asyncio.sleep(3600)


async def _cut(connection: FaultyConnection, value: str, answer: bytes) -> None:
    body = answer.index(b"\r\n\r\n") + 4
    connection.send(answer[: body + int(value or (len(answer) - body) // 2)], close=True)


async def _short_length(connection: FaultyConnection, value: str, answer: bytes) -> None:
    image = answer[answer.index(b"\r\n\r\n") + 4 :]
    connection.send(response(image, length=int(value or len(image) // 2)))


async def _redirect(connection: FaultyConnection, value: str, answer: bytes) -> None:
    connection.send(response(b"", 302, [f"Location: {value}"]))


async def _html(connection: FaultyConnection, value: str, answer: bytes) -> None:
    page = b"<!DOCTYPE html><html><body>This photo is no longer available.</body></html>"
    connection.send(response(page, kind=value or "text/html"))


async def _empty(connection: FaultyConnection, value: str, answer: bytes) -> None:
    connection.send(response(b""))


async def _header(connection: FaultyConnection, value: str, answer: bytes) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = [line.strip() for line in value.split("|")]
    connection.send(head + b"\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n" + body)


async def _chunked(connection: FaultyConnection, value: str, answer: bytes) -> None:
    image = answer[answer.index(b"\r\n\r\n") + 4 :]
    size = int(value or 1000)
    chunks = [image[start : start + size] for start in range(0, len(image), size)]
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)


async def _no_length(connection: FaultyConnection, value: str, answer: bytes) -> None:
    image = answer[answer.index(b"\r\n\r\n") + 4 :]
    connection.send(b"HTTP/1.1 200 OK\r\n\r\n" + image, close=True)


async def _interim(connection: FaultyConnection, value: str, answer: bytes) -> None:
    connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * int(value or 1) + answer)


async def _garbage(connection: FaultyConnection, value: str, answer: bytes) -> None:
    connection.send(b"SSH-2.0-OpenSSH_9.6\r\n" * 3)


async def _reset(connection: FaultyConnection, value: str, answer: bytes) -> None:
    # RST instead of FIN, as a crashed host sends.
    sock = connection.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.transport.abort()


async def _hang_up(connection: FaultyConnection, value: str, answer: bytes) -> None:
    connection.send(answer, close=True)


async def _raw(connection: FaultyConnection, value: str, answer: bytes) -> None:
    connection.send(value.encode("latin-1").decode("unicode_escape").encode("latin-1"), close=True)


async def _room(connection: FaultyConnection) -> None:
    """Wait until the client has read most of what was written."""
    await asyncio.sleep(0)
    while connection.transport.get_write_buffer_size() > 1 << 20:
        await asyncio.sleep(0.01)


Misbehaviour = Callable[[FaultyConnection, str, bytes], Coroutine[Any, Any, None]]

# What each kind does, and what its value means.
FAULTS: dict[str, Misbehaviour] = {
    "status": _status,  # status
    "retry_after": _retry_after,  # status,seconds
    "delay": _delay,  # seconds
    "stall_head": _stall_head,  # bytes sent before
    "stall_body": _stall_body,  # bytes of the body sent before
    "drip_head": _drip_head,  # seconds between bytes of an endless head
    "slow": _slow,  # bytes of the body a second
    "endless": _endless,
    "endless_head": _endless_head,
    "huge_length": _huge_length,  # announced bytes
    "cut": _cut,  # bytes of the body sent before the connection ends
    "short_length": _short_length,  # announced bytes, fewer than are sent
    "redirect": _redirect,  # Location
    "html": _html,  # content type
    "empty": _empty,
    "header": _header,  # header lines, separated by |
    "chunked": _chunked,  # bytes a chunk
    "no_length": _no_length,
    "interim": _interim,  # number of 103 answers before
    "garbage": _garbage,
    "reset": _reset,
    "hang_up": _hang_up,  # a whole answer, then the end of the connection
    "raw": _raw,  # the answer itself, with \r\n escaped
}
