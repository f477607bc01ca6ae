"""How much is asked of each host at a time: as much as it bears, and no more.

Additive increase, multiplicative decrease (Chiu and Jain 1989), with a decrease in proportion to
the part of the answers that complain, as DCTCP has it (RFC 8257): a round in which all of L
requests meet a 429 or 503 halves the limit L, one complaint in a round lowers it by a half; failed
connections count half as much; a round of answers without complaint raises it by one (doubles it
until the first complaint). So a host that fails by chance at any load is not mistaken for one that
is overloaded by us. Latency well above the host's own best lowers the limit too, and whoever
complains without giving one answer in between gets pauses.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mlimages.errors import InputError


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


# A host whose quickest of so many answers took longer than 3 times its best plus this has a queue.
_LATENCY_ANSWERS, _LATENCY_FACTOR, _LATENCY_SLACK = 8, 3.0, 0.25
# What one complaint, or one failed connection, takes from the limit.
_PER_COMPLAINT, _PER_FAILURE = 0.5, 0.25
_FIRST_PAUSE, _LONGEST_OWN_PAUSE = 1.0, 120.0
# Rounds of complaints without one answer between them.
_COMPLAINTS_UNTIL_PAUSE = 3


class HostState:
    """The arithmetic of one host, without waiting: times are given, so tests need no clock."""

    __slots__ = (
        "_answers",
        "_best",
        "_complaints",
        "_doubling",
        "_failures",
        "_interval",
        "_limits",
        "_maximum",
        "_next",
        "_pause",
        "_quickest",
        "_reached",
        "_troubled",
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
        self._troubled = self._reached = float("-inf")
        self._doubling = True
        self._best = self._quickest = float("inf")
        self._answers = 0  # since `_quickest` was begun anew
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
            self._lower(_PER_COMPLAINT)
            if self._is_new_round(now, begun):
                self._complaints += 1
                if self._complaints % _COMPLAINTS_UNTIL_PAUSE == 0 and retry_after is None:
                    self._rest_longer(now)
            if retry_after is not None:
                self._rest(now, min(retry_after, self._limits.longest_pause))
        elif outcome is Outcome.FAILED:
            self._failures += 1
            self._lower(_PER_FAILURE)
            if self._failures >= self._limits.failures_until_down:
                self.down_until = now + self._limits.down_seconds
                self._failures = 0

    def _answered(self, now: float, begun: float, latency: float | None) -> None:
        if latency is not None and self._has_queue(latency):
            if self._is_new_round(now, begun):
                self._lower(0.15 * self.limit)
            return
        # A limit that was not reached meanwhile says nothing about a higher one.
        if self._reached >= begun:
            self.limit += 1.0 if self._doubling else 1.0 / self._places()
            self.limit = min(self.limit, self._maximum)

    def _has_queue(self, latency: float) -> bool:
        """Whether even the quickest of the last answers was slow."""
        # The best is forgotten slowly, so that a route that became longer is accepted.
        self._best = min(latency, self._best * 1.002)
        self._quickest = min(latency, self._quickest)
        self._answers += 1
        if self._answers < _LATENCY_ANSWERS:
            return False
        slow = self._quickest > _LATENCY_FACTOR * self._best + _LATENCY_SLACK
        self._answers, self._quickest = 0, float("inf")
        return slow

    def _places(self) -> int:
        return int(self.limit + 1e-6)  # ten times a tenth is a whole

    def _lower(self, amount: float) -> None:
        self._doubling = False
        self.limit = max(1.0, self.limit - amount)

    def _is_new_round(self, now: float, begun: float) -> bool:
        """Whether a request began after the last trouble; others tell of what is known already."""
        if begun < self._troubled:
            return False
        self._troubled = now
        return True

    def _rest(self, now: float, seconds: float) -> None:
        self.paused_until = max(self.paused_until, now + seconds)

    def _rest_longer(self, now: float) -> None:
        self._rest(now, self._pause)
        self._pause = min(2 * self._pause, _LONGEST_OWN_PAUSE)
