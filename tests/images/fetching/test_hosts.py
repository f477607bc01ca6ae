"""Adaptive concurrency and pauses, on a clock of the test's own."""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque

import pytest

from mlimages.images.fetching.host_state import HostLimits, HostState, Outcome
from mlimages.images.fetching.hosts import HostGate, Hosts
from mlimages.images.fetching.states import FetchFailure, UrlState


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Host:
    """A host and an endless queue for it, in simulated time."""

    def __init__(self, limits: HostLimits) -> None:
        self.state, self.now = HostState(limits), 1000.0
        self.begun: deque[float] = deque()

    def fill(self) -> int:
        """Start all requests that may start; returns how many are under way."""
        while self.state.wait(self.now) <= 0:
            self.state.begin(self.now)
            self.begun.append(self.now)
        return len(self.begun)

    def end(self, outcome: Outcome, latency: float = 0.1, retry_after: float | None = None) -> None:
        self.state.end(self.now, self.begun.popleft(), outcome, latency, retry_after)

    def round(self, outcome: Outcome = Outcome.ANSWERED, latency: float = 0.1) -> int:
        """One round trip: as many requests as may run start, and end so; returns how many."""
        count = self.fill()
        self.now += latency
        for _ in range(count):
            self.end(outcome, latency)
        return count


def test_the_limit_doubles_until_the_first_complaint_and_then_grows_by_one_a_round() -> None:
    host = Host(HostLimits(connections=1000, start=2))
    assert [host.round() for _ in range(5)] == [2, 4, 8, 16, 32]
    host.round(Outcome.OVERLOADED)
    after = [host.round() for _ in range(4)]
    assert after[0] == 32
    assert after == [32, 33, 34, 35]


def test_the_limit_never_exceeds_the_greatest() -> None:
    host = Host(HostLimits(connections=10, start=4))
    assert max(host.round() for _ in range(20)) == 10


def test_a_round_of_complaints_halves_the_limit_once() -> None:
    host = Host(HostLimits(connections=64, start=64))
    host.fill()
    host.now += 0.1
    for _ in range(64):
        host.end(Outcome.OVERLOADED)
    assert host.state.limit == 32


def test_complaints_of_every_round_lead_down_to_one_request_at_a_time() -> None:
    host = Host(HostLimits(connections=64, start=64))
    for _ in range(12):
        host.round(Outcome.OVERLOADED)
        host.now = max(host.now, host.state.paused_until)
    assert host.state.limit == 1


def test_failed_connections_lower_the_limit_half_as_much_as_complaints() -> None:
    host = Host(HostLimits(connections=64, start=64, failures_until_down=100))
    host.round(Outcome.FAILED)
    assert host.state.limit == 48


@pytest.mark.parametrize(("part", "least", "most"), [(0.05, 20, 60), (0.1, 10, 25), (0.3, 3, 8)])
def test_a_host_that_complains_by_chance_settles_at_a_limit_in_proportion(
    part: float, least: int, most: int
) -> None:
    # Growth (1 - part) a round and decrease limit * part / 2 balance at 2 * (1 - part) / part.
    host, draw, sizes = Host(HostLimits(connections=64)), random.Random(7), []
    for _ in range(600):
        count = host.fill()
        host.now += 0.1
        for _ in range(count):
            host.end(Outcome.OVERLOADED if draw.random() < part else Outcome.ANSWERED)
        sizes.append(count)
        host.now = max(host.now, host.state.paused_until)
    assert least < sum(sizes[100:]) / len(sizes[100:]) < most


def test_rising_latency_lowers_the_limit_and_its_fall_raises_it_again() -> None:
    host = Host(HostLimits(connections=64, start=4))
    for _ in range(6):
        host.round(latency=0.1)
    before = host.state.limit
    for _ in range(20):
        host.round(latency=3.0)
    slowed = host.state.limit
    assert slowed < before / 2
    for _ in range(60):
        host.round(latency=0.1)
    assert host.state.limit > slowed


