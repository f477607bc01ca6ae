"""Facts that cannot all be true: what one source says of an image against what another says.

Three kinds, for a present fact about category c:
    sources   a source says that c is absent
    ancestor  a source says that a category above c is absent
    silence   a source that is exhaustive for c, or for a category above it, annotated the image and
              names neither it nor anything below it
What a correction has settled is counted apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.labels.facts import present_facts
from mlimages.labels.lookup import left_out
from mlimages.labels.sparse import (
    categories_of,
    contains,
    expand,
    make_keys,
    rows_of,
    upward,
)
from mlimages.progress import track
from mlimages.store import Store
from mlimages.taxonomy.hierarchy import Hierarchy

KINDS = ("sources", "ancestor", "silence")


@dataclass(frozen=True)
class Contradiction:
    """One present fact and what speaks against it; rows and categories are indices."""

    kind: str
    row: int
    category: int
    said_by: str
    absent: int
    denied_by: str


@dataclass
class Contradictions:
    """All of a database, counted, and the first few of each kind by row.

    Attributes:
        counts: how many of each of KINDS.
        images: images with at least one.
        settled: present facts that a correction has withdrawn.
        by_sources: (kind, who says present, who says absent) -> how many.
        first: the first few of each kind.
    """

    counts: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(KINDS, 0)))
    images: int = 0
    settled: int = 0
    by_sources: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    first: list[Contradiction] = field(default_factory=list)


def find_contradictions(store: Store, hierarchy: Hierarchy, limit: int = 50) -> Contradictions:
    """Count every contradiction, partition by partition, and keep `limit` of each kind."""
    found = Contradictions()
    sources = store.table("sources")
    names = sources["source"].to_pylist()
    exhaustive = {
        name: np.array(categories, np.int64)
        for name, categories in zip(names, sources["exhaustive"].to_pylist(), strict=True)
        if categories
    }
    away = left_out(store)
    for number in track(store.partitions("facts"), "looking for contradictions", unit="partitions"):
        annotated = _annotated(store, number, exhaustive)
        # Most images have no absent fact and no source whose silence counts: they are left out.
        facts = store.table("facts", ["row", "present"], number)
        denied = facts.filter(pc.invert(facts["present"]))["row"].to_numpy()
        matters = np.unique(np.concatenate([denied, *annotated.values()]))
        matters = matters[~away[matters]]
        if len(matters) == 0:
            continue
        facts = store.table("facts", partition=number)
        facts = facts.filter(pa.array(contains(matters, facts["row"].to_numpy())))
        said = _Said(facts, names, hierarchy, exhaustive, annotated)
        found.settled += said.settled
        rows: list[NDArray[np.int32]] = []
        for kind, facts, absent, denied_by in (
            *said.denied(),
            *said.silent(),
        ):
            rows.append(said.rows[facts])
            found.counts[kind] += len(facts)
            _count_sources(found, kind, names, said.sources[facts], denied_by)
            free = limit - sum(one.kind == kind for one in found.first)
            for place in range(min(max(0, free), len(facts))):
                fact = facts[place]
                found.first.append(
                    Contradiction(
                        kind,
                        int(said.rows[fact]),
                        int(said.categories[fact]),
                        names[said.sources[fact]],
                        int(absent[place]),
                        names[denied_by[place]],
                    )
                )
        if rows:
            found.images += len(np.unique(np.concatenate(rows)))
    return found


Found = tuple[str, NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]
"""Kind, and for each: place of the present fact, category said absent, place of the source."""


class _Said:
    """What the sources say of some images, corrections heeded.

    Args:
        facts: schemas.FACTS.
        names: of all sources.
        hierarchy: over the categories.
        exhaustive: source -> the categories for which its silence means absence.
        annotated: source -> rows of the images that it annotated, ascending.
    """

    def __init__(
        self,
        facts: pa.Table,
        names: list[str],
        hierarchy: Hierarchy,
        exhaustive: dict[str, NDArray[np.int64]],
        annotated: dict[str, NDArray[np.int32]],
    ) -> None:
        self.names, self.exhaustive, self.annotated = names, exhaustive, annotated
        present = facts["present"].to_numpy()
        keys = make_keys(facts["row"].to_numpy(), facts["category"].to_numpy())
        sources = pc.index_in(facts["source"], pa.array(names)).to_numpy().astype(np.int64)
        stays = contains(present_facts(facts, hierarchy).keys, keys)
        correction = pc.equal(facts["kind"], "correction").to_numpy(zero_copy_only=False)
        self.settled = int((present & ~stays).sum())
        self.table = upward(hierarchy)
        # What a person corrected to be present is not contradicted by those that were corrected.
        claims = np.flatnonzero(present & stays & ~correction)
        claims = claims[np.argsort(keys[claims], kind="stable")]
        self.rows, self.categories = rows_of(keys[claims]), categories_of(keys[claims])
        self.sources = sources[claims]
        self.owner, place = expand(self.table.indptr, self.categories)
        self.edges = self.table.edges[place]
        self.above = make_keys(self.rows[self.owner], self.table.ancestors[place])
        order = np.argsort(keys[~present], kind="stable")
        self.absent, self.absent_sources = keys[~present][order], sources[~present][order]

    def denied(self) -> Iterator[Found]:
        """Present facts of which a source denies the category, or one above it."""
        begin = np.searchsorted(self.absent, self.above)
        counts = np.searchsorted(self.absent, self.above, side="right") - begin
        match = np.repeat(np.arange(len(self.above)), counts)
        within = np.arange(len(match)) - np.repeat(np.cumsum(counts) - counts, counts)
        denial = np.repeat(begin, counts) + within
        for kind, chosen in (
            ("sources", self.edges[match] == 0),
            ("ancestor", self.edges[match] > 0),
        ):
            absent = categories_of(self.above[match[chosen]])
            yield kind, self.owner[match[chosen]], absent, self.absent_sources[denial[chosen]]

    def silent(self) -> Iterator[Found]:
        """Present facts that a source's silence denies."""
        for name, categories in self.exhaustive.items():
            source = self.names.index(name)
            named = np.unique(self.above[self.sources[self.owner] == source])
            place = np.flatnonzero(np.isin(categories_of(self.above), categories))
            place = place[contains(self.annotated[name], rows_of(self.above[place]))]
            place = place[~contains(named, self.above[place])]
            said = np.full(len(place), source)
            yield "silence", self.owner[place], categories_of(self.above[place]), said


def _annotated(store: Store, number: int, sources: Iterable[str]) -> dict[str, NDArray[np.int32]]:
    """Rows of a partition that each of some sources annotated, ascending."""
    if not sources:
        return {}
    images = store.table("images", ["row", "sources"], number)
    lists = images["sources"].combine_chunks()
    rows, said_by = images["row"].to_numpy(), lists.flatten()
    owners = rows[lists.value_parent_indices().to_numpy()]
    return {
        name: np.unique(owners[pc.equal(said_by, name).to_numpy(zero_copy_only=False)])
        for name in sources
    }


def _count_sources(
    found: Contradictions,
    kind: str,
    names: list[str],
    said_by: NDArray[np.int64],
    denied_by: NDArray[np.int64],
) -> None:
    pairs, counts = np.unique(said_by * len(names) + denied_by, return_counts=True)
    for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
        first, second = divmod(pair, len(names))
        found.by_sources[kind, names[first], names[second]] += count
