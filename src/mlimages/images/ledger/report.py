"""What a ledger tells: URLs by state, by host and error, what can be tried again, what is lost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlimages.images.fetching.states import UrlState
from mlimages.images.ledger.ledger import Ledger
from mlimages.images.ledger.work import RETRYABLE, images_with, packed_images
from mlimages.labels.lookup import left_out

_STATES = list(UrlState)
_ENDED_WELL = (UrlState.PENDING, UrlState.OK, UrlState.REMOVED)


@dataclass(frozen=True)
class StateCount:
    """URLs in one state, and what to do about them."""

    state: str
    urls: int
    retryable: bool
    advice: str


@dataclass(frozen=True)
class HostCount:
    """URLs of one host; urls = ok + pending + removed + the sum of `failures`, by state."""

    host: str
    urls: int
    ok: int
    pending: int
    removed: int
    failures: dict[str, int]


@dataclass(frozen=True)
class ImageCounts:
    """What became of images, each counted once.

    Attributes:
        images: all images; the sum of the others.
        left_out: removed on request, or another one stands for it.
        packed: of the others, in a shard.
        waiting: of the others, with a URL that was not tried yet.
        retryable: of the others, with a URL that may give it another time.
        lost: of the others, with URLs all of which failed for good.
        without_url: of the others, to be had from this machine or not at all.
    """

    images: int
    left_out: int
    packed: int
    waiting: int
    retryable: int
    lost: int
    without_url: int


@dataclass(frozen=True)
class LedgerReport:
    """The state of a database's URLs.

    Attributes:
        urls: candidate URLs; the sum over `states`.
        states: those in which a URL is, the most frequent first.
        images: what became of the images.
        hosts: number of hosts.
        by_host: those with the most URLs.
        worst: those with the most failures.
        statuses: HTTP statuses of failures.
        in_journal: records that no commit holds yet.
    """

    urls: int
    states: list[StateCount]
    images: ImageCounts
    hosts: int
    by_host: list[HostCount]
    worst: list[HostCount]
    statuses: dict[int, int]
    in_journal: int


def report_ledger(ledger: Ledger, hosts: int = 10) -> LedgerReport:
    """Count everything, one partition at a time.

    Args:
        ledger: the ledger.
        hosts: number of hosts to list.
    """
    totals, statuses = np.zeros(256, np.int64), np.zeros(1 << 16, np.int64)
    present = [state for state, count in ledger.counts().items() if count]
    column = np.zeros(256, np.int64)
    column[present] = np.arange(len(present))
    by_host = np.zeros((len(ledger.hosts), len(present)), np.int64)
    images = np.zeros(7, np.int64)
    away, packed = left_out(ledger.store), packed_images(ledger.store)
    for number, part in ledger.partitions().items():
        states = ledger.states(number)
        totals += np.bincount(states, minlength=256)
        cells = part.host.astype(np.int64) * len(present) + column[states]
        by_host += np.bincount(cells, minlength=by_host.size).reshape(by_host.shape)
        failed = ~_among(_ENDED_WELL)[states]
        statuses += np.bincount(part.status[failed].astype(np.int64) & 0xFFFF, minlength=1 << 16)
        rows = slice(part.first_row, part.first_row + part.images)
        images += _count_images(ledger, number, away[rows], packed[rows])
    statuses[0] = 0  # no answer
    told = np.flatnonzero(statuses)
    order = sorted(present, key=lambda state: -totals[state])
    well = np.isin(present, _ENDED_WELL)
    return LedgerReport(
        urls=len(ledger),
        states=[
            StateCount(state.label, int(totals[state]), state.retryable, state.advice)
            for state in order
        ],
        images=ImageCounts(*images.tolist()),
        hosts=len(ledger.hosts),
        by_host=_hosts(ledger, present, by_host, by_host.sum(axis=1), hosts),
        worst=_hosts(ledger, present, by_host, by_host[:, ~well].sum(axis=1), hosts),
        statuses={int(status): int(statuses[status]) for status in told},
        in_journal=ledger.journalled,
    )


def _count_images(
    ledger: Ledger, number: int, away: NDArray[np.bool_], packed: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """int64 [7]: a partition's `ImageCounts`."""
    part, states = ledger.partitions()[number], ledger.states(number)
    has_url = np.diff(part.starts) > 0
    waiting = images_with(part, states == UrlState.PENDING)
    retryable = images_with(part, _among(tuple(RETRYABLE))[states])
    left = np.ones(part.images, bool)
    counts = [part.images]
    for chosen in (away, packed, waiting, retryable, has_url):
        counts.append(int(np.count_nonzero(left & chosen)))
        left &= ~chosen
    return np.array([*counts, int(np.count_nonzero(left))])


def _among(states: tuple[UrlState, ...]) -> NDArray[np.bool_]:
    """bool [256]: which numbers are of these states."""
    chosen = np.zeros(256, bool)
    chosen[list(states)] = True
    return chosen


def _hosts(
    ledger: Ledger,
    present: list[UrlState],
    counts: NDArray[np.int64],
    weight: NDArray[np.int64],
    number: int,
) -> list[HostCount]:
    """Those of the greatest weight, without those of none."""
    order = np.argsort(-weight, kind="stable")[:number]
    found = []
    for host in order[weight[order] > 0].tolist():
        by_state = dict(zip(present, counts[host].tolist(), strict=True))
        failures = {
            state.label: count
            for state, count in sorted(by_state.items(), key=lambda item: -item[1])
            if count and state not in _ENDED_WELL
        }
        ok, pending, gone = (
            by_state.get(state, 0) for state in (UrlState.OK, UrlState.PENDING, UrlState.REMOVED)
        )
        urls = int(counts[host].sum())
        found.append(HostCount(ledger.hosts[host], urls, ok, pending, gone, failures))
    return found
