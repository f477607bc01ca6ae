"""One HTTP/1.1 connection: a request, an answer under limits, again. httptools (llhttp) parses.

A general client spends three times the processor time on an image of 100 kB that this needs, and
has to be talked out of redirects, proxies, cookies, decompression and name look-ups, each of which
is a hole here.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from mlimages.errors import require
from mlimages.images.fetching.states import FetchFailure, UrlState
from mlimages.images.fetching.turns import Turns

_HEAD_LIMIT = 65536
_INTERIM_LIMIT = 8
_SNIFFED = 32
_PIECES = 256
# An unwanted body (of an error, of a redirect) is read up to here to keep the connection.
_UNWANTED_LIMIT = 65536


@dataclass(frozen=True)
class Limits:
    """What one answer may take.

    Attributes:
        maximum_bytes: of the body.
        cut: take what fits of a longer body, instead of failing.
        answer_seconds: until the head of the answer is complete.
        window_seconds: the body's rate is looked at in windows of this length.
        minimum_rate: bytes a second in each window.
    """

    maximum_bytes: int
    answer_seconds: float
    window_seconds: float
    minimum_rate: float
    cut: bool = False


@dataclass
class Response:
    """An answer; header names in lower case, repeated ones in order."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    latency: float = 0.0
    # False for an answer whose end is the end of the connection: it may have been cut.
    length_known: bool = True

    def values(self, name: str) -> list[str]:
        """All values of a header."""
        return [value for key, value in self.headers if key == name]

    def first(self, name: str) -> str | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key == name), None)


# Called with the head: says whether the body is wanted. What it raises ends the answer.
HeadCheck = Callable[[Response], bool]
# Called with the first bytes of a wanted body; what it raises ends the answer.
BodyCheck = Callable[[bytes], None]


