"""A web server on loopback that serves images and misbehaves as told.

In a test: `with serving({"/a.jpg": data}, {"/a.jpg": "status:503*2"}) as server`, then
`server.url("/a.jpg")`. For benchmarks, as a process: `python -m tests.image_server --help`.

A fault is written `KIND`, `KIND:VALUE`, and `*N` behind it: only for the first N requests of the
path. See tests/server_faults.py for the kinds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import ssl
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.server_faults import FAULTS, response

_TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".gif": "image/gif"}
COUNTS_PATH = "/-/counts"


@dataclass
class Site:
    """What is served and what was asked for.

    Attributes:
        answers: whole HTTP answers by path.
        faults: fault by path; `{host}/path` takes precedence for requests with that Host.
        latency: seconds until an answer, drawn evenly between the two for each request.
        fault_rate: part of the paths that get a fault of `random_faults`, chosen by the seed.
        requests: number of requests by path.
        busy: requests under way by Host header, and `most_busy`: the greatest number of them.
    """

    answers: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    latency: tuple[float, float] = (0.0, 0.0)
    fault_rate: float = 0.0
    random_faults: tuple[str, ...] = ("status:503*1", "status:500*1", "reset*1", "cut*1")
    seed: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    by_host: Counter[str] = field(default_factory=Counter)
    busy: Counter[str] = field(default_factory=Counter)
    most_busy: Counter[str] = field(default_factory=Counter)
    most_busy_at_all: int = 0
    heads: list[str] = field(default_factory=list)
    keep_heads: bool = False
    draw: random.Random = field(default_factory=random.Random)

    def add(self, path: str, body: bytes, headers: Sequence[str] = ()) -> None:
        """Serve `body` at `path`."""
        kind = _TYPES.get(Path(path).suffix, "text/plain")
        self.answers[path] = response(body, headers=headers, kind=kind)

    def add_copies(self, count: int, files: Sequence[bytes]) -> None:
        """Serve `count` images at /0.jpg, /1.jpg, ...: the files, again and again."""
        built = [response(data) for data in files]
        for number in range(count):
            self.answers[f"/{number}.jpg"] = built[number % len(built)]

    def fault(self, host: str, path: str) -> str | None:
        """The fault for this request, which is the path's `requests[path]`-th."""
        fault = self.faults.get(f"{host}{path}", self.faults.get(path))
        if fault is None and self.fault_rate and path in self.answers:
            chosen = random.Random(f"{self.seed} {path}")
            if chosen.random() < self.fault_rate and not path.startswith(("/robots", "/.well")):
                fault = chosen.choice(self.random_faults)
        if fault is None:
            return None
        fault, _, times = (
            fault.partition("*") if fault.split("*")[-1].isdigit() else (fault, "", "")
        )
        return None if times and self.requests[path] > int(times) else fault

    def counts(self) -> dict[str, object]:
        """What was asked for, as JSON."""
        return {
            "requests": sum(self.requests.values()),
            "paths": len(self.requests),
            "by_host": dict(self.by_host),
            "most_busy": dict(self.most_busy),
        }


class _Connection(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, site: Site) -> None:
        self.site, self.received, self.host = site, b"", ""
        self.transport: asyncio.Transport
        self.tasks: set[asyncio.Task[None]] = set()
        self.answering = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def connection_lost(self, error: Exception | None) -> None:
        self.finished()
        for task in self.tasks:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        self.received += data
        end = self.received.find(b"\r\n\r\n")
        if end < 0 or self.answering:
            return
        head, self.received = self.received[:end].decode("latin-1"), self.received[end + 4 :]
        lines = head.split("\r\n")
        method, path, _ = lines[0].split(" ", 2)
        names = (line.partition(":") for line in lines[1:])
        fields = {name.lower(): value.strip() for name, _, value in names}
        self.begin(method, path, fields.get("host", "").rsplit(":", 1)[0], head)

    def begin(self, method: str, path: str, host: str, head: str) -> None:
        site, self.host, self.answering = self.site, host, True
        if path == COUNTS_PATH:
            self.send(response(json.dumps(site.counts()).encode(), kind="application/json"))
            return
        site.requests[path] += 1
        site.by_host[host] += 1
        site.busy[host] += 1
        site.most_busy[host] = max(site.most_busy[host], site.busy[host])
        site.most_busy_at_all = max(site.most_busy_at_all, site.busy.total())
        if site.keep_heads:
            site.heads.append(head)
        fault = site.fault(host, path)
        answer = site.answers.get(path) or response(b"nothing here", 404, kind="text/plain")
        if method == "HEAD":
            answer = answer[: answer.index(b"\r\n\r\n") + 4]
        if fault is not None:
            kind, _, value = fault.partition(":")
            task = asyncio.get_running_loop().create_task(self.misbehave(kind, value, answer))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        elif site.latency[1]:
            wait = site.draw.uniform(*site.latency)
            asyncio.get_running_loop().call_later(wait, self.send, answer)
        else:
            self.send(answer)

    async def misbehave(self, kind: str, value: str, answer: bytes) -> None:
        if self.site.latency[1]:
            await asyncio.sleep(self.site.draw.uniform(*self.site.latency))
        await FAULTS[kind](self, value, answer)

    def send(self, answer: bytes, close: bool = False) -> None:
        self.finished()
        if self.transport.is_closing():
            return
        self.transport.write(answer)
        if close:
            self.transport.close()
        elif self.received:
            self.data_received(b"")

    def finished(self) -> None:
        if self.answering:
            self.answering = False
            self.site.busy[self.host] -= 1