def test_a_far_host_with_steady_latency_is_not_held_back() -> None:
    host = Host(HostLimits(connections=64, start=4))
    for _ in range(10):
        host.round(latency=2.0)
    assert host.state.limit == 64


def test_a_limit_that_is_not_used_does_not_grow() -> None:
    state = HostState(HostLimits(connections=64, start=8))
    for n in range(100):
        state.begin(float(n))
        state.end(n + 0.1, float(n), Outcome.ANSWERED, 0.1)
    assert state.limit == 8


def test_retry_after_stops_all_requests_until_then() -> None:
    host = Host(HostLimits())
    host.fill()
    host.end(Outcome.OVERLOADED, retry_after=30.0)
    for _ in range(3):
        host.end(Outcome.ANSWERED)
    assert host.state.wait(host.now) == 30.0
    host.now += 30
    assert host.state.wait(host.now) == 0


def test_an_absurd_retry_after_is_obeyed_for_an_hour() -> None:
    host = Host(HostLimits())
    host.fill()
    host.end(Outcome.OVERLOADED, retry_after=1e9)
    assert host.state.paused_until == host.now + 3600


def test_complaints_in_a_row_pause_longer_and_longer() -> None:
    host = Host(HostLimits(connections=1, start=1))
    pauses = []
    for _ in range(30):
        host.round(Outcome.OVERLOADED)
        pause = max(0.0, host.state.paused_until - host.now)
        pauses.append(pause)
        host.now += pause
    longer = [round(pause) for pause in pauses if pause]
    assert longer == [1, 2, 4, 8, 16, 32, 64, 120, 120, 120]


def test_a_single_complaint_among_answers_does_not_pause() -> None:
    host = Host(HostLimits())
    for _ in range(20):
        host.round()
        host.fill()
        host.end(Outcome.OVERLOADED)
    assert host.state.paused_until <= host.now


def test_a_host_is_down_after_many_failures_in_a_row_only() -> None:
    limits = HostLimits(connections=1, start=1, failures_until_down=3, down_seconds=100)
    host = Host(limits)
    for outcome in (Outcome.FAILED, Outcome.FAILED, Outcome.ANSWERED, Outcome.FAILED):
        host.round(outcome)
    assert host.state.down_until == 0
    host.round(Outcome.FAILED)
    host.round(Outcome.FAILED)
    assert host.state.down_until == host.now + 100


def test_a_rate_spaces_requests_evenly() -> None:
    host = Host(HostLimits(rate=4.0))
    starts = []
    for _ in range(8):
        host.now += host.state.wait(host.now)
        host.state.begin(host.now)
        starts.append(host.now)
        host.state.end(host.now, host.now, Outcome.ANSWERED, 0.0)
    assert [round(start - starts[0], 6) for start in starts] == [n * 0.25 for n in range(8)]


def test_a_crawl_delay_spaces_requests() -> None:
    host = Host(HostLimits())
    host.state.pace(10.0)
    host.state.begin(host.now)
    assert host.state.wait(host.now) == 10.0


@pytest.mark.parametrize(("parts", "connections", "rate"), [(1, 32, 8), (4, 8, 2), (64, 1, 0.125)])
def test_the_limits_of_a_host_are_divided_among_parts(
    parts: int, connections: float, rate: float
) -> None:
    assert HostLimits(connections=32, rate=8.0, parts=parts).share() == (connections, rate)


def gated(limits: HostLimits, patience: float = 5.0) -> tuple[HostGate, Clock]:
    clock = Clock()
    return HostGate(limits, patience, clock), clock


def test_those_who_wait_enter_in_order_as_places_become_free() -> None:
    async def run() -> list[int]:
        gate, _ = gated(HostLimits(connections=1, start=1))
        order = []

        async def visit(number: int) -> None:
            begun = await gate.enter()
            order.append(number)
            await asyncio.sleep(0)
            gate.leave(begun, Outcome.ANSWERED, 0.1)

        await asyncio.gather(*[visit(number) for number in range(10)])
        assert gate.state.in_flight == 0
        return order

    assert asyncio.run(run()) == list(range(10))


