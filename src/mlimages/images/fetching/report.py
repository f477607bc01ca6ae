"""What a fetch came to: counts that reconcile, and what to do about what is missing."""

from __future__ import annotations

from dataclasses import dataclass

from mlimages.images.fetching.fetch_settings import FetchSettings
from mlimages.images.fetching.plan import addresses_to_try
from mlimages.images.fetching.states import UrlState
from mlimages.images.ledger.ledger import Ledger
from mlimages.images.ledger.work import RETRYABLE


@dataclass(frozen=True)
class StateCount:
    """Addresses in one state.

    Attributes:
        state: its name.
        addresses: how many.
        retryable: whether they may give an image another time.
        advice: what to do about them.
    """

    state: str
    addresses: int
    retryable: bool
    advice: str


@dataclass(frozen=True)
class FetchReport:
    """What a fetch came to.

    Attributes:
        fetched: images that this run brought.
        bytes: of these as they came.
        seconds: that it took.
        addresses: all http(s) addresses of the database; the sum over `states`.
        images: of the database.
        in_shards: images whose bytes are there.
        to_try: images that have an address that was not tried yet.
        to_retry: images that have one whose failure may pass, and none that was not tried.
        states: by count.
    """

    fetched: int
    bytes: int
    seconds: float
    addresses: int
    images: int
    in_shards: int
    to_try: int
    to_retry: int
    states: list[StateCount]


def report_fetch(
    ledger: Ledger, settings: FetchSettings, images: int, size: int, seconds: float
) -> FetchReport:
    """Count the ledger as it is now.

    Args:
        ledger: the ledger.
        settings: of the fetch.
        images: that it brought.
        size: of these, in bytes.
        seconds: that it took.
    """
    store = ledger.store
    pending = addresses_to_try(ledger, (), settings.attempts).images
    either = addresses_to_try(ledger, RETRYABLE, 255).images
    return FetchReport(
        fetched=images,
        bytes=size,
        seconds=seconds,
        addresses=len(ledger),
        images=store.num_rows("images"),
        in_shards=store.num_rows("shards/index"),
        to_try=pending,
        to_retry=either - pending,
        states=state_counts(ledger.counts()),
    )


def state_counts(counts: dict[UrlState, int]) -> list[StateCount]:
    """The states that occur, the most frequent first."""
    found = [
        StateCount(state.label, count, state.retryable, state.advice)
        for state, count in counts.items()
        if count
    ]
    return sorted(found, key=lambda entry: -entry.addresses)
