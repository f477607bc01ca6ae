"""Requests in turns among hosts, within limits, by a client without a network."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from queue import SimpleQueue

import pytest

from mlimages.images.fetching.client import Answer
from mlimages.images.fetching.downloads import Downloads, Request
from mlimages.images.fetching.placeholders import host_of
from mlimages.images.fetching.states import UrlState


class Recorder:
    """A client that notes what is under way."""

    def __init__(self, length: int = 0, seconds: float = 0.002) -> None:
        self.length, self.seconds = length, seconds
        self.order: list[str] = []
        self.running, self.most = Counter[str](), Counter[str]()
        self.holds: list[bool] = []

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Recorder]:
        yield self

    async def get(self, url: str) -> Answer:
        if "broken" in url:
            raise RuntimeError("a fault of the program")
        host = host_of(url)
        self.order.append(host)
        for name in (host, "all"):
            self.running[name] += 1
            self.most[name] = max(self.most[name], self.running[name])
        await asyncio.sleep(self.seconds)
        for name in (host, "all"):
            self.running[name] -= 1
        return Answer(UrlState.OK, data=bytes(self.length))

    def hold(self, holds: bool) -> None:
        self.holds.append(holds)


def fetch(recorder: Recorder, urls: list[str], **limits: int) -> list[object]:
    answers: SimpleQueue[object] = SimpleQueue()
    with Downloads(recorder.client, lambda r, a: answers.put(r.tag), **limits) as downloads:
        downloads.give([Request(url, number) for number, url in enumerate(urls)])
        return [answers.get(timeout=10) for _ in urls]


def test_every_request_is_answered_once_within_the_limits() -> None:
    recorder = Recorder()
    urls = [f"http://host-{number % 7}.test/{number}" for number in range(500)]
    tags = fetch(recorder, urls, concurrency=20, a_host=4)
    assert sorted(tags) == list(range(500))  # type: ignore[type-var]
    assert recorder.most["all"] == 20
    assert max(n for host, n in recorder.most.items() if host != "all") == 3
    fetch(alone := Recorder(), ["http://a.test/"] * 50, concurrency=20, a_host=4)
    assert alone.most["a.test"] == 4


def test_no_host_comes_first_because_it_is_listed_first() -> None:
    recorder = Recorder()
    urls = [f"http://{host}.test/{number}" for host in "abcd" for number in range(50)]
    fetch(recorder, urls, concurrency=4, a_host=4)
    for start in range(0, 200, 4):
        assert len(set(recorder.order[start : start + 4])) >= 3


def test_nothing_is_begun_while_too_many_bytes_are_held() -> None:
    recorder, held = Recorder(length=1000), threading.Semaphore(0)
    with Downloads(
        recorder.client, lambda r, a: held.release(), concurrency=2, held_bytes=5000
    ) as downloads:
        downloads.give([Request(f"http://a.test/{number}", number) for number in range(40)])
        for _ in range(5):
            assert held.acquire(timeout=10)
        # Those under way when the limit was reached may still come.
        while held.acquire(timeout=0.2):
            pass
        begun = len(recorder.order)
        assert 5 <= begun <= 7
        while len(recorder.order) < 40:
            downloads.release(1000 * begun)
            begun = 0
            while held.acquire(timeout=0.05):
                begun += 1


def test_a_fault_of_the_program_is_raised_and_not_waited_for() -> None:
    with Downloads(Recorder().client, lambda r, a: None) as downloads:
        downloads.give([Request("http://broken.test/", 0)])
        downloads.join()
        with pytest.raises(RuntimeError, match="a fault of the program"):
            downloads.check()


def test_closing_breaks_off_what_is_under_way() -> None:
    recorder = Recorder(seconds=3600.0)
    with Downloads(recorder.client, lambda r, a: None) as downloads:
        downloads.give([Request("http://a.test/", 0)])
        while not recorder.order:
            threading.Event().wait(0.01)
    assert recorder.running["all"] == 1  # it never ended