class Connection(asyncio.Protocol):
    """One connection to a checked address; `ask` may be called again when `reusable`."""

    def __init__(self) -> None:
        self._httptools: Any = require("httptools", "fetch")
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Response] | None = None
        self._reset()
        self.address = ""
        self.turns = Turns()
        self.reusable = True
        self.used = False
        self.idle_since = 0.0
        self._waits = False  # for its turn as a large body
        self._held_since: float | None = None  # all wait, since answers are not taken off our hands

    def _reset(self) -> None:
        """Forget the last answer."""
        self._response = Response()
        self._failure: FetchFailure | None = None
        self._in_body = self._done = self._chunked = False
        self._wanted, self._sniffed = True, False
        self._is_large = False
        self._pieces: list[bytes] = []
        self._joined = 0  # so many of the first pieces are joined ones
        self._length: int | None = None
        self._received = self._interim = self._body_bytes = self._window_bytes = 0
        self._begun = self._window_begun = self._last_data = time.monotonic()

    # The asyncio.Protocol side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        self.address = str(transport.get_extra_info("peername")[0])

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.close()  # nobody asked: the next answer would be the wrong one
            return
        self._last_data = time.monotonic()
        if not self._received:
            self._response.latency = self._last_data - self._begun
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except self._httptools.HttpParserUpgrade:
            self._end(FetchFailure(UrlState.BAD_ANSWER, "the host changes the protocol"))
        except self._httptools.HttpParserError as error:
            self._end(self._failure or FetchFailure(UrlState.BAD_ANSWER, f"not HTTP: {error}"))
        if not self._in_body and self._received > _HEAD_LIMIT:
            self._end(FetchFailure(UrlState.BAD_ANSWER, "an endless head"))

    def connection_lost(self, error: Exception | None) -> None:
        self.reusable = False
        self._transport = None
        if self._answer is None or self._answer.done():
            return
        if self._in_body and self._length is None and not self._chunked and error is None:
            self._response.length_known = False
            self._complete()
            return
        got = self._body_bytes
        expected = "" if self._length is None else f" of {self._length}"
        if not self._in_body:
            detail = (
                "the connection ended before the answer"
                if not self._received
                else ("the connection ended within the head")
            )
        else:
            detail = f"the connection ended after {got}{expected} bytes"
        self._end(
            FetchFailure(UrlState.CONNECTION_LOST, f"{detail}{f' ({error})' if error else ''}")
        )

    # The parser's side. llhttp calls these from within feed_data.

    def on_message_begin(self) -> None:
        if self._done:
            self.reusable = False  # more than was asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_body:
            text = value.decode("latin-1").strip()
            self._response.headers.append((name.decode("latin-1").lower(), text))

    def on_headers_complete(self) -> None:
        if self._done or self._failure is not None:
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            return
        self._in_body = True
        response = self._response
        response.status = status
        self._window_begun = time.monotonic()
        try:
            self._chunked = "chunked" in ",".join(response.values("transfer-encoding")).lower()
            self._length = _content_length(response)
            self._wanted = self._check_head(response)
        except FetchFailure as failure:
            self._end(failure)
            return
        if self._without_body:
            self.reusable = self.reusable and bool(self._parser.should_keep_alive())
            self._complete()
        elif not self._wanted and (self._length or 0) > _UNWANTED_LIMIT:
            self._stop()

    def on_body(self, data: bytes) -> None:
        if self._done or self._failure is not None:
            return
        self._body_bytes += len(data)
        if not self._wanted:
            if self._body_bytes > _UNWANTED_LIMIT:
                self._stop()
            return
        maximum = self._limits.maximum_bytes
        if self._body_bytes > maximum:
            if self._limits.cut:
                self._keep(data[: len(data) - (self._body_bytes - maximum)])
                self._stop()
                return
            self._end(FetchFailure(UrlState.TOO_LARGE, f"more than {maximum} bytes"))
            return
        self._keep(data)
        if not self._sniffed and self._body_bytes >= _SNIFFED:
            self._sniff()

    def _keep(self, data: bytes) -> None:
        # Most images come in one or two pieces, which are never copied. Of a body in very many,
        # the objects would take more memory than the bytes: they are joined by the hundred.
        self._pieces.append(data)
        if len(self._pieces) - self._joined >= _PIECES:
            self._pieces[self._joined :] = [b"".join(self._pieces[self._joined :])]
            self._joined += 1
        if self._body_bytes > self.turns.large and not self._is_large:
            self._is_large = True
            self._waits = not self.turns.take(self)
            self._read_or_not()

    def go_on(self) -> None:
        """A place for a large body is free: take in the rest."""
        self._waits = False
        self._read_or_not()

    def hold(self, now: float) -> None:
        """Take in nothing until `release`; what comes waits in the system's buffers."""
        if self._held_since is None:
            self._held_since = now
            self._read_or_not()

    def release(self, now: float) -> None:
        """Take in what comes; the host is not blamed for the time between."""
        if self._held_since is not None:
            lost = max(0.0, now - max(self._held_since, self._begun))
            self._begun, self._window_begun = self._begun + lost, self._window_begun + lost
            self._last_data += lost
            self._held_since = None
            self._read_or_not()

    def _read_or_not(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._waits or self._held_since is not None:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _sniff(self) -> None:
        self._sniffed = True
        try:
            self._check_body(b"".join(self._pieces)[:_SNIFFED])
        except FetchFailure as failure:
            self._end(failure)

    def on_message_complete(self) -> None:
        if self._done or self._failure is not None:
            return
        if not self._in_body:  # an interim answer (1xx)
            self._interim += 1
            self._response.headers.clear()
            if self._interim > _INTERIM_LIMIT:
                self._end(FetchFailure(UrlState.BAD_ANSWER, "endless interim answers"))
            return
        self.reusable = self.reusable and bool(self._parser.should_keep_alive())
        self._complete()

    # The client's side.

    async def ask(
        self,
        request: bytes,
        limits: Limits,
        check_head: HeadCheck,
        check_body: BodyCheck,
        *,
        without_body: bool = False,
    ) -> Response:
        """Send a request and take the answer.

        Args:
            request: complete, with its empty line.
            limits: what the answer may take; kept to when `watch` is called often.
            check_head: see HeadCheck.
            check_body: sees the first 32 bytes of a body that has as many.
            without_body: the request was a HEAD.

        Raises:
            FetchFailure: by the checks, or why no answer came.
        """
        self._parser = self._httptools.HttpResponseParser(self)
        self._limits, self._check_head, self._check_body = limits, check_head, check_body
        self._without_body = without_body
        self._reset()
        self._answer = asyncio.get_running_loop().create_future()
        if self._transport is None:
            raise FetchFailure(UrlState.CONNECTION_LOST, "the connection was closed")
        self._transport.write(request)
        try:
            return await self._answer
        finally:
            self.used = True
            if self._is_large:
                self.turns.give_back(self)
                if self._waits:  # the rest was here already
                    self.go_on()
            if not self._done:  # given up, or failed: what is still coming belongs to no one
                self.close()
            # An idle connection holds no image.
            self._answer, self._pieces, self._response = None, [], Response()

    @property
    def untouched(self) -> bool:
        """Whether the connection was used before and ended without one byte of this answer."""
        return self.used and self._received == 0

    def watch(self, now: float) -> None:
        """End an answer that keeps none of its limits; to be called a few times a second."""
        if self._answer is None or self._answer.done() or self._held_since is not None:
            return
        limits = self._limits
        if not self._in_body:
            if now - self._begun > limits.answer_seconds:
                detail = f"no answer within {limits.answer_seconds:g} s"
                self._end(FetchFailure(UrlState.TIMEOUT, detail))
            return
        if self._waits:  # for us: that is not the host's fault
            self._window_begun = self._last_data = now
            self._window_bytes = self._body_bytes
        elapsed = now - self._window_begun
        if elapsed < limits.window_seconds:
            return
        size = self._body_bytes
        gained = size - self._window_bytes
        silent = now - self._last_data
        if gained < limits.minimum_rate * elapsed and silent > elapsed / 2:
            detail = f"nothing came for {silent:.1f} s after {size} bytes"
            self._end(FetchFailure(UrlState.TIMEOUT, detail))
        elif gained < limits.minimum_rate * elapsed:
            detail = f"{gained / elapsed:.0f} bytes a second after {size} bytes"
            self._end(FetchFailure(UrlState.TOO_SLOW, detail))
        self._window_begun, self._window_bytes = now, size

    def close(self) -> None:
        """Close at once, without waiting for the other side."""
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    def _complete(self) -> None:
        if self._wanted and self._body_bytes and not self._sniffed:
            self._sniff()
            if self._failure is not None:
                return
        self._response.body = b"".join(self._pieces)
        self._pieces = []
        self._done = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(self._response)

    def _stop(self) -> None:
        """The answer is complete enough: take no more of it."""
        self.close()
        self._complete()

    def _end(self, failure: FetchFailure) -> None:
        self._failure = failure
        failure.status = failure.status or self._response.status
        self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(failure)


def _content_length(response: Response) -> int | None:
    values = set(response.values("content-length"))
    if not values:
        return None
    if len(values) > 1 or not re.fullmatch("[0-9]+", next(iter(values))):
        raise FetchFailure(UrlState.BAD_ANSWER, "contradictory Content-Length")
    return int(values.pop())
