"""Asking hosts again what they say about the use of images that were fetched before.

Only heads of answers are asked for. What has opted out since, by robots.txt, X-Robots-Tag or
TDM-Reservation, leaves the database: see `withdrawal`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import TracebackType

import pyarrow as pa
import pyarrow.compute as pc

from mlimages.images.fetching.candidates import is_web
from mlimages.images.fetching.client import Answer, Client
from mlimages.images.fetching.downloads import Downloads, Request
from mlimages.images.fetching.fetch_settings import FetchSettings
from mlimages.images.fetching.report import state_counts
from mlimages.images.fetching.settings import NetworkSettings
from mlimages.images.fetching.states import UrlState
from mlimages.images.fetching.withdrawal import withdraw
from mlimages.images.ledger.ledger import Ledger
from mlimages.images.ledger.report import StateCount
from mlimages.progress import track
from mlimages.store import Store

STAGE = "recheck"
REFUSING = (UrlState.OPTED_OUT, UrlState.ROBOTS)
"""States for which an image that was fetched is dropped."""
_ROWS_A_COMMIT = 8192
_WITHOUT_HEAD = (405, 501)  # answers of servers that know no HEAD (RFC 9110, section 9.1)


@dataclass(frozen=True)
class RecheckReport:
    """What a recheck came to.

    Attributes:
        checked: images whose host was asked in this run.
        dropped: of these, opted out since, and no longer in the database's shards.
        resting: of these, not asked, since their host wants to be left alone now.
        seconds: that it took.
        states: of all that was asked.
    """

    checked: int
    dropped: int
    resting: int
    seconds: float
    states: list[StateCount]


class HeadClient:
    """A client that asks for the heads of answers; an async context manager."""

    def __init__(self, settings: NetworkSettings) -> None:
        self._client = Client(settings)

    async def __aenter__(self) -> HeadClient:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def get(self, url: str) -> Answer:
        """The head of an answer; its body too where the server gives no head alone."""
        answer = await self._client.get(url, without_body=True)
        if answer.status in _WITHOUT_HEAD:
            answer = await self._client.get(url)
        return answer

    def hold(self, holds: bool) -> None:
        """See Client.hold."""
        self._client.hold(holds)


def recheck_store(store: Store, settings: FetchSettings | None = None) -> RecheckReport:
    """Ask about all fetched images; a run that was interrupted continues where it stopped.

    Raises:
        StorageError: the disk is full or not writable.
    """
    settings = settings or FetchSettings()
    began, counts = time.monotonic(), Counter[UrlState]()
    with store.writing(STAGE):
        ledger = Ledger.open(store)
        first = int(store.manifest.info.get(STAGE, {}).get("next_row", 0))
        answers: SimpleQueue[tuple[Request, Answer]] = SimpleQueue()
        downloads = Downloads(
            lambda: HeadClient(settings.network),
            lambda request, answer: answers.put((request, answer)),
            concurrency=settings.concurrency,
        )
        total = -(-store.num_rows("rights") // _ROWS_A_COMMIT)
        with downloads:
            blocks = _blocks(store, first)
            for rows, addresses in track(blocks, "rechecking", total=total, unit="blocks"):
                told = _ask(downloads, answers, rows.to_pylist(), addresses.to_pylist())
                counts.update(told.values())
                _commit(store, ledger, told, int(rows[-1].as_py()) + 1)
        ledger.close()
        with store.commit(STAGE) as commit:
            commit.info[STAGE] = {"next_row": 0, "ended": int(time.time())}
    resting = counts.pop(UrlState.PENDING, 0)
    return RecheckReport(
        checked=counts.total(),
        dropped=sum(counts[state] for state in REFUSING),
        resting=resting,
        seconds=time.monotonic() - began,
        states=state_counts(dict(counts)),
    )


def _blocks(store: Store, first: int) -> Iterator[tuple[pa.Array, pa.Array]]:
    """(rows, addresses) of fetched images from a row on, ascending, in pieces."""
    for number in store.partitions("rights"):
        table = store.table("rights", ["row", "uri"], number).sort_by("row")
        web = [is_web(uri) for uri in table["uri"].to_pylist()]
        table = table.filter(pc.and_(pa.array(web), pc.greater_equal(table["row"], first)))
        for start in range(0, table.num_rows, _ROWS_A_COMMIT):
            piece = table.slice(start, _ROWS_A_COMMIT).combine_chunks()
            yield piece["row"], piece["uri"]


def _ask(
    downloads: Downloads,
    answers: SimpleQueue[tuple[Request, Answer]],
    rows: list[int],
    addresses: list[str],
) -> dict[int, UrlState]:
    """What is now said of each row."""
    pairs = zip(rows, addresses, strict=True)
    downloads.give([Request(address, row) for row, address in pairs])
    told: dict[int, UrlState] = {}
    while len(told) < len(rows):
        try:
            request, answer = answers.get(timeout=0.5)
        except Empty:
            downloads.check()
            continue
        downloads.release(len(answer.data))
        told[int(str(request.tag))] = answer.state
    return told


def _commit(store: Store, ledger: Ledger, told: dict[int, UrlState], next_row: int) -> None:
    """Drop what is refused now, and remember how far it is."""
    refused = {row: state for row, state in told.items() if state in REFUSING}
    with store.commit(STAGE) as commit:
        if refused:
            withdraw(commit, ledger, list(refused), [int(state) for state in refused.values()])
        commit.info[STAGE] = {"next_row": next_row}
