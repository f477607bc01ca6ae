"""How much is asked of each host at a time: as much as it bears, and no more.

Additive increase, multiplicative decrease, as TCP does it (Chiu and Jain 1989; RFC 5681): each
round of answers without complaint raises the limit by one (doubles it until the first complaint),
and a 429, a 503, a failed connection or a latency that rises well above the host's own best lowers
it by a factor, at most once a round.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from mlimages.errors import InputError
from mlimages.images.fetching.states import FetchFailure, UrlState


class Outcome(Enum):
    """What a request tells about its host."""

    ANSWERED = "answered"
    OVERLOADED = "overloaded"
    FAILED = "failed"
    # Says nothing about the host: the request was never sent, or given up by us.
    NOTHING = "nothing"


@dataclass(frozen=True)
class HostLimits:
    """Politeness towards one host, for all parts of a fetch together.

    Attributes:
        connections: greatest number of requests at a time.
        start: requests at a time before anything is known of the host.
        rate: requests a second; None: no limit but the host's own answers.
        parts: processes or machines that share the host; each takes its share of both limits.
        longest_pause: seconds; a longer Retry-After is obeyed up to here, then asked again.
        failures_until_down: connections failed in a row until the host counts as down.
        down_seconds: for how long it then is not asked.
    """

    connections: int = 32
    start: int = 4
    rate: float | None = None
    parts: int = 1
    longest_pause: float = 3600.0
    failures_until_down: int = 20
    down_seconds: float = 600.0

    def __post_init__(self) -> None:
        for name in ("connections", "start", "parts", "failures_until_down"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)}", "too few", "use 1 or more")
        if self.rate is not None and not self.rate > 0:
            raise InputError(f"rate {self.rate}", "not positive", "use requests a second above 0")

    def share(self) -> tuple[float, float | None]:
        """Connections (at least one) and requests a second of one part."""
        connections = max(1.0, float(self.connections // self.parts))
        return connections, None if self.rate is None else self.rate / self.parts


# A host whose answers take longer than 3 times its best plus this is getting slower, not farther.
_LATENCY_FACTOR, _LATENCY_SLACK = 3.0, 0.25
_FIRST_PAUSE, _LONGEST_OWN_PAUSE = 1.0, 120.0
# Rounds of complaints without one answer between them.
_COMPLAINTS_UNTIL_PAUSE = 3


class HostState:
    """The arithmetic of one host, without waiting: times are given, so tests need no clock."""

    __slots__ = (
        "_best",
        "_complaints",
        "_decreased",
        "_doubling",
        "_failures",
        "_interval",
        "_limits",
        "_maximum",
        "_next",
        "_pause",
        "_reached",
        "_smoothed",
        "down_until",
        "in_flight",
        "limit",
        "paused_until",
    )

    def __init__(self, limits: HostLimits) -> None:
        self._limits = limits
        self._maximum, rate = limits.share()
        self._interval = 0.0 if rate is None else 1.0 / rate
        self.limit = min(float(limits.start), self._maximum)
        self.in_flight = 0
        self.paused_until = self.down_until = 0.0
        self._next = 0.0
        self._decreased = self._reached = float("-inf")
        self._doubling = True
        self._best, self._smoothed = float("inf"), 0.0
        self._failures = self._complaints = 0
        self._pause = _FIRST_PAUSE

    def wait(self, now: float) -> float:
        """Seconds until a request may start; infinity: when one of those in flight ends."""
        if self.in_flight >= self._places():
            return float("inf")
        return max(0.0, self.paused_until - now, self._next - now)

    def pace(self, interval: float) -> None:
        """Keep at least `interval` seconds between requests (a robots.txt's Crawl-delay)."""
        self._interval = max(self._interval, interval)

    def queue_seconds(self, now: float, waiting: int) -> float:
        """How long the pace alone keeps a request waiting behind `waiting` others."""
        return max(0.0, self._next - now) + waiting * self._interval

    @property
    def interval(self) -> float:
        """Seconds between two requests; 0: no pace is kept."""
        return self._interval

    def begin(self, now: float) -> None:
        """A request starts."""
        self.in_flight += 1
        self._next = max(now, self._next) + self._interval
        if self.in_flight >= self._places():
            self._reached = now

    def end(
        self,
        now: float,
        begun: float,
        outcome: Outcome,
        latency: float | None = None,
        retry_after: float | None = None,
    ) -> None:
        """A request that began at `begun` ended; `latency`: seconds to the first byte."""
        self.in_flight -= 1
        if outcome is Outcome.ANSWERED:
            self._failures = self._complaints = 0
            self._pause = _FIRST_PAUSE
            self._answered(now, begun, latency)
        elif outcome is Outcome.OVERLOADED:
            self._failures = 0
            is_news = self._decrease(now, begun, 0.5)
            self._complaints += is_news
            if retry_after is not None:
                self._rest(now, min(retry_after, self._limits.longest_pause))
            elif is_news and self._complaints % _COMPLAINTS_UNTIL_PAUSE == 0:
                self._rest_longer(now)
        elif outcome is Outcome.FAILED:
            self._failures += 1
            self._decrease(now, begun, 0.75)
            if self._failures >= self._limits.failures_until_down:
                self.down_until = now + self._limits.down_seconds
                self._failures = 0

    def _answered(self, now: float, begun: float, latency: float | None) -> None:
        if latency is not None:
            # The best is forgotten slowly, so that a route that became longer is accepted.
            self._best = min(latency, self._best * 1.002)
            self._smoothed += 0.2 * (latency - self._smoothed)
            if self._smoothed > _LATENCY_FACTOR * self._best + _LATENCY_SLACK:
                self._decrease(now, begun, 0.85)
                return
        # A limit that was not reached meanwhile says nothing about a higher one.
        if self._reached >= begun:
            self.limit += 1.0 if self._doubling else 1.0 / self._places()
            self.limit = min(self.limit, self._maximum)

    def _places(self) -> int:
        return int(self.limit + 1e-6)  # ten times a tenth is a whole

    def _decrease(self, now: float, begun: float, factor: float) -> bool:
        """Lower the limit; False for requests that complain about what is already corrected."""
        if begun < self._decreased:
            return False
        self._doubling = False
        self.limit = max(1.0, self.limit * factor)
        self._decreased = now
        return True

    def _rest(self, now: float, seconds: float) -> None:
        self.paused_until = max(self.paused_until, now + seconds)

    def _rest_longer(self, now: float) -> None:
        self._rest(now, self._pause)
        self._pause = min(2 * self._pause, _LONGEST_OWN_PAUSE)


class HostGate:
    """Lets requests to one host through as its HostState allows.

    Args:
        patience: seconds that a request waits for a host that rests; if it rests longer, the
            request is handed back unasked.
    """

    def __init__(
        self, limits: HostLimits, patience: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.state = HostState(limits)
        self._patience, self._clock = patience, clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Whether the gate can be forgotten without the host noticing."""
        state, now = self.state, self._clock()
        resting = max(state.paused_until, state.down_until) > now
        return not (state.in_flight or self._waiting or resting)

    async def enter(self) -> float:
        """Wait for a place; returns the time of entry, to be given to `leave`.

        Raises:
            FetchFailure: "host down", or "pending" with `retry_after` when the host rests for
                longer than the patience: nothing was asked.
        """
        self._refuse()
        queue = self.state.queue_seconds(self._clock(), len(self._waiting))
        if queue > max(self._patience, self.state.interval):
            detail = "the queue of a host that wants to be asked slowly"
            raise FetchFailure(UrlState.PENDING, detail, retry_after=queue)
        if not self._waiting and self.state.wait(self._clock()) <= 0:
            begun = self._clock()
            self.state.begin(begun)
            return begun
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._admit()
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.leave(self._clock(), Outcome.NOTHING)
            raise
        return self._clock()

    def leave(
        self,
        begun: float,
        outcome: Outcome,
        latency: float | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Give the place back."""
        self.state.end(self._clock(), begun, outcome, latency, retry_after)
        self._admit()

    def seconds_until_open(self) -> float:
        """For how long the host rests; 0 when it may be asked now or after a queue."""
        return max(self.state.paused_until, self.state.down_until) - self._clock()

    def _refuse(self) -> None:
        now = self._clock()
        if self.state.down_until > now:
            raise FetchFailure(
                UrlState.HOST_DOWN,
                "the host failed too often in a row",
                retry_after=self.state.down_until - now,
            )
        rest = self.state.paused_until - now
        if rest > self._patience:
            raise FetchFailure(
                UrlState.PENDING, f"the host rests for {rest:.0f} s", retry_after=rest
            )

    def _admit(self) -> None:
        waiting = self._waiting
        while waiting:
            if waiting[0].done():  # given up
                waiting.popleft()
                continue
            try:
                self._refuse()
            except FetchFailure as failure:
                waiting.popleft().set_exception(failure)
                continue
            now = self._clock()
            seconds = self.state.wait(now)
            if seconds > 0:
                self._wake_in(seconds)
                return
            self.state.begin(now)
            waiting.popleft().set_result(None)

    def _wake_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if seconds != float("inf"):
            self._timer = asyncio.get_running_loop().call_later(seconds, self._admit)


class Hosts:
    """The gates of all hosts, by name; idle ones are forgotten beyond `maximum`."""

    def __init__(
        self,
        limits: HostLimits,
        patience: float = 5.0,
        maximum: int = 50_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits, self._patience, self._maximum, self._clock = limits, patience, maximum, clock
        self._gates: OrderedDict[str, HostGate] = OrderedDict()

    def gate(self, host: str) -> HostGate:
        """The gate of a host."""
        gate = self._gates.get(host)
        if gate is None:
            gate = self._gates[host] = HostGate(self._limits, self._patience, self._clock)
            if len(self._gates) > self._maximum:
                self._forget()
        return gate

    def seconds_until_open(self, host: str) -> float:
        """For how long a host rests; 0 when it may be asked now or after a queue."""
        gate = self._gates.get(host)
        return 0.0 if gate is None else max(0.0, gate.seconds_until_open())

    def limits_now(self) -> dict[str, tuple[float, int]]:
        """Limit and requests in flight of each host, for reports."""
        return {name: (g.state.limit, g.state.in_flight) for name, g in self._gates.items()}

    def _forget(self) -> None:
        for name in [name for name, gate in self._gates.items() if gate.idle]:
            del self._gates[name]
            if len(self._gates) <= self._maximum // 2:
                return
