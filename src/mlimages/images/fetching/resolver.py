"""Names to public addresses: asynchronous, cached, bounded, and without a name server of one's own.

aiodns (c-ares) asks the system's name servers from this process, so thousands of names a second
need neither root nor a local cache daemon. Without it, the system's resolver runs in threads.
"""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from mlimages.images.fetching.addresses import why_blocked
from mlimages.images.fetching.states import FetchFailure, UrlState


class NameServer(Protocol):
    """Something that looks names up; tests bring their own."""

    async def look_up(self, host: str) -> tuple[list[str], float]:
        """Addresses of a host and for how many seconds they hold; raises FetchFailure."""
        ...

    async def close(self) -> None:
        """Give back sockets and threads."""
        ...


@dataclass(frozen=True)
class _Known:
    addresses: tuple[str, ...]
    failure: FetchFailure | None
    until: float


class Resolver:
    """A cache in front of a NameServer that hands out only names whose every address is public.

    Args:
        server: who is asked; by default aiodns, or the system in threads.
        allow_private: hand out private addresses too (tests on loopback).
        concurrency: names looked up at the same time.
        bounds: least and greatest seconds for which an answer is believed, whatever it says.
        failure_seconds: how long a failure is believed.
        maximum: names remembered; the one unused longest goes first.
    """

    def __init__(
        self,
        server: NameServer | None = None,
        *,
        allow_private: bool = False,
        concurrency: int = 64,
        bounds: tuple[float, float] = (60.0, 3600.0),
        failure_seconds: float = 60.0,
        maximum: int = 50_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = server or default_name_server()
        self._allow_private = allow_private
        self._slots = asyncio.Semaphore(concurrency)
        self._bounds, self._failure_seconds, self._maximum = bounds, failure_seconds, maximum
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._asking: dict[str, asyncio.Task[_Known]] = {}

    async def resolve(self, host: str) -> tuple[str, ...]:
        """Every address of a host, IPv4 first; one look-up serves all who wait for the same name.

        Raises:
            FetchFailure: "no such host", "dns", or "blocked address" when any address is not
                public: a name with a public and a private address is an attack or a mistake.
        """
        known = self._known.get(host)
        if known is None or known.until <= self._clock():
            task = self._asking.get(host)
            if task is None:
                task = self._asking[host] = asyncio.ensure_future(self._ask(host))
            # One that gives up waiting must not end the look-up of the others.
            known = await asyncio.shield(task)
        else:
            self._known.move_to_end(host)
        if known.failure is not None:
            failure = known.failure
            raise FetchFailure(failure.state, failure.detail)
        return known.addresses

    async def close(self) -> None:
        """Stop what is under way."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.close()

    async def _ask(self, host: str) -> _Known:
        try:
            async with self._slots:
                addresses, lifetime = await self._server.look_up(host)
            addresses = check_addresses(host, addresses, self._allow_private)
            seconds = min(max(lifetime, self._bounds[0]), self._bounds[1])
            known = _Known(tuple(addresses), None, self._clock() + seconds)
        except FetchFailure as failure:
            known = _Known((), failure, self._clock() + self._failure_seconds)
        finally:
            self._asking.pop(host, None)
        self._known[host] = known
        self._known.move_to_end(host)
        if len(self._known) > self._maximum:
            self._known.popitem(last=False)
        return known


def check_addresses(host: str, addresses: Sequence[str], allow_private: bool) -> list[str]:
    """The addresses, IPv4 first; raises FetchFailure unless there is one and all are public."""
    if not addresses:
        raise FetchFailure(UrlState.NO_SUCH_HOST, f"{host} has no address")
    for address in addresses:
        why = None if allow_private else why_blocked(address)
        if why is not None:
            raise FetchFailure(UrlState.BLOCKED_ADDRESS, f"{host} is at {address} ({why})")
    return sorted(dict.fromkeys(addresses), key=lambda address: ":" in address)


def default_name_server(nameservers: Sequence[str] = ()) -> NameServer:
    """aiodns where it is installed, else the system's resolver in threads."""
    if importlib.util.find_spec("aiodns") is None:
        return SystemNameServer()
    return AsynchronousNameServer(nameservers)


class AsynchronousNameServer:
    """Looks names up with c-ares.

    Args:
        nameservers: addresses to ask instead of those of /etc/resolv.conf.
        seconds: wait for one answer; three are waited for.
    """

    def __init__(self, nameservers: Sequence[str] = (), seconds: float = 3.0) -> None:
        self._nameservers, self._seconds = list(nameservers), seconds
        self._resolver: Any = None

    async def look_up(self, host: str) -> tuple[list[str], float]:
        """See NameServer."""
        import aiodns
        import pycares

        if self._resolver is None:  # only here is the event loop known
            self._resolver = aiodns.DNSResolver(
                nameservers=self._nameservers or None,
                timeout=self._seconds,
                tries=3,
                # A name is looked up as it is, never with this network's domain behind it.
                flags=pycares.ARES_FLAG_NOSEARCH,
            )
        try:
            found = await self._resolver.getaddrinfo(
                host, family=socket.AF_UNSPEC, type=socket.SOCK_STREAM
            )
        except aiodns.error.DNSError as error:
            code = error.args[0] if error.args else None
            gone = code in (pycares.errno.ARES_ENOTFOUND, pycares.errno.ARES_ENODATA)
            state = UrlState.NO_SUCH_HOST if gone else UrlState.DNS
            raise FetchFailure(state, f"{host}: {error.args[-1]}") from None
        addresses = [_text(node.addr[0]) for node in found.nodes]
        return addresses, min((node.ttl for node in found.nodes), default=0)

    async def close(self) -> None:
        """See NameServer."""
        if self._resolver is not None:
            await self._resolver.close()


class SystemNameServer:
    """Looks names up with getaddrinfo in threads; it says no lifetimes."""

    def __init__(self, threads: int = 64) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="dns")

    async def look_up(self, host: str) -> tuple[list[str], float]:
        """See NameServer."""
        loop = asyncio.get_running_loop()
        try:
            # The dot at the end keeps this network's domain from being put behind the name.
            found = await loop.run_in_executor(
                self._pool, lambda: socket.getaddrinfo(host + ".", 0, type=socket.SOCK_STREAM)
            )
        except socket.gaierror as error:
            gone = error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", None))
            state = UrlState.NO_SUCH_HOST if gone else UrlState.DNS
            raise FetchFailure(state, f"{host}: {error.strerror}") from None
        except (OSError, UnicodeError) as error:
            raise FetchFailure(UrlState.DNS, f"{host}: {error}") from None
        return [str(entry[4][0]) for entry in found], 0.0

    async def close(self) -> None:
        """See NameServer."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _text(address: str | bytes) -> str:
    return address.decode("ascii") if isinstance(address, bytes) else address