@dataclass
class Server:
    """A running server."""

    site: Site
    port: int
    scheme: str = "http"

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """Where a path is served; any 127.0.0.x of the server, or a name a test resolver knows."""
        return f"{self.scheme}://{host}:{self.port}{path}"


async def _listen(
    site: Site, addresses: Sequence[str], port: int, tls: ssl.SSLContext | None
) -> list[asyncio.Server]:
    loop = asyncio.get_running_loop()
    servers: list[asyncio.Server] = []
    for address in addresses:
        servers.append(
            await loop.create_server(
                lambda: _Connection(site), address, port, backlog=4096, ssl=tls
            )
        )
        port = servers[0].sockets[0].getsockname()[1]
    return servers


@contextmanager
def serving(
    files: Mapping[str, bytes] | None = None,
    faults: Mapping[str, str] | None = None,
    *,
    addresses: Sequence[str] = ("127.0.0.1",),
    tls: ssl.SSLContext | None = None,
    site: Site | None = None,
) -> Iterator[Server]:
    """Serve files in a thread of this process; the yielded server's `site` may be changed."""
    site = site or Site()
    site.faults.update(faults or {})
    for path, body in (files or {}).items():
        site.add(path, body)
    loop = asyncio.new_event_loop()
    servers = loop.run_until_complete(_listen(site, addresses, 0, tls))
    thread = threading.Thread(target=loop.run_forever, name="image server", daemon=True)
    thread.start()
    try:
        port = servers[0].sockets[0].getsockname()[1]
        yield Server(site, port, "https" if tls else "http")
    finally:
        asyncio.run_coroutine_threadsafe(_stop(servers), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _stop(servers: Sequence[asyncio.Server]) -> None:
    for server in servers:
        server.close()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.image_server", description=__doc__)
    parser.add_argument("--directory", type=Path, help="serve its files, each at /NAME")
    parser.add_argument("--copies", type=int, help="serve /0.jpg ... /COPIES-1.jpg from them")
    parser.add_argument("--site", type=Path, help="JSON: faults by path")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--hosts", type=int, default=1, help="listen on 127.0.0.1 ... 127.0.0.N")
    parser.add_argument("--latency", type=float, nargs=2, default=(0.0, 0.0), help="seconds")
    parser.add_argument("--fault-rate", type=float, default=0.0)
    parser.add_argument("--random-faults", nargs="+", default=Site().random_faults)
    parser.add_argument("--seed", type=int, default=0)
    return parser


async def _run(options: argparse.Namespace) -> None:
    site = Site(
        latency=tuple(options.latency),
        fault_rate=options.fault_rate,
        random_faults=tuple(options.random_faults),
        seed=options.seed,
        draw=random.Random(options.seed),
    )
    files = sorted(options.directory.iterdir()) if options.directory else []
    if options.copies:
        site.add_copies(options.copies, [path.read_bytes() for path in files])
    else:
        for path in files:
            site.add("/" + path.name, path.read_bytes())
    if options.site:
        site.faults.update(json.loads(options.site.read_text()))
    addresses = [f"127.0.0.{number}" for number in range(1, options.hosts + 1)]
    servers = await _listen(site, addresses, options.port, None)
    # Whoever started us reads this line to know where, and that we are ready.
    print(json.dumps({"port": servers[0].sockets[0].getsockname()[1]}), flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Serve until interrupted."""
    options = _parser().parse_args()
    runner = asyncio.run
    with suppress(ImportError):
        import uvloop

        runner = uvloop.run
    with suppress(KeyboardInterrupt):
        runner(_run(options))
    sys.exit(0)


if __name__ == "__main__":
    main()
