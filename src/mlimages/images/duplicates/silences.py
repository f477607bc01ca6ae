"""What exhaustive sources say of a copy by not naming it.

A source that is exhaustive for a category and annotated the copy says by its silence that the
category is absent from the picture. The image that is kept does not name that source, so no reader
would know. So the silence is written down: a fact of kind `duplicate` that says absent, for each
category of the source's set that no fact about the kept image or its copies names, nor anything
below it (`absences.Absences.forbid` reads a silence the same way). Where the kept image names the
source itself, its own silence says it already.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.labels.absences import group_by_sources
from mlimages.labels.sparse import contains, expand, make_keys, upward
from mlimages.schemas import FACTS
from mlimages.store import Commit
from mlimages.taxonomy.hierarchy import Hierarchy

KIND = "duplicate"


class Silences:
    """The silences about the copies of a table of duplicates."""

    def __init__(self, commit: Commit, duplicates: pa.Table) -> None:
        """Look up who annotated the copies, a partition at a time.

        Args:
            commit: the generation in the making.
            duplicates: schemas.DUPLICATES, by row.
        """
        self._commit = commit
        sources = commit.table("sources")
        exhaustive = dict(
            zip(sources["source"].to_pylist(), sources["exhaustive"].to_pylist(), strict=True)
        )
        self._sets = {name: np.array(found) for name, found in exhaustive.items() if found}
        copies, kept = duplicates["row"].to_numpy(), duplicates["kept"].to_numpy()
        said_of_copies = self._annotated(copies)
        said_of_kept = self._annotated(np.unique(kept))
        self._kept: dict[str, NDArray[np.int32]] = {}
        for name, rows in said_of_copies.items():
            named = kept[np.searchsorted(copies, rows)]
            self._kept[name] = np.setdiff1d(named, said_of_kept.get(name, []))

    def of(self, partition: int, facts: pa.Table) -> pa.Table:
        """schemas.FACTS of kind `duplicate` that say what was left unsaid.

        Args:
            partition: the one that the kept images are of.
            facts: about them, with those that were copied.
        """
        size = self._commit.manifest.partition_rows
        tables = [FACTS.empty_table()]
        for name, all_kept in self._kept.items():
            kept = all_kept[all_kept // size == partition]
            if len(kept) == 0:
                continue
            present = self._named(facts, kept)
            categories = self._sets[name]
            rows, silent = np.repeat(kept, len(categories)), np.tile(categories, len(kept))
            unsaid = ~contains(present, make_keys(rows, silent))
            rows, silent = rows[unsaid], silent[unsaid]
            tables.append(_facts(rows, silent, name))
        return pa.concat_tables(tables)

    def _annotated(self, rows: NDArray[np.int32]) -> dict[str, NDArray[np.int32]]:
        """Those of some rows that each exhaustive source annotated, ascending."""
        found: dict[str, list[NDArray[np.int32]]] = {name: [] for name in self._sets}
        size = self._commit.manifest.partition_rows
        for number in np.unique(rows // size).tolist() if self._sets else []:
            table = self._commit.table("images", ["row", "sources"], number)
            wanted = pa.array(rows[rows // size == number], pa.int32())
            table = table.filter(pc.is_in(table["row"], wanted)).sort_by("row")
            groups, members = group_by_sources(table["sources"], list(self._sets))
            for name, parts in found.items():
                among = np.array([name in said_by for said_by in members], dtype=bool)
                parts.append(table["row"].to_numpy()[among[groups]])
        return {name: np.concatenate(parts) for name, parts in found.items() if parts}

    def _named(self, facts: pa.Table, rows: NDArray[np.int32]) -> NDArray[np.int64]:
        """Keys (row, category) of what is said to be there, and of all that lies above it."""
        about = pc.and_(pc.is_in(facts["row"], pa.array(rows, pa.int32())), facts["present"])
        said = facts.filter(about)
        rows, categories = said["row"].to_numpy(), said["category"].to_numpy()
        keys = [make_keys(rows, categories)]
        for hierarchy in self._hierarchies():
            table = upward(hierarchy)
            owner, place = expand(table.indptr, categories)
            keys.append(make_keys(rows[owner], table.ancestors[place]))
        return np.unique(np.concatenate(keys))

    def _hierarchies(self) -> list[Hierarchy]:
        """Every hierarchy of the vocabulary: what lies above in any of them is not silence."""
        edges, count = self._commit.table("hierarchy"), self._commit.table("categories").num_rows
        found = []
        for name in pc.unique(edges["hierarchy"]).to_pylist():
            own = edges.filter(pc.equal(edges["hierarchy"], name))
            found.append(Hierarchy.from_edges(count, own["child"], own["parent"]))
        return found


def _facts(rows: NDArray[np.int32], categories: NDArray[np.integer], source: str) -> pa.Table:
    count = len(rows)
    columns = [
        pa.array(rows, pa.int32()),
        pa.array(categories, pa.int32()),
        pa.array([source] * count, pa.string()),
        pa.array(np.zeros(count, dtype=bool)),
        pa.array(np.ones(count, np.float32)),
        pa.array([KIND] * count, pa.string()),
    ]
    return pa.table(columns, names=FACTS.names).cast(FACTS)
