"""What a fetch came to: counts that reconcile, what to do about the rest, and what is lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mlimages.images.fetching.states import UrlState
from mlimages.images.ledger.ledger import Ledger
from mlimages.images.ledger.report import LedgerReport, StateCount, report_ledger
from mlimages.images.ledger.survivors import Survivors, count_survivors
from mlimages.taxonomy.categories import Taxonomy


@dataclass(frozen=True)
class FetchReport:
    """What a fetch came to.

    Attributes:
        fetched: images that this run brought, also those that were taken back since.
        bytes: of these as they came.
        seconds: that it took.
        ledger: the state of all addresses now.
        survivors: which categories keep enough images; None as long as there are no tags. Its list
            of all categories is left to `mlimages ledger DB --categories`.
    """

    fetched: int
    bytes: int
    seconds: float
    ledger: LedgerReport
    survivors: Survivors | None


def report_fetch(
    ledger: Ledger, images: int, size: int, seconds: float, *, include_sensitive: bool = False
) -> FetchReport:
    """Count the ledger and the categories as they are now.

    Args:
        ledger: the ledger.
        images: that the run brought.
        size: of these, in bytes.
        seconds: that it took.
        include_sensitive: also name sensitive categories.
    """
    store, survivors = ledger.store, None
    if store.num_rows("tags"):
        taxonomy = Taxonomy.from_tables(store.table("categories"), store.table("hierarchy"))
        survivors = count_survivors(store, taxonomy, include_sensitive=include_sensitive)
        survivors = replace(survivors, categories=[])
    return FetchReport(images, size, seconds, report_ledger(ledger), survivors)


def state_counts(counts: Mapping[UrlState, int]) -> list[StateCount]:
    """The states that occur, the most frequent first."""
    found = [
        StateCount(state.label, count, state.retryable, state.advice)
        for state, count in counts.items()
        if count
    ]
    return sorted(found, key=lambda entry: -entry.urls)
