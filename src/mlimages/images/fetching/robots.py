"""What a host allows robots to ask for: robots.txt by RFC 9309, and its reservation of rights.

Protego parses and matches; retrieval, caching and what a status means (RFC 9309, sections 2.3.1
and 2.4) are here.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from mlimages.errors import require
from mlimages.images.fetching.signals import NO_RESERVATIONS, Reservations, parse_reservations
from mlimages.images.fetching.states import FetchFailure, UrlState
from mlimages.images.fetching.urls import Url

MAXIMUM_BYTES = 500 * 1024  # RFC 9309, section 2.5: parsers must take at least 500 KiB
_CACHED_SECONDS = 24 * 3600.0  # section 2.4: not longer
_FAILURE_SECONDS = 60.0
_LONGEST_DELAY = 60.0
_PAUSES = (0.2, 1.0)
# Section 2.3.1.2: more redirects than five, or to nowhere, are as if there were no file.
UNAVAILABLE = (UrlState.TOO_MANY_REDIRECTS, UrlState.BAD_URL, UrlState.HTTP_STATUS)
_PASSING = (UrlState.CONNECTION_LOST, UrlState.TIMEOUT, UrlState.TOO_SLOW, UrlState.DNS)


@dataclass(frozen=True)
class RobotsAnswer:
    """What came for a file of the host: its status after redirects, and at most 500 KiB."""

    status: int
    data: bytes


# Fetches a file of a host under the client's own rules of safety; raises FetchFailure.
FetchFile = Callable[[Url], Awaitable[RobotsAnswer]]


class Policy:
    """What one origin (scheme, host and port) allows.

    Attributes:
        rules: parsed robots.txt; None: everything is allowed.
        failure: why the rules could not be had, so that nothing may be asked now.
        reservations: its tdmrep.json.
        crawl_delay: seconds between two requests, which is no part of the RFC but often meant.
        until: when to ask again, by the clock.
    """

    __slots__ = ("_agent", "crawl_delay", "failure", "reservations", "rules", "until")

    def __init__(
        self,
        agent: str,
        rules: Any,
        failure: FetchFailure | None,
        reservations: Reservations,
        until: float,
    ) -> None:
        self._agent, self.rules, self.failure = agent, rules, failure
        self.reservations, self.until = reservations, until
        delay = None if rules is None else rules.crawl_delay(agent)
        self.crawl_delay = min(delay, _LONGEST_DELAY) if delay and delay > 0 else None

    def check(self, url: Url) -> None:
        """Raise FetchFailure ("robots", or why the rules are unknown) unless `url` may be asked."""
        if self.failure is not None:
            failure = self.failure
            raise FetchFailure(
                failure.state, f"robots.txt: {failure.detail}", retry_after=failure.retry_after
            )
        if self.rules is not None and not self.rules.can_fetch(str(url), self._agent):
            raise FetchFailure(UrlState.ROBOTS, "robots.txt does not allow it")


class Robots:
    """The policies of all origins, fetched when first needed and kept for a day.

    Args:
        agent: product token that rules are looked up for.
        fetch: see FetchFile.
        robots: ask for robots.txt; without, everything is allowed.
        reservations: ask for /.well-known/tdmrep.json.
        maximum: origins remembered; the one unused longest goes first.
    """

    def __init__(
        self,
        agent: str,
        fetch: FetchFile,
        *,
        robots: bool = True,
        reservations: bool = True,
        maximum: int = 20_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._agent, self._fetch, self._clock = agent, fetch, clock
        self._robots, self._reservations, self._maximum = robots, reservations, maximum
        self._known: OrderedDict[str, Policy] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Policy]] = {}

    async def policy(self, url: Url) -> Policy:
        """The policy of a URL's origin; one request serves all who wait for it."""
        origin = url.origin
        known = self._known.get(origin)
        if known is not None and known.until > self._clock():
            self._known.move_to_end(origin)
            return known
        task = self._asking.get(origin)
        if task is None:
            task = self._asking[origin] = asyncio.ensure_future(self._ask(url))
        # One that gives up waiting must not end the request of the others.
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Stop what is under way."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, url: Url) -> Policy:
        try:
            rules, failure = await self._rules(url) if self._robots else (None, None)
            reservations = NO_RESERVATIONS
            if self._reservations and failure is None:
                reservations = await self._reserved(url)
            seconds = _CACHED_SECONDS
            if failure is not None:
                # While a host rests, it could not even be asked.
                seconds = min(_FAILURE_SECONDS, failure.retry_after or _FAILURE_SECONDS)
            policy = Policy(self._agent, rules, failure, reservations, self._clock() + seconds)
        finally:
            self._asking.pop(url.origin, None)
        self._known[url.origin] = policy
        self._known.move_to_end(url.origin)
        if len(self._known) > self._maximum:
            self._known.popitem(last=False)
        return policy

    async def _rules(self, url: Url) -> tuple[Any, FetchFailure | None]:
        try:
            answer = await self._patiently(Url(url.scheme, url.host, url.port, "/robots.txt"))
        except FetchFailure as failure:
            return None, None if failure.state in UNAVAILABLE else failure
        if answer.status == 429 or answer.status >= 500:
            # "Unreachable": everything is disallowed, until it can be read. Google counts 429 so
            # too: a host that cannot give out its rules now should not be asked for more.
            detail = f"status {answer.status}"
            return None, FetchFailure(UrlState.ROBOTS_UNAVAILABLE, detail, status=answer.status)
        if answer.status != 200:
            return None, None  # "unavailable" (4xx): everything is allowed
        text = answer.data[:MAXIMUM_BYTES].decode("utf-8", "replace").removeprefix("\ufeff")
        return require("protego", "fetch").Protego.parse(text), None

    async def _patiently(self, url: Url) -> RobotsAnswer:
        """Fetch a file, again after a moment: one lost connection must not close a whole host."""
        for pause in _PAUSES:
            try:
                return await self._fetch(url)
            except FetchFailure as failure:
                if failure.state not in _PASSING:
                    raise
            await asyncio.sleep(pause)
        return await self._fetch(url)

    async def _reserved(self, url: Url) -> Reservations:
        try:
            file = Url(url.scheme, url.host, url.port, "/.well-known/tdmrep.json")
            answer = await self._patiently(file)
        except FetchFailure:
            return NO_RESERVATIONS
        return parse_reservations(answer.data) if answer.status == 200 else NO_RESERVATIONS
