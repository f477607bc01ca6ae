"""Mending: damaged images packed again from their places, and a lost index read from the tars.

A shard is never changed: what is good of a damaged one goes, with what could be packed again, into
a new one at the same places, which takes over in one commit.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlimages.errors import DatabaseError
from mlimages.images.decoding import probe
from mlimages.images.headers import sniff
from mlimages.images.packing.inspecting import (
    ImageIds,
    ShardIndex,
    index_is_damaged,
    inspect,
    shard_entries,
)
from mlimages.images.packing.members import Member, scan_members
from mlimages.images.packing.sealing import PackEntry, Rejects, check_entry
from mlimages.images.packing.settings import PackSettings, recorded
from mlimages.images.packing.staging import (
    NO_BLOCK,
    STAGING,
    SealedShard,
    StagedShard,
    adopt,
    discard,
    drop_rows,
    drop_shards,
    sweep,
)
from mlimages.images.rejection import BadImageError
from mlimages.images.verification import Verified, Verifier
from mlimages.labels.identity import is_url
from mlimages.labels.lookup import image_records
from mlimages.progress import track
from mlimages.reports import first_rejects
from mlimages.schemas import REJECTS, SHARD_INDEX
from mlimages.storage import service_errors
from mlimages.store import Commit, Store

if TYPE_CHECKING:
    from mlimages.storage import AnyPath

_MEMBERS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class RepairReport:
    """What was mended; images of damaged shards = kept + mended + lost.

    Attributes:
        indexed: images that the index has again, when it had to be read from the tars.
        shards: that were damaged, and were written anew.
        kept: images of these that were good.
        mended: that were packed again from their places.
        lost: that are in no shard any more.
        to_fetch: of these, how many are on the web: `mlimages fetch` may get them again.
        first_lost: (place, reason) of some.
    """

    indexed: int
    shards: int
    kept: int
    mended: int
    lost: int
    to_fetch: int
    first_lost: list[tuple[str, str]] = field(default_factory=list)


def repair_shards(store: Store, *, workers: int | None = None) -> RepairReport:
    """Mend what `verify_shards` finds.

    Args:
        store: of the database.
        workers: processes that decode images that are packed again; one a core by default.

    Raises:
        DatabaseError: nothing is packed.
        StorageError: the disk is full or not writable.
    """
    with store.writing("repair shards"):
        settings = recorded(store)
        if settings is None or not shard_entries(store):
            raise DatabaseError(store.root, "has no shards", "run: mlimages pack DB")
        sweep(store.root)
        indexed = rebuild_index(store) if index_is_damaged(store) else 0
        damaged = [found[0].shard for found in inspect(store) if found]
        kept = mended = lost = to_fetch = 0
        rejects = [REJECTS.empty_table()]
        with Verifier(settings.images, workers=workers, md5=False) as verifier:
            for number in damaged:
                mending = _Mending(store, number, settings, verifier)
                mending.run()
                kept, mended = kept + mending.kept, mended + mending.mended
                lost, to_fetch = lost + mending.lost, to_fetch + mending.to_fetch
                rejects.append(mending.rejected)
    told = first_rejects(pa.concat_tables(rejects))
    return RepairReport(indexed, len(damaged), kept, mended, lost, to_fetch, told)


class _Mending:
    """One damaged shard on its way to a good one."""

    def __init__(
        self, store: Store, number: int, settings: PackSettings, verifier: Verifier
    ) -> None:
        self._store, self._number, self._verifier = store, number, verifier
        self._path = store.root / shard_entries(store)[number].path
        self._index = ShardIndex(store).of_shard(number)
        self._ids = ImageIds(store).of_rows(self._index["row"])
        blocks = np.unique(self._index["row"].to_numpy() // settings.block_rows)
        self._block = int(blocks[0]) if len(blocks) == 1 else NO_BLOCK
        self.kept = self.mended = self.lost = self.to_fetch = 0
        self._to_fetch: list[tuple[int, int]] = []  # (row, candidate) of lost images
        self.rejected = REJECTS.empty_table()

    def run(self) -> None:
        """Write the new shard and let it take over."""
        sealed = self._seal()
        self.rejected = sealed.rejects
        with self._store.commit("repair shards") as commit:
            drop_rows(commit, self._index["row"].to_numpy())
            drop_shards(commit, [self._number])
            adopt(commit, sealed)
            if self._to_fetch and self._store.num_rows("ledger"):
                self._mark_to_fetch(commit)
        discard([sealed])

    def _seal(self) -> SealedShard:
        rejects = Rejects()
        with StagedShard(self._store.root / STAGING, self._block) as shard:
            for row, image, verified in self._images(rejects):
                shard.add(row, image, verified)
            if len(shard.writer):
                return shard.seal(rejects.take())
        return SealedShard(None, self._block, SHARD_INDEX.empty_table(), rejects.take())

    def _images(self, rejects: Rejects) -> Iterator[tuple[int, str, Verified]]:
        rows = self._index["row"].to_pylist()
        places = image_records(self._store, rows, ["uris", "sources"])
        for record, image in zip(self._index.to_pylist(), self._ids, strict=True):
            verified = self._from_shard(record)
            if verified is not None:
                self.kept += 1
                yield record["row"], image, verified
                continue
            place = places[record["row"]]
            entry = PackEntry(record["row"], image, place["uris"], (place["sources"] or [None])[0])
            checked = check_entry(entry, self._verifier)
            if checked.image.reason is None:
                self.mended += 1
                yield entry.row, image, checked.image
                continue
            self.lost += 1
            places_on_web = [n for n, uri in enumerate(entry.uris) if is_url(uri.lower())]
            self._to_fetch += [(entry.row, place) for place in places_on_web]
            self.to_fetch += bool(places_on_web)
            if not places_on_web:
                rejects.add(entry, checked.location, checked.image.reason)

    def _mark_to_fetch(self, commit: Commit) -> None:
        """Make the addresses pending again that had given the bytes of what is lost."""
        from mlimages.images.fetching.states import UrlState
        from mlimages.images.ledger.ledger import Ledger

        ledger = Ledger.open(self._store)
        chosen = [at for at in self._to_fetch if ledger.state_of(*at) is UrlState.OK]
        if chosen:
            rows, candidates = zip(*chosen, strict=True)
            ledger.commit_states(commit, rows, candidates, UrlState.PENDING)

    def _from_shard(self, record: dict[str, int]) -> Verified | None:
        """An image as the damaged shard has it, if it is good."""
        try:
            with service_errors(self._path), self._path.open("rb") as file:
                file.seek(record["offset"])
                data = file.read(record["length"])
            if len(data) != record["length"] or zlib.crc32(data) != record["crc32"]:
                return None
            size = (record["width"], record["height"])
            return Verified(data, sniff(data), *size, record["crc32"])
        except (OSError, BadImageError):
            return None


def rebuild_index(store: Store) -> int:
    """Read the index from the tars, whose members are named by image id.

    Members whose id the database does not know, and images that are in an earlier shard already,
    are passed over.

    Returns:
        the number of images found.
    """
    found = [SHARD_INDEX.empty_table()]
    for members in _member_tables(store):
        found += _with_rows(store, members)
    index = pa.concat_tables(found)
    rows = index["row"].to_numpy()
    order = np.lexsort((index["offset"].to_numpy(), index["shard"].to_numpy(), rows))
    ordered = rows[order]
    first = np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]
    with store.commit("rebuild the index of shards") as commit:
        commit.manifest.files.pop("shards/index", None)
        commit.append("shards/index", index.take(pa.array(order[first])))
    return int(np.count_nonzero(first))


_MEMBERS = pa.schema([("id", pa.string()), *(f for f in SHARD_INDEX if f.name != "row")])


def _member_tables(store: Store) -> Iterator[pa.Table]:
    """What the shards hold, about a million images at a time."""
    parts: list[pa.Table] = []
    for number, entry in track(sorted(shard_entries(store).items()), "reading", unit="shards"):
        path = store.root / entry.path
        parts.append(pa.Table.from_pylist(list(_described(path, number)), schema=_MEMBERS))
        if sum(map(len, parts)) >= _MEMBERS_AT_ONCE:
            yield pa.concat_tables(parts)
            parts = []
    if parts:
        yield pa.concat_tables(parts)


def _described(path: AnyPath, number: int) -> Iterator[dict[str, object]]:
    if not path.is_file():
        return
    for member in scan_members(path):
        about = _describe(member)
        if about is not None:
            yield {"id": member.id, "shard": number, "offset": member.offset, **about}


def _describe(member: Member) -> dict[str, int] | None:
    try:
        info = probe(member.data)
    except BadImageError:
        return None
    checksum = zlib.crc32(member.data)
    size = {"width": info.width, "height": info.height}
    return {"length": len(member.data), "crc32": checksum, **size}


def _with_rows(store: Store, members: pa.Table) -> Iterator[pa.Table]:
    """schemas.SHARD_INDEX of the members whose ids the database knows, partition by partition."""
    for partition in store.partitions():
        images = store.table("images", ["row", "id"], partition)
        places = pc.index_in(members["id"], images["id"].combine_chunks())
        known = members.filter(pc.is_valid(places))
        rows = images["row"].take(pc.drop_null(places))
        yield known.drop_columns("id").add_column(0, "row", rows).cast(SHARD_INDEX)
