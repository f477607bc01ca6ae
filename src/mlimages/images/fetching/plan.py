"""What a fetch would do, told beforehand and without asking any host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlimages.images.fetching.fetch_settings import FetchSettings
from mlimages.images.fetching.states import UrlState
from mlimages.images.ledger.ledger import Ledger
from mlimages.images.ledger.work import (
    RETRYABLE,
    allowed_states,
    slots_to_try,
    wanted_images,
)
from mlimages.store import Store

SPEED = "fetch_speed"
"""Key in the database's `info`: images, bytes and seconds of the last run that tells."""
TYPICAL_BYTES = 110_000
"""Of a photo where nothing better is known: about the mean of ImageNet."""
TYPICAL_SECONDS = 0.5
"""That a request takes where nothing was measured."""
TYPICAL_RATE = 500.0
"""Images a second that a line of half a gigabit carries, where nothing was measured."""
SHOWN_HOSTS = 20


@dataclass(frozen=True)
class HostPlan:
    """What a host will be asked for: addresses that are tried first for their image, and hours."""

    host: str
    images: int
    hours: float


@dataclass(frozen=True)
class FetchPlan:
    """What a fetch would do.

    Attributes:
        images: to fetch.
        addresses: that may be tried for them.
        bytes: expected to come, in all.
        bytes_known: images whose size a source gave; for the others that is `typical_bytes`.
        typical_bytes: mean of those known, of those fetched before, or TYPICAL_BYTES.
        hours: expected; the slowest host counts when it takes longer than all together.
        measured: whether the rate is that of an earlier run, and not a typical one.
        hosts: those of most images, at most SHOWN_HOSTS.
        num_hosts: all.
    """

    images: int
    addresses: int
    bytes: int
    bytes_known: int
    typical_bytes: int
    hours: float
    measured: bool
    hosts: list[HostPlan]
    num_hosts: int


@dataclass
class ToTry:
    """Counts of what the ledger has to try: by host, the images whose first address is there."""

    images: int
    addresses: int
    by_host: Counter[str]
    known_bytes: int = 0
    bytes_known: int = 0  # images


def addresses_to_try(
    ledger: Ledger, retry: Collection[UrlState], most_attempts: int, sizes: bool = False
) -> ToTry:
    """Count what `Ledger.to_try` would give.

    Args:
        ledger: the ledger.
        retry: states to try again.
        most_attempts: addresses that were tried so often are not tried again.
        sizes: sum up also the sizes that sources gave.
    """
    found = ToTry(0, 0, Counter())
    wanted, allowed = wanted_images(ledger.store), allowed_states(retry)
    size = ledger.store.manifest.partition_rows
    for number, part in ledger.partitions().items():
        first = number * size
        chosen = slots_to_try(ledger, number, wanted[first : first + part.images], allowed)
        chosen &= (part.attempts < most_attempts) | (part.state == UrlState.PENDING)
        slots = np.flatnonzero(chosen)
        if not len(slots):
            continue
        rows, firsts = np.unique(part.rows(slots), return_index=True)
        found.images += len(rows)
        found.addresses += len(slots)
        hosts, counts = np.unique(part.host[slots[firsts]], return_counts=True)
        found.by_host.update(
            {ledger.hosts[h]: n for h, n in zip(hosts.tolist(), counts.tolist(), strict=True)}
        )
        if sizes:
            table = ledger.store.table("images", ["row", "bytes"], number)
            own = table.filter(pc.is_in(table["row"], pa.array(rows, pa.int32())))["bytes"]
            found.known_bytes += pc.sum(own).as_py() or 0
            found.bytes_known += len(own) - own.null_count
    return found


def plan_fetch(store: Store, settings: FetchSettings) -> FetchPlan:
    """Bytes, hours and hosts of the fetch that these settings would begin."""
    ledger = Ledger.open(store)
    retry = RETRYABLE if settings.retry else frozenset[UrlState]()
    most = 255 if settings.retry else settings.attempts
    todo = addresses_to_try(ledger, retry, most, sizes=True)
    typical = _typical_bytes(store, todo)
    speed = store.manifest.info.get(SPEED)
    connections, rate = settings.network.hosts.share()
    a_host = connections / TYPICAL_SECONDS
    if rate is not None:
        a_host = min(a_host, rate)
    together = min(settings.concurrency / TYPICAL_SECONDS, TYPICAL_RATE)
    if speed:
        together = speed["images"] / speed["seconds"]
    hosts = [
        HostPlan(host, images, images / min(a_host, together) / 3600)
        for host, images in todo.by_host.most_common(SHOWN_HOSTS)
    ]
    slowest = hosts[0].hours if hosts else 0.0
    return FetchPlan(
        images=todo.images,
        addresses=todo.addresses,
        bytes=todo.known_bytes + typical * (todo.images - todo.bytes_known),
        bytes_known=todo.bytes_known,
        typical_bytes=typical,
        hours=max(todo.images / together / 3600, slowest),
        measured=speed is not None,
        hosts=hosts,
        num_hosts=len(todo.by_host),
    )


def _typical_bytes(store: Store, todo: ToTry) -> int:
    if todo.bytes_known:
        return round(todo.known_bytes / todo.bytes_known)
    total = count = 0
    for partition in store.partitions("rights"):
        sizes = store.table("rights", ["bytes"], partition)["bytes"]
        total, count = total + (pc.sum(sizes).as_py() or 0), count + len(sizes)
    return round(total / count) if count else TYPICAL_BYTES