def test_the_limit_of_a_host_with_a_queue_grows_round_by_round() -> None:
    async def run() -> list[float]:
        clock = Clock()
        gate = HostGate(HostLimits(connections=1000, start=2), 5.0, clock)
        limits = []

        async def visit() -> None:
            begun = await gate.enter()
            clock.now += 1e-4  # time passes between all that happens
            await round_trip.wait()
            gate.leave(begun, Outcome.ANSWERED, 0.1)

        visits = [asyncio.ensure_future(visit()) for _ in range(62)]
        for _ in range(5):
            round_trip = asyncio.Event()
            for _ in range(3):
                await asyncio.sleep(0)
            clock.now += 0.1
            limits.append(gate.state.limit)
            round_trip.set()
            await asyncio.sleep(0)
        await asyncio.gather(*visits)
        return limits

    assert asyncio.run(run()) == [2, 4, 8, 16, 32]


def test_those_who_wait_are_handed_back_when_the_host_begins_to_rest() -> None:
    async def run() -> list[object]:
        gate, _ = gated(HostLimits(connections=1, start=1))
        begun = await gate.enter()
        waiting = [asyncio.ensure_future(gate.enter()) for _ in range(3)]
        await asyncio.sleep(0)
        gate.leave(begun, Outcome.OVERLOADED, 0.1, 60.0)
        return await asyncio.gather(*waiting, return_exceptions=True)

    for failure in asyncio.run(run()):
        assert isinstance(failure, FetchFailure)
        assert (failure.state, failure.retry_after) == (UrlState.PENDING, 60.0)


def test_one_who_gives_up_waiting_takes_no_place() -> None:
    async def run() -> None:
        gate, _ = gated(HostLimits(connections=1, start=1))
        begun = await gate.enter()
        first, second = (asyncio.ensure_future(gate.enter()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        gate.leave(begun, Outcome.ANSWERED, 0.1)
        gate.leave(await asyncio.wait_for(second, 1), Outcome.ANSWERED, 0.1)
        # Cancelled in the very turn in which its place came.
        begun = await gate.enter()
        third = asyncio.ensure_future(gate.enter())
        await asyncio.sleep(0)
        gate.leave(begun, Outcome.ANSWERED, 0.1)
        third.cancel()
        await asyncio.gather(first, third, return_exceptions=True)
        assert gate.state.in_flight == 0
        assert gate.idle

    asyncio.run(run())


def test_idle_hosts_are_forgotten_and_resting_ones_are_not() -> None:
    async def run() -> None:
        hosts = Hosts(HostLimits(), maximum=10)
        resting = hosts.gate("resting.example")
        resting.leave(await resting.enter(), Outcome.OVERLOADED, 0.1, 60.0)
        for number in range(100):
            hosts.gate(f"{number}.example")
        assert len(hosts.limits_now()) <= 11
        assert hosts.seconds_until_open("resting.example") > 50

    asyncio.run(run())


def test_no_long_queue_forms_before_a_host_that_wants_to_be_asked_slowly() -> None:
    async def run() -> tuple[int, list[FetchFailure]]:
        gate, _ = gated(HostLimits())
        gate.state.pace(10.0)
        waiting = [asyncio.ensure_future(gate.enter()) for _ in range(5)]
        await asyncio.sleep(0)
        refused = [task.exception() for task in waiting if task.done() and task.exception()]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return len(waiting) - len(refused), refused  # type: ignore[return-value]

    admitted, refused = asyncio.run(run())
    assert admitted == 2  # one at once, one in ten seconds
    assert {failure.state for failure in refused} == {UrlState.PENDING}


def test_a_host_whose_latency_varies_is_not_taken_for_one_with_a_queue() -> None:
    draw = random.Random(0)
    host = Host(HostLimits(connections=32, start=4))
    for _ in range(3000):
        host.fill()
        host.now += 0.01
        host.end(Outcome.ANSWERED, draw.lognormvariate(math.log(0.3), 0.9))
    assert host.state.limit == 32
