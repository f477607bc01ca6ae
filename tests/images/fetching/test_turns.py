"""Large bodies are taken in by turns, so that hosts together cannot exhaust the memory."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.image_server import serving
from tests.images.pictures import encode, smooth

from mlimages.images.fetching import pool
from mlimages.images.fetching.client import Answer, Client
from mlimages.images.fetching.settings import NetworkSettings
from mlimages.images.fetching.states import UrlState
from mlimages.images.fetching.turns import Turns

PICTURE = encode(smooth(16, 16), quality=80)
SETTINGS = NetworkSettings(ports=None, allow_private_addresses=True, robots=False, opt_out=False)


class Taker:
    def __init__(self, name: str, order: list[str]) -> None:
        self.name, self._order = name, order

    def go_on(self) -> None:
        self._order.append(self.name)


def test_places_are_given_in_order_and_given_back_once() -> None:
    order: list[str] = []
    turns = Turns(places=2)
    a, b, c, d, e = (Taker(name, order) for name in "abcde")
    assert [turns.take(taker) for taker in (a, b, c, d)] == [True, True, False, False]
    turns.give_back(c)  # gives up
    turns.give_back(a)
    assert order == ["d"]
    turns.give_back(b)
    turns.give_back(d)
    assert [turns.take(taker) for taker in (a, b, c, e)] == [True, True, False, False]


@pytest.mark.parametrize("faults", [{}, {"/0.jpg": "stall_body:50000"}, {"/0.jpg": "cut:50000"}])
def test_every_large_body_has_its_turn(
    faults: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "Turns", lambda: Turns(places=1, large=10_000))
    files = {f"/{n}.jpg": PICTURE + bytes([n]) * 300_000 for n in range(12)}
    settings = replace(SETTINGS, answer_seconds=30.0, rate_window_seconds=0.3, total_seconds=30.0)

    async def run() -> list[Answer]:
        async with Client(settings) as client:
            return await asyncio.gather(*[client.get(server.url(path)) for path in files])

    with serving(files, faults) as server:
        first, *others = asyncio.run(run())
    assert [answer.data for answer in others] == list(files.values())[1:]
    expected = {"": UrlState.OK, "stall_body": UrlState.TIMEOUT, "cut": UrlState.CONNECTION_LOST}
    assert first.state is expected["".join(faults.values()).split(":")[0]]


def test_a_body_that_is_whole_before_its_turn_leaves_the_connection_usable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "Turns", lambda: Turns(places=0, large=10))

    async def run() -> list[UrlState]:
        async with Client(SETTINGS) as client:
            return [(await client.get(server.url("/a.jpg"))).state for _ in range(3)]

    with serving({"/a.jpg": PICTURE}) as server:
        assert asyncio.run(run()) == [UrlState.OK] * 3
