"""The event loop in a thread of its own: addresses go in, answers come out.

The loop does nothing but the network. Whoever checks and writes images runs in another thread, so
a disk that is slow, or a shard that is synced, lets no deadline pass and no host wait.
"""

from __future__ import annotations

import asyncio
import resource
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mlimages.images.fetching.placeholders import host_of
from mlimages.images.fetching.settings import CONCURRENCY

if TYPE_CHECKING:
    from mlimages.images.fetching.client import Answer

HELD_BYTES = 64 << 20
_OTHER_FILES = 256


class Getter(Protocol):
    """What is asked of a client: `get` never raises for what an address or server can do."""

    async def get(self, url: str) -> Answer:
        """Fetch an address."""

    def hold(self, holds: bool) -> None:
        """Take in nothing until told to go on."""


@dataclass(frozen=True, slots=True)
class Request:
    """An address to fetch, for whoever asked."""

    url: str
    tag: object


class Downloads:
    """A context manager that fetches addresses, in turns among their hosts.

    At most `concurrency` are under way, no more of one host than its client lets through at once.
    Once `held_bytes` of answers wait to be released, none is begun and nothing is taken in until
    half of them were.
    """

    def __init__(
        self,
        client: Callable[[], AbstractAsyncContextManager[Getter]],
        deliver: Callable[[Request, Answer], None],
        *,
        concurrency: int = CONCURRENCY,
        a_host: int = 32,
        held_bytes: int = HELD_BYTES,
    ) -> None:
        """Start nothing yet.

        Args:
            client: makes the client, within the loop.
            deliver: called in the loop's thread with each answer.
            concurrency: requests under way.
            a_host: of these, at most so many of one host; the client may let fewer through.
            held_bytes: of answers that may wait for `release`.
        """
        self._make_client, self._deliver = client, deliver
        self._concurrency, self._a_host, self._held_bytes = concurrency, a_host, held_bytes
        self._waiting: dict[str, deque[Request]] = {}
        self._turns: deque[str] = deque()  # hosts with requests that may begin
        self._running: dict[str, int] = {}
        self._held = self._active = 0
        self._full = False  # of answers that were not released
        self._released = 0
        self._given: list[Request] = []
        self._lock = threading.Lock()
        self._woken = False
        self._error: BaseException | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="downloads", daemon=True)

    def __enter__(self) -> Downloads:
        files = _allow_files(2 * self._concurrency + _OTHER_FILES)
        self._concurrency = min(self._concurrency, max(1, (files - _OTHER_FILES) // 2))
        self._thread.start()
        self._ready.wait()
        self.check()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Break off all requests; their answers are never delivered."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def join(self) -> None:
        """Return when the loop has ended: by `close`, or by a fault."""
        self._thread.join()

    def check(self) -> None:
        """Raise what ended the loop, if anything did."""
        if self._error is not None:
            raise self._error

    def give(self, requests: list[Request]) -> None:
        """Have addresses fetched; any thread may call."""
        with self._lock:
            self._given += requests
        self._wake()

    def release(self, length: int) -> None:
        """Tell that so many bytes of answers are not held any more."""
        with self._lock:
            self._released += length
            full = self._full
        if full:
            self._wake()

    def _wake(self) -> None:
        with self._lock:
            woken, self._woken = self._woken, True
        if not woken and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._take_in)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=_new_loop) as runner:
                runner.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - whoever waits has to hear of it
            self._error = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        async with self._make_client() as self._client:
            self._ready.set()
            await self._stop.wait()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _take_in(self) -> None:
        with self._lock:
            given, self._given = self._given, []
            self._woken = False
        self._count_held()
        for request in given:
            host = host_of(request.url)
            queue = self._waiting.get(host)
            if queue is None:
                queue = self._waiting[host] = deque()
                if self._running.get(host, 0) < self._a_host:
                    self._turns.append(host)
            queue.append(request)
        self._begin()

    def _count_held(self) -> None:
        """Hold the client while too much is held, until half of it was released."""
        with self._lock:
            self._held -= self._released
            self._released = 0
            was_full = self._full
            self._full = self._held >= self._held_bytes // (2 if was_full else 1)
        if self._full is not was_full:
            self._client.hold(self._full)

    def _begin(self) -> None:
        """Begin what may begin, one of each host in turn."""
        while self._turns and self._active < self._concurrency and not self._full:
            host = self._turns.popleft()
            queue = self._waiting[host]
            request = queue.popleft()
            running = self._running[host] = self._running.get(host, 0) + 1
            self._active += 1
            if not queue:
                del self._waiting[host]
            elif running < self._a_host:
                self._turns.append(host)
            task = self._loop.create_task(self._fetch(host, request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _fetch(self, host: str, request: Request) -> None:
        try:
            answer = await self._client.get(request.url)
        except Exception as error:
            self._error = error
            self._stop.set()
            raise
        self._active -= 1
        running = self._running[host] = self._running[host] - 1
        if not running:
            del self._running[host]
        if running == self._a_host - 1 and host in self._waiting:
            self._turns.append(host)
        self._held += len(answer.data)
        self._count_held()
        self._deliver(request, answer)
        self._begin()


def _allow_files(wanted: int) -> int:
    """Raise the limit of open files, which sockets are too, as far as needed; what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return most
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def _new_loop() -> asyncio.AbstractEventLoop:
    """An event loop of uvloop where it is installed: it costs about half."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
