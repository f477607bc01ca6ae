"""Requests wait before each host until its limits let them through."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from mlimages.images.fetching.host_state import HostLimits, HostState, Outcome
from mlimages.images.fetching.states import FetchFailure, UrlState


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
        self._waiting: deque[asyncio.Future[float]] = deque()
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
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._admit()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.leave(self._clock(), Outcome.NOTHING)
            raise

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
            waiting.popleft().set_result(now)

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
