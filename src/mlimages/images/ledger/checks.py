"""Whether the ledger agrees with images, shards and rights: lines of `mlimages check`."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.images.fetching.states import UrlState
from mlimages.images.ledger.candidates import find_candidates
from mlimages.images.ledger.ledger import Ledger
from mlimages.images.ledger.work import images_with, packed_images
from mlimages.labels.checks.tag_checks import Findings
from mlimages.progress import track
from mlimages.store import Store

Check = tuple[str, bool, str]
"""(name, whether it passed, what was counted), as in `checking.CheckReport`."""


def check_ledger(store: Store) -> list[Check]:
    """Run every check of this module.

    Args:
        store: a generation whose files are whole.

    Returns:
        One entry a check: `urls`, that states sum to the URLs there are; `fetched`, that every ok
        is in a shard, with its rights; `bytes`, that every packed image came from somewhere;
        `removals`, that the list names images there are.
    """
    ledger = Ledger.open(store)
    store = ledger.store
    urls, fetched, places = Findings("urls"), Findings("fetched"), Findings("bytes")
    packed = packed_images(store)
    size = store.manifest.partition_rows
    for number in track(store.partitions("images"), "checking URLs", unit="partitions"):
        part, first = ledger.partitions()[number], number * size
        here = packed[first : first + part.images]
        images = store.table("images", ["row", "uris"], number)
        _check_urls(urls, store, ledger, number, images)
        _check_fetched(fetched, store, ledger, number, here)
        _check_places(places, ledger, number, images, here)
    counts = ledger.counts()
    told = [f"{count:,} {state.label}" for state, count in counts.items() if count]
    name, good, note = urls.result("candidate URLs")
    good &= sum(counts.values()) == urls.count
    return [
        (name, good, f"{note} = {' + '.join(told)}" if told and good else note),
        fetched.result("fetched images, each in a shard with its rights"),
        places.result("packed images with a local place or a fetched URL"),
        _check_removals(store),
    ]


def _check_urls(
    found: Findings, store: Store, ledger: Ledger, number: int, images: pa.Table
) -> None:
    """The ledger is of the URLs that the images have, and speaks of no others."""
    part = ledger.partitions()[number]
    candidates = find_candidates(images)
    found.count += candidates.num_rows
    rows, positions = candidates["row"].to_numpy(), candidates["candidate"].to_numpy()
    same = np.array_equal(rows, part.rows(np.arange(len(part)))) and np.array_equal(
        positions, part.candidate
    )
    if not same:
        found.add("of other images than there are", [f"partition {number}"])
    told = store.table("ledger", ["row", "candidate", "state"], number)
    rows = told["row"].to_numpy()
    lost = part.slots(rows, told["candidate"].to_numpy()) < 0
    found.note("told of and not there", lost, lambda i: f"row {rows[i]}")
    unknown = ~np.isin(told["state"].to_numpy(), list(UrlState))
    found.note("in an unknown state", unknown, lambda i: f"row {rows[i]}")


def _check_fetched(
    found: Findings, store: Store, ledger: Ledger, number: int, packed: NDArray[np.bool_]
) -> None:
    """Every ok is in a shard, once, and it is known where it came from."""
    part = ledger.partitions()[number]
    rows = part.rows(np.flatnonzero(part.state == UrlState.OK)) - part.first_row
    times = np.bincount(rows, minlength=part.images)
    fetched = times > 0
    found.count += int(np.count_nonzero(fetched))

    def named(i: int) -> str:
        return f"row {part.first_row + i}"

    found.note("not in a shard", fetched & ~packed, named)
    found.note("by several URLs", times > 1, named)
    recorded = np.zeros(part.images, bool)
    if fetched.any():
        recorded[store.table("rights", ["row"], number)["row"].to_numpy() - part.first_row] = True
    found.note("without a record of rights", fetched & ~recorded, named)


def _check_places(
    found: Findings, ledger: Ledger, number: int, images: pa.Table, packed: NDArray[np.bool_]
) -> None:
    """Bytes that are here were read from this machine, or fetched."""
    part = ledger.partitions()[number]
    lists = images.sort_by("row")["uris"].combine_chunks()
    places = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    local = places > np.diff(part.starts)
    from_web = images_with(part, part.state == UrlState.OK)
    found.count += int(np.count_nonzero(packed))
    found.note("from nowhere", packed & ~local & ~from_web, lambda i: f"row {part.first_row + i}")


def _check_removals(store: Store) -> Check:
    found = Findings("removals")
    found.count = store.num_rows("removals")
    lists = store.table("removals", ["rows"])["rows"].combine_chunks()
    rows = np.asarray(lists.flatten())
    outside = (rows < 0) | (rows >= store.num_rows("images"))
    found.note("of no image", outside, lambda i: f"row {rows[i]}")
    return found.result("entries in the list of removals")
