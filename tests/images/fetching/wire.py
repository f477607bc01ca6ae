"""A small internet for tests: names, public addresses, and a record of every connection.

Public addresses lead to the loopback server of the test; a connection to anything else is recorded
and refused, so that a test can prove what would have been connected to.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest
from tests.image_server import Server

from mlimages.images.fetching import pool
from mlimages.images.fetching.http1 import Connection
from mlimages.images.fetching.resolver import Resolver
from mlimages.images.fetching.states import FetchFailure, UrlState

PUBLIC = "93.184.216.34"
OTHER_PUBLIC = "2606:2800:220:1:248:1893:25c8:1946"

_connect = pool.connect
_sockets: list[object] | None = None


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if _sockets is not None and event in ("socket.connect", "socket.getaddrinfo"):
        _sockets.append(arguments[1] if event == "socket.connect" else arguments)


sys.addaudithook(_audit)


class Names:
    """A name server whose answers are given: a list of addresses for each look-up in turn."""

    def __init__(self, answers: Mapping[str, Sequence[Sequence[str]]], lifetime: float = 0) -> None:
        self.answers, self.lifetime = answers, lifetime
        self.asked: list[str] = []

    async def look_up(self, host: str) -> tuple[list[str], float]:
        self.asked.append(host)
        answers = self.answers.get(host)
        if answers is None:
            raise FetchFailure(UrlState.NO_SUCH_HOST, f"{host}: unknown")
        turn = min(self.asked.count(host), len(answers)) - 1
        return list(answers[turn]), self.lifetime

    async def close(self) -> None:
        pass


def resolver(names: Names | None = None, *, cached: bool = False) -> Resolver:
    """A resolver over given names; without `cached`, every use looks them up again."""
    bounds = (60.0, 3600.0) if cached else (0.0, 0.0)
    return Resolver(names or Names({}), bounds=bounds, failure_seconds=0.0)


class Wire:
    """Records the addresses that the client connects to."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.addresses: list[str] = []
        self.sockets: list[object] = []

    async def connect(
        self, address: str, port: int, seconds: float, tls: ssl.SSLContext | None, host: str
    ) -> Connection:
        self.addresses.append(address)
        if address not in (PUBLIC, OTHER_PUBLIC):
            raise FetchFailure(UrlState.REFUSED, f"{address} is not on this wire")
        connection = await _connect("127.0.0.1", self._server.port, seconds, None, host)
        connection.address = address
        return connection

    def prove_nothing_else_was_connected(self) -> None:
        """Every socket that this process connected is one of the recorded connections."""
        served = [address for address in self.addresses if address in (PUBLIC, OTHER_PUBLIC)]
        assert self.sockets == [("127.0.0.1", self._server.port)] * len(served)


@contextmanager
def wired(server: Server) -> Iterator[Wire]:
    """Put the wire between the client and the network."""
    global _sockets
    wire = Wire(server)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "connect", wire.connect)
        _sockets = wire.sockets
        try:
            yield wire
        finally:
            _sockets = None
