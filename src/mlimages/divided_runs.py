"""Stages of a database run part by part: each part anywhere, by itself, then all put together.

db.parts.pack(Part(1, 2))      # here
db.parts.pack(Part(2, 2))      # and on another machine
db.parts.merge_pack()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlimages.execution.parts import Part
from mlimages.images.packing.dividing import merge_pack_parts, pack_part
from mlimages.images.packing.settings import PackSettings
from mlimages.labels.hashing.dividing import hash_part, merge_hash_parts
from mlimages.labels.hashing.hashes import DatabaseHash
from mlimages.reports import PackReport, PartReport
from mlimages.store import Store

if TYPE_CHECKING:
    from mlimages.images.fetching.fetch_settings import FetchSettings
    from mlimages.images.fetching.report import FetchReport


class DividedRuns:
    """The stages that can be divided; what a part did is kept in the database's staging folder.

    Every method raises what the function it calls says.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def pack(self, part: Part, settings: PackSettings | None = None, **options: Any) -> PartReport:
        """Pack one part; see `images.packing.dividing.pack_part`."""
        return pack_part(self._store, part, settings, **options)

    def merge_pack(self) -> PackReport:
        """Take in the shards of all parts."""
        return merge_pack_parts(self._store)

    def fetch(
        self, part: Part, settings: FetchSettings | None = None, **options: Any
    ) -> PartReport:
        """Fetch one part; see `images.fetching.dividing.fetch_part`."""
        from mlimages.images.fetching.dividing import fetch_part

        return fetch_part(self._store, part, settings, **options)

    def merge_fetch(
        self, settings: FetchSettings | None = None, include_sensitive: bool = False
    ) -> FetchReport:
        """Take in what all parts fetched."""
        from mlimages.images.fetching.dividing import merge_fetch_parts

        return merge_fetch_parts(self._store, settings, include_sensitive)

    def hash(self, part: Part, **where: Any) -> PartReport:
        """Hash one part; see `labels.hashing.dividing.hash_part`."""
        return hash_part(self._store, part, **where)

    def merge_hash(self) -> DatabaseHash:
        """As `Database.hash`, from what all parts left."""
        return merge_hash_parts(self._store)
