"""Whatever bytes come, in whatever pieces: an answer or a named failure, within the limits."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlimages.images.fetching.http1 import Connection, Limits, Response
from mlimages.images.fetching.states import FetchFailure, UrlState

LIMITS = Limits(maximum_bytes=1000, answer_seconds=1, window_seconds=1, minimum_rate=1)
IMAGE = b"\xff\xd8\xff" + bytes(500)
WHOLE = [
    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(IMAGE), IMAGE),
    b"HTTP/1.1 103 -\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"%x\r\n%s\r\n0\r\n\r\n" % (len(IMAGE), IMAGE),
    b"HTTP/1.0 200 OK\r\nRetry-After: 5\r\n\r\n" + IMAGE,
]


class Wire:
    """A transport that remembers whether it was closed."""

    def __init__(self) -> None:
        self.closed = False

    def get_extra_info(self, name: str) -> Any:
        return ("192.0.2.1", 80)

    def write(self, data: bytes) -> None:
        pass

    def abort(self) -> None:
        self.closed = True


def converse(pieces: list[bytes], limits: Limits = LIMITS) -> Response | UrlState:
    """The outcome when these pieces arrive, and then the end of the connection."""

    async def run() -> Response | UrlState:
        connection, wire = Connection(), Wire()
        connection.connection_made(wire)  # type: ignore[arg-type]
        asking = asyncio.ensure_future(
            connection.ask(b"", limits, lambda response: True, lambda start: None)
        )
        await asyncio.sleep(0)
        for piece in pieces:
            if not wire.closed:
                connection.data_received(piece)
        connection.connection_lost(None)
        try:
            response = await asking
        except FetchFailure as failure:
            return failure.state
        assert len(response.body) <= limits.maximum_bytes
        return response

    return asyncio.run(run())


def cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(bounds) if a < b]


@pytest.mark.parametrize("data", WHOLE)
@settings(max_examples=40, deadline=None)
@given(places=st.lists(st.integers(0, 10**6), max_size=30))
def test_an_answer_is_the_same_in_any_pieces(data: bytes, places: list[int]) -> None:
    response = converse(cut(data, places))
    assert isinstance(response, Response)
    assert (response.status, response.body) == (200, IMAGE)


@settings(max_examples=200, deadline=None)
@given(
    data=st.sampled_from(WHOLE),
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=8)), max_size=5),
    places=st.lists(st.integers(0, 10**6), max_size=5),
)
def test_a_spoilt_answer_is_an_answer_or_a_named_failure(
    data: bytes, changes: list[tuple[int, bytes]], places: list[int]
) -> None:
    spoilt = bytearray(data)
    for place, piece in changes:
        start = place % len(spoilt)
        spoilt[start : start + len(piece)] = piece
    outcome = converse(cut(bytes(spoilt), places))
    assert isinstance(outcome, Response | UrlState)


@pytest.mark.parametrize("size", [999, 1000, 1001, 5000])
@pytest.mark.parametrize("pieces", [1, 7])
def test_a_cut_body_keeps_exactly_what_fits(size: int, pieces: int) -> None:
    data = b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * size
    places = [n * len(data) // pieces for n in range(1, pieces)]
    limits = Limits(1000, 1, 1, 1, cut=True)
    response = converse(cut(data, places), limits)
    assert isinstance(response, Response)
    assert response.body == b"a" * min(size, 1000)
