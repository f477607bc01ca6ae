"""Open connections: kept between images, counted, watched."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ssl
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from itertools import islice

from mlimages.images.fetching.http1 import Connection
from mlimages.images.fetching.states import FetchFailure, UrlState
from mlimages.images.fetching.turns import Turns
from mlimages.images.fetching.urls import Url

# Of a host with many addresses, this many are tried before it counts as not to be reached.
_ADDRESSES_TRIED = 3
_RELEASED_AT_ONCE = 64
_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)


class Pool:
    """Connections in use and idle, by origin; each was opened to an address that was checked."""

    def __init__(self, tls: ssl.SSLContext, idle: int, idle_seconds: float) -> None:
        self._tls, self._maximum_idle, self._idle_seconds = tls, idle, idle_seconds
        self._idle: OrderedDict[str, deque[Connection]] = OrderedDict()
        self._idle_count = 0
        self._used: set[Connection] = set()
        self._turns = Turns()
        self._holds = False
        self._watching: asyncio.Task[None] | None = None

    def start(self, interval: float) -> None:
        """Watch the connections every `interval` seconds."""
        self._watching = asyncio.create_task(self._watch(interval))

    async def close(self) -> None:
        """Close every connection."""
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        for connection in [*self._used, *(c for kept in self._idle.values() for c in kept)]:
            connection.close()
        self._idle.clear()
        await asyncio.sleep(0)  # transports end in the next turn of the loop

    def hold(self, holds: bool) -> None:
        """Have all connections take in nothing, or go on."""
        self._holds, now = holds, time.monotonic()
        if holds:
            for connection in self._used:
                connection.hold(now)
        else:
            self._release(iter(list(self._used)))

    def _release(self, connections: Iterator[Connection]) -> None:
        """Have some go on, then others: what waits of all of them is too much for one turn."""
        if self._holds:
            return
        now = time.monotonic()
        some = list(islice(connections, _RELEASED_AT_ONCE))
        for connection in some:
            connection.release(now)
        if some:
            asyncio.get_running_loop().call_soon(self._release, connections)

    def _use(self, connection: Connection) -> Connection:
        self._used.add(connection)
        if self._holds:
            connection.hold(time.monotonic())
        return connection

    def kept(self, url: Url) -> Connection | None:
        """An idle connection to the origin, the most recently used one."""
        waiting = self._idle.get(url.origin)
        while waiting:
            connection = waiting.pop()
            self._idle_count -= 1
            if not waiting:
                del self._idle[url.origin]
            if connection.reusable:
                return self._use(connection)
        return None

    async def open(self, url: Url, addresses: tuple[str, ...], seconds: float) -> Connection:
        """Connect to the first of the checked addresses that answers; raises FetchFailure."""
        deadline = time.monotonic() + seconds
        tls = self._tls if url.scheme == "https" else None
        tried = addresses[:_ADDRESSES_TRIED]
        for address in tried:
            left = max(0.01, deadline - time.monotonic())
            try:
                share = left if address == tried[-1] else left / 2
                connection = await connect(address, url.port, share, tls, url.host)
            except FetchFailure:
                if address == tried[-1]:
                    raise
                continue
            connection.turns = self._turns
            return self._use(connection)
        raise AssertionError("a host has at least one address")

    def give_back(self, url: Url, connection: Connection) -> None:
        """Keep a connection for the next request, or close it."""
        self._used.discard(connection)
        if not connection.reusable:
            connection.close()
            return
        connection.idle_since = time.monotonic()
        connection.release(connection.idle_since)
        self._idle.setdefault(url.origin, deque()).append(connection)
        self._idle_count += 1
        if self._idle_count > self._maximum_idle:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        origin, waiting = next(iter(self._idle.items()))
        waiting.popleft().close()
        self._idle_count -= 1
        if not waiting:
            del self._idle[origin]

    async def _watch(self, interval: float) -> None:
        while True:
            await asyncio.sleep(interval)
            now = time.monotonic()
            for connection in list(self._used):
                connection.watch(now)
            for origin in list(self._idle):
                waiting = self._idle[origin]
                while waiting and (
                    now - waiting[0].idle_since > self._idle_seconds or not waiting[0].reusable
                ):
                    waiting.popleft().close()
                    self._idle_count -= 1
                if not waiting:
                    del self._idle[origin]


async def connect(
    address: str, port: int, seconds: float, tls: ssl.SSLContext | None, host: str
) -> Connection:
    """Connect to exactly this address; with `tls`, to a host that proves to be `host`.

    Raises:
        FetchFailure: "refused", "timeout", "tls", "connection lost", "pending" when this machine
            has no more sockets, or "blocked address" when the other end has another address than
            the one asked for.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            # An address is no name: nothing is looked up between the check and this line.
            _, connection = await loop.create_connection(
                Connection, address, port, ssl=tls, server_hostname=host if tls else None
            )
    except TimeoutError:
        raise FetchFailure(UrlState.TIMEOUT, f"no connection within {seconds:.1f} s") from None
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", None) or error.reason or str(error)
        raise FetchFailure(UrlState.TLS, str(reason)) from None
    except ConnectionRefusedError:
        raise FetchFailure(UrlState.REFUSED, f"{address} refuses connections") from None
    except ConnectionError as error:
        raise FetchFailure(UrlState.CONNECTION_LOST, str(error)) from None
    except OSError as error:
        if error.errno in _SHORTAGES:  # of this machine: it says nothing about the host
            raise FetchFailure(UrlState.PENDING, str(error.strerror), retry_after=1.0) from None
        raise FetchFailure(UrlState.REFUSED, error.strerror or str(error)) from None
    if connection.address != address:
        connection.close()
        detail = f"connected to {connection.address} instead of {address}"
        raise FetchFailure(UrlState.BLOCKED_ADDRESS, detail)
    return connection
