"""`Client.get`: the bytes behind a URL, or the named reason why not.

Each hop of a redirect is checked as the first one was: scheme, port, every address of the name,
robots.txt; and the connection goes to the address that was checked.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import TracebackType

from mlimages.errors import InputError, require
from mlimages.images.fetching.addresses import why_blocked
from mlimages.images.fetching.answers import Answer, retry_after
from mlimages.images.fetching.host_state import Outcome
from mlimages.images.fetching.hosts import Hosts
from mlimages.images.fetching.http1 import Connection, Limits, Response
from mlimages.images.fetching.pool import Pool
from mlimages.images.fetching.resolver import Resolver, default_name_server
from mlimages.images.fetching.robots import MAXIMUM_BYTES, UNAVAILABLE, Robots, RobotsAnswer
from mlimages.images.fetching.settings import PRODUCT, NetworkSettings
from mlimages.images.fetching.signals import header_signals
from mlimages.images.fetching.states import (
    FetchFailure,
    UrlState,
    state_of_reason,
    state_of_status,
)
from mlimages.images.fetching.urls import Url, parse_url, redirect_target
from mlimages.images.headers import sniff
from mlimages.images.rejection import BadImageError, Reason

_REDIRECTS = (301, 302, 303, 307, 308)
_OVERLOADED = (429, 503)


@dataclass
class _Visit:
    """What is known of one URL while it is being asked for."""

    url: Url
    left: float  # seconds of the total deadline
    is_image: bool = True
    without_body: bool = False
    address: str = ""
    status: int = 0
    signals: tuple[str, ...] = ()
    redirects: tuple[str, ...] = ()


class Client:
    """An HTTP client for images on hosts nobody vouches for. An async context manager.

    Args:
        settings: see NetworkSettings.
        resolver: instead of one by the settings; tests bring their own.
    """

    def __init__(
        self, settings: NetworkSettings | None = None, resolver: Resolver | None = None
    ) -> None:
        self.settings = settings or NetworkSettings()
        self._resolver = resolver
        self.hosts = Hosts(self.settings.hosts, self.settings.patience)

    async def __aenter__(self) -> Client:
        for module in ("httptools", "protego"):
            require(module, "fetch")
        settings = self.settings
        if self._resolver is None:
            self._resolver = Resolver(
                default_name_server(settings.nameservers),
                allow_private=settings.allow_private_addresses,
            )
        self._slots = asyncio.Semaphore(settings.connections)
        self._pool = Pool(
            _trust(settings.ca_file), settings.idle_connections, settings.idle_seconds
        )
        self._pool.start(min(0.25, settings.answer_seconds / 4, settings.rate_window_seconds / 4))
        self._robots = Robots(
            PRODUCT, self._fetch_file, robots=settings.robots, reservations=settings.opt_out
        )
        self._limits = Limits(
            settings.maximum_bytes,
            settings.answer_seconds,
            settings.rate_window_seconds,
            settings.minimum_rate,
        )
        self._file_limits = replace(self._limits, maximum_bytes=MAXIMUM_BYTES, cut=True)
        self._headers = (
            f"User-Agent: {settings.user_agent}\r\nAccept: image/*,*/*;q=0.5\r\n"
            "Accept-Encoding: identity\r\n\r\n"
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._robots.close()
        await self._pool.close()
        assert self._resolver is not None
        await self._resolver.close()

    async def get(self, url: str, *, without_body: bool = False) -> Answer:
        """Fetch one image; never raises for anything that a URL or a server can do.

        Args:
            url: as in the source list.
            without_body: ask for the head only, to see status and signals (`ok` then has no data).
        """
        begun = time.monotonic()
        visit = None
        response = None
        try:
            visit = _Visit(parse_url(url), self.settings.total_seconds, without_body=without_body)
            response = await self._follow(visit)
            detail = "" if response.length_known else "its length was not stated"
            failure = FetchFailure(UrlState.OK, detail, status=response.status)
            if not response.body and not without_body:
                failure = FetchFailure(UrlState.EMPTY, "no bytes", status=response.status)
        except FetchFailure as reason:
            failure = reason
        return Answer(
            failure.state,
            failure.status or (visit.status if visit else 0),
            response.body if response and failure.state is UrlState.OK else b"",
            str(visit.url) if visit else url,
            visit.address if visit else "",
            failure.detail,
            failure.retry_after,
            visit.signals if visit else (),
            visit.redirects if visit else (),
            time.monotonic() - begun,
        )

    def hold(self, holds: bool) -> None:
        """Take in nothing from any host until told to go on: their answers wait on the way."""
        self._pool.hold(holds)

    def seconds_until_open(self, url: str) -> float:
        """For how long the URL's host rests; 0 when it may be asked, or is no host."""
        try:
            return self.hosts.seconds_until_open(parse_url(url).host)
        except FetchFailure:
            return 0.0

    async def _follow(self, visit: _Visit) -> Response:
        """The answer at the end of the redirects."""
        while True:
            await self._check(visit)
            response = await self._ask(visit)
            if response.status not in _REDIRECTS:
                break
            location = response.first("location")
            if location is None:
                raise FetchFailure(UrlState.HTTP_STATUS, "a redirect to nowhere")
            target = redirect_target(visit.url, location)
            visit.redirects += (str(visit.url),)
            if len(visit.redirects) > self.settings.maximum_redirects:
                detail = f"more than {self.settings.maximum_redirects} redirects"
                raise FetchFailure(UrlState.TOO_MANY_REDIRECTS, detail)
            if str(target) in visit.redirects:
                raise FetchFailure(UrlState.TOO_MANY_REDIRECTS, "redirects in a circle")
            visit.url, visit.address = target, ""
        if response.status != 200 and visit.is_image:
            raise FetchFailure(
                state_of_status(response.status),
                f"status {response.status}",
                retry_after=retry_after(response),
            )
        return response

    async def _check(self, visit: _Visit) -> None:
        """Everything that must hold before a URL is asked for."""
        url, settings = visit.url, self.settings
        if settings.ports is not None and url.port not in settings.ports:
            raise FetchFailure(UrlState.BAD_URL, f"port {url.port} is not allowed")
        if not settings.allow_private_addresses:
            if url.is_local_name:
                raise FetchFailure(UrlState.BLOCKED_ADDRESS, f"{url.host} is a local name")
            why = why_blocked(url.host) if url.is_address else None
            if why is not None:
                raise FetchFailure(UrlState.BLOCKED_ADDRESS, f"{url.host} is {why}")
        if not visit.is_image or not (settings.robots or settings.opt_out):
            return
        policy = await self._robots.policy(url)
        policy.check(url)
        if settings.opt_out and policy.reservations.of(url.target) == 1:
            visit.signals += ("tdmrep.json: tdm-reservation: 1",)
            raise FetchFailure(UrlState.OPTED_OUT, "the host's tdmrep.json reserves its rights")
        if policy.crawl_delay is not None:
            self.hosts.gate(url.host).state.pace(policy.crawl_delay)

    async def _ask(self, visit: _Visit) -> Response:
        """One request to one host, when the host and the global limit allow it."""
        gate = self.hosts.gate(visit.url.host)
        begun = await gate.enter()
        outcome, latency, pause = Outcome.NOTHING, None, None
        try:
            addresses = await self._addresses(visit.url)
            async with self._slots:
                response = await self._exchange(visit, addresses)
            outcome, latency = Outcome.ANSWERED, response.latency
            if response.status in _OVERLOADED:
                outcome, pause = Outcome.OVERLOADED, retry_after(response)
            return response
        except FetchFailure as failure:
            outcome = _OUTCOMES.get(failure.state, Outcome.ANSWERED)
            raise
        finally:
            gate.leave(begun, outcome, latency, pause)

    async def _exchange(self, visit: _Visit, addresses: tuple[str, ...]) -> Response:
        """Send the request over a kept or a new connection, within what is left of the deadline."""
        begun = time.monotonic()
        try:
            async with asyncio.timeout(visit.left):
                connection = self._pool.kept(visit.url)
                if connection is not None:
                    try:
                        return await self._converse(visit, connection)
                    except FetchFailure as failure:
                        lost = failure.state is UrlState.CONNECTION_LOST
                        # The host had closed it meanwhile; that says nothing about the image.
                        if not (lost and connection.untouched):
                            raise
                seconds = self.settings.connect_seconds
                connection = await self._pool.open(visit.url, addresses, seconds)
                return await self._converse(visit, connection)
        except TimeoutError:
            detail = f"not finished within {self.settings.total_seconds:g} s"
            raise FetchFailure(UrlState.TOO_SLOW, detail) from None
        finally:
            visit.left -= time.monotonic() - begun

    async def _addresses(self, url: Url) -> tuple[str, ...]:
        """The checked addresses of a host, also before a kept connection is used again."""
        assert self._resolver is not None
        return (url.host,) if url.is_address else await self._resolver.resolve(url.host)

    async def _converse(self, visit: _Visit, connection: Connection) -> Response:
        url = visit.url
        visit.address = connection.address
        method = "HEAD" if visit.without_body else "GET"
        request = f"{method} {url.target} HTTP/1.1\r\nHost: {url.authority}\r\n{self._headers}"
        try:
            return await connection.ask(
                request.encode("ascii"),
                self._limits if visit.is_image else self._file_limits,
                lambda response: self._check_head(visit, response),
                _check_image if visit.is_image else _check_nothing,
                without_body=visit.without_body,
            )
        finally:
            self._pool.give_back(url, connection)

    def _check_head(self, visit: _Visit, response: Response) -> bool:
        """Look at the head of an answer before any of its body is taken: is that wanted?"""
        visit.status = response.status
        if visit.is_image:
            self._check_signals(visit, response)
        if response.status != 200:
            return False
        encoding = (response.first("content-encoding") or "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise FetchFailure(UrlState.CONTENT_ENCODING, f"content encoding {encoding[:40]!r}")
        length = response.first("content-length")
        if visit.is_image and length is not None and int(length) > self._limits.maximum_bytes:
            raise FetchFailure(
                UrlState.TOO_LARGE,
                f"{int(length)} bytes announced, {self._limits.maximum_bytes} allowed",
            )
        return True

    def _check_signals(self, visit: _Visit, response: Response) -> None:
        signals = header_signals(
            response.values("x-robots-tag"),
            response.values("tdm-reservation"),
            PRODUCT,
            datetime.now(UTC),
        )
        visit.signals += signals.said
        if signals.refused and self.settings.opt_out and response.status in (200, *_REDIRECTS):
            raise FetchFailure(UrlState.OPTED_OUT, ", ".join(signals.said))

    async def _fetch_file(self, url: Url) -> RobotsAnswer:
        """A robots.txt or tdmrep.json, under the same rules of safety as an image."""
        visit = _Visit(url, self.settings.total_seconds, is_image=False)
        try:
            response = await self._follow(visit)
        except FetchFailure as failure:
            if not visit.redirects or failure.state in UNAVAILABLE:
                raise
            # What is wrong with the host redirected to is not wrong with the images' host.
            detail = f"redirected to {visit.url}: {failure.detail}"
            raise FetchFailure(UrlState.ROBOTS_UNAVAILABLE, detail) from None
        return RobotsAnswer(response.status, response.body)


# What a failure says about its host; one not listed came with an answer, so the host is well.
_OUTCOMES = {
    UrlState.PENDING: Outcome.NOTHING,
    UrlState.NO_SUCH_HOST: Outcome.NOTHING,
    UrlState.DNS: Outcome.NOTHING,
    UrlState.BLOCKED_ADDRESS: Outcome.NOTHING,
    UrlState.REFUSED: Outcome.FAILED,
    UrlState.TIMEOUT: Outcome.FAILED,
    UrlState.TOO_SLOW: Outcome.FAILED,
    UrlState.TLS: Outcome.NOTHING,  # a bad certificate says nothing about its strength
    UrlState.CONNECTION_LOST: Outcome.FAILED,
}


def _trust(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        action = "give a file of certificates in PEM form"
        raise InputError(ca_file, error.strerror or "holds no certificate", action) from None


def _check_nothing(start: bytes) -> None:
    """For files that are no images."""


def _check_image(start: bytes) -> None:
    """Raise FetchFailure unless a body begins like an image that can be used."""
    try:
        sniff(start)
    except BadImageError as error:
        if error.reason is not Reason.TRUNCATED:
            detail = f"begins with {start[:16]!r}"
            raise FetchFailure(state_of_reason(error.reason), detail) from None
