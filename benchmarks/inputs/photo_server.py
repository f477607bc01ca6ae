"""A web of photos on this machine: sizes, delays and faults drawn once an address.

Photos are cut out of the two sample photos of scikit-learn and encoded anew: 20 to 290 kB, about
100 kB on average. Each address gives bytes of its own, by a comment inside the JPEG. Hosts are
loopback addresses, 127.0.0.1 to 127.0.255.1. It runs as a process, and prints its port:
`python photo_server.py PORT FAULTS`.

Faults of a share of the addresses, by their number: three of four pass (a 503 with Retry-After, a
connection that is cut, half a body), one of four does not (404, a page of HTML).
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import numpy as np

PHOTOS = 160
HOSTS = 256
# Seconds to the first byte: 0.3 in the middle, 0.45 on average, 1.8 for one of fifty.
DELAYS = np.random.default_rng(1).lognormal(np.log(0.3), 0.9, 4096).clip(0.02, 3.0).tolist()
PASSING = ("busy", "cut", "half")
LASTING = ("gone", "page")
_KINDS = (*PASSING, "gone", *PASSING, "page")


def url_of(number: int, port: int) -> str:
    """Address of a photo."""
    return f"http://127.0.{number % HOSTS}.1:{port}/photo/{number}.jpg"


def fault_of(number: int, share: float) -> str:
    """The kind of fault of an address; empty for none."""
    if np.random.default_rng(number).random() >= share:
        return ""
    return _KINDS[np.random.default_rng(number + (1 << 32)).integers(len(_KINDS))]


def draw_photos(count: int = PHOTOS) -> list[bytes]:
    """JPEGs of realistic sizes, in bytes and in pixels."""
    import simplejpeg
    from PIL import Image
    from sklearn.datasets import load_sample_images

    generator = np.random.default_rng(0)
    samples = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    photos = []
    for number in range(count):
        sample = samples[number % len(samples)]
        scale = generator.uniform(0.7, 1.0)
        size = (int(sample.width * scale), int(sample.height * scale))
        left = int(generator.integers(0, sample.width - size[0] + 1))
        top = int(generator.integers(0, sample.height - size[1] + 1))
        cut = sample.crop((left, top, left + size[0], top + size[1]))
        longer = int(np.clip(generator.lognormal(np.log(700), 0.22), 320, 1100))
        cut = cut.resize((longer, longer * size[1] // size[0]), Image.Resampling.LANCZOS)
        quality = int(generator.integers(86, 96))
        pixels = np.ascontiguousarray(np.asarray(cut))
        photos.append(simplejpeg.encode_jpeg(pixels, quality=quality, colorsubsampling="420"))
    return photos


def comment(number: int) -> bytes:
    """A JPEG's comment that no other address has."""
    text = b"%012d" % number
    return b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text


class Connection(asyncio.Protocol):
    """HTTP/1.1 with connections that stay open; as little work as a server can do."""

    def __init__(self, photos: list[bytes], share: float, asked: dict[int, int]) -> None:
        self.photos, self.share, self.asked, self.delays = photos, share, asked, DELAYS
        self.buffer = b""

    def connection_made(self, transport: Any) -> None:
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each whole request after its delay."""
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            path = head.split(b" ", 2)[1]
            if not path.startswith(b"/photo/"):
                self._send(b"404 Not Found", b"")
                continue
            number = int(path[7:-4])
            delay = self.delays[number % len(self.delays)]
            asyncio.get_running_loop().call_later(delay, self.answer, number)

    def answer(self, number: int) -> None:
        """Send a photo, or what its fault is."""
        if self.transport.is_closing():
            return
        times = self.asked[number] = self.asked.get(number, 0) + 1
        fault = fault_of(number, self.share) if self.share else ""
        photo = self.photos[number % len(self.photos)]
        parts = (photo[:2], comment(number), photo[2:])
        length = sum(map(len, parts))
        if fault == "gone":
            self._send(b"404 Not Found", b"no such photo")
        elif fault == "page":
            self._send(b"200 OK", b"<!doctype html><title>Moved</title>" * 20, b"text/html")
        elif fault == "busy" and times == 1:
            self._send(b"503 Service Unavailable", b"", b"text/plain", b"Retry-After: 1\r\n")
        elif fault == "cut" and times == 1:
            self.transport.abort()
        elif fault == "half" and times == 1:
            self.transport.write(_head(b"200 OK", length, b"image/jpeg") + photo[: length // 2])
            self.transport.close()
        else:
            self.transport.writelines([_head(b"200 OK", length, b"image/jpeg"), *parts])

    def _send(
        self, status: bytes, body: bytes, kind: bytes = b"text/plain", more: bytes = b""
    ) -> None:
        self.transport.write(_head(status, len(body), kind, more) + body)


def _head(status: bytes, length: int, kind: bytes, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s\r\n" % (
        *(status, kind, length),
        more,
    )


async def serve(port: int, share: float) -> None:
    """Serve until the process is ended; prints a line once it listens."""
    photos, asked = draw_photos(), {}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(photos, share, asked), "0.0.0.0", port, backlog=4096
    )
    print("port", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        import uvloop

        uvloop.run(serve(int(sys.argv[1]), float(sys.argv[2])))
    except ModuleNotFoundError:
        asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
