"""Names are looked up once, believed for a bounded time, and handed out only when all is public."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.images.fetching.wire import OTHER_PUBLIC, PUBLIC, Names

from mlimages.images.fetching.resolver import (
    AsynchronousNameServer,
    Resolver,
    SystemNameServer,
)
from mlimages.images.fetching.states import FetchFailure, UrlState


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def outcome(resolver: Resolver, host: str) -> Any:
    async def run() -> Any:
        try:
            return await resolver.resolve(host)
        except FetchFailure as failure:
            return failure.state

    return asyncio.run(run())


@pytest.mark.parametrize(("lifetime", "believed"), [(0.0, 60), (300.0, 300), (1e9, 3600)])
def test_an_answer_is_believed_as_long_as_it_says_within_bounds(
    lifetime: float, believed: float
) -> None:
    clock, names = Clock(), Names({"a.example": [[PUBLIC], [OTHER_PUBLIC]]}, lifetime)
    resolver = Resolver(names, clock=clock)
    assert outcome(resolver, "a.example") == (PUBLIC,)
    clock.now = believed - 1
    assert outcome(resolver, "a.example") == (PUBLIC,)
    clock.now = believed + 1
    assert outcome(resolver, "a.example") == (OTHER_PUBLIC,)


def test_a_failure_is_believed_for_a_while_too() -> None:
    clock, names = Clock(), Names({})
    resolver = Resolver(names, clock=clock)
    for now in (0, 59, 61):
        clock.now = now
        assert outcome(resolver, "gone.example") is UrlState.NO_SUCH_HOST
    assert len(names.asked) == 2


def test_ipv4_comes_first_and_each_address_once() -> None:
    names = Names({"a.example": [[OTHER_PUBLIC, PUBLIC, PUBLIC]]})
    assert outcome(Resolver(names), "a.example") == (PUBLIC, OTHER_PUBLIC)


def test_a_name_without_an_address_does_not_exist() -> None:
    assert outcome(Resolver(Names({"a.example": [[]]})), "a.example") is UrlState.NO_SUCH_HOST


def test_private_addresses_are_handed_out_only_when_allowed() -> None:
    names = Names({"a.example": [["127.0.0.1"]]})
    assert outcome(Resolver(names), "a.example") is UrlState.BLOCKED_ADDRESS
    assert outcome(Resolver(names, allow_private=True), "a.example") == ("127.0.0.1",)


class SlowNames(Names):
    """Counts how many names are looked up at the same time."""

    def __init__(self) -> None:
        super().__init__({})
        self.busy = self.most_busy = 0

    async def look_up(self, host: str) -> tuple[list[str], float]:
        self.asked.append(host)
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        await asyncio.sleep(0.001)
        self.busy -= 1
        return [PUBLIC], 60.0


def test_one_look_up_serves_all_who_wait_and_few_run_at_a_time() -> None:
    async def run() -> SlowNames:
        names = SlowNames()
        resolver = Resolver(names, concurrency=4)
        hosts = [f"{n % 20}.example" for n in range(200)]
        found = await asyncio.gather(*[resolver.resolve(host) for host in hosts])
        assert set(found) == {(PUBLIC,)}
        return names

    names = asyncio.run(run())
    assert len(names.asked) == 20
    assert names.most_busy == 4


def test_one_who_gives_up_does_not_end_the_look_up_of_the_others() -> None:
    async def run() -> None:
        resolver = Resolver(SlowNames())
        first, second = (asyncio.ensure_future(resolver.resolve("a.example")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == (PUBLIC,)

    asyncio.run(run())


def test_only_so_many_names_are_remembered() -> None:
    async def run() -> int:
        names = SlowNames()
        resolver = Resolver(names, maximum=5)
        for host in [f"{n}.example" for n in range(10)] + ["9.example", "0.example"]:
            await resolver.resolve(host)
        return len(names.asked)

    assert asyncio.run(run()) == 11


@contextmanager
def name_server(records: dict[str, tuple[str, int]]) -> Iterator[str]:
    """A DNS server (RFC 1035) on loopback that knows A records, with their lifetimes."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(0.05)
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            try:
                query, client = sock.recvfrom(512)
            except TimeoutError:
                continue
            sock.sendto(_answer(query, records), client)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{sock.getsockname()[1]}"
    finally:
        ended.set()
        thread.join()
        sock.close()


def _answer(query: bytes, records: dict[str, tuple[str, int]]) -> bytes:
    labels, position = [], 12
    while query[position]:
        labels.append(query[position + 1 : position + 1 + query[position]].decode())
        position += 1 + query[position]
    question = query[12 : position + 5]
    (kind,) = struct.unpack_from(">H", query, position + 1)
    name = ".".join(labels).lower()
    if name == "broken.example":
        return query[:2] + struct.pack(">HHHHH", 0x8182, 1, 0, 0, 0) + question
    if name not in records:
        return query[:2] + struct.pack(">HHHHH", 0x8183, 1, 0, 0, 0) + question
    address, lifetime = records[name]
    answers = b""
    if kind == 1:
        answers = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, lifetime, 4) + socket.inet_aton(address)
    header = struct.pack(">HHHHH", 0x8180, 1, 1 if answers else 0, 0, 0)
    return query[:2] + header + question + answers


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("a.example", ([PUBLIC], 123)),
        ("gone.example", UrlState.NO_SUCH_HOST),
        ("broken.example", UrlState.DNS),
    ],
)
def test_a_real_name_server_is_asked_without_root(host: str, expected: object) -> None:
    pytest.importorskip("aiodns")

    async def run(address: str) -> object:
        server = AsynchronousNameServer([address], seconds=1.0)
        try:
            return await server.look_up(host)
        except FetchFailure as failure:
            return failure.state
        finally:
            await server.close()

    with name_server({"a.example": (PUBLIC, 123)}) as address:
        assert asyncio.run(run(address)) == expected


def test_a_name_server_that_does_not_answer_is_a_passing_failure() -> None:
    pytest.importorskip("aiodns")

    async def run(address: str) -> UrlState:
        server = AsynchronousNameServer([address], seconds=0.1)
        with pytest.raises(FetchFailure) as caught:
            await server.look_up("a.example")
        await server.close()
        return caught.value.state

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        assert asyncio.run(run(f"127.0.0.1:{silent.getsockname()[1]}")) is UrlState.DNS


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), UrlState.NO_SUCH_HOST),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), UrlState.DNS),
        (UnicodeError("label too long"), UrlState.DNS),
    ],
)
def test_the_systems_resolver_stands_in(
    monkeypatch: pytest.MonkeyPatch, error: Exception, state: UrlState
) -> None:
    def getaddrinfo(host: str, *rest: object, **more: object) -> list[Any]:
        if host == "a.example.":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (PUBLIC, 0))]
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    resolver = Resolver(SystemNameServer(threads=2))
    assert outcome(resolver, "a.example") == (PUBLIC,)
    assert outcome(resolver, "gone.example") is state
