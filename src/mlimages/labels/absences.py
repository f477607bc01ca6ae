"""What is known not to be in an image. Unknown is not absent: only sources make it known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.labels.sparse import Keys, categories_of, contains, expand, make_keys, rows_of, upward
from mlimages.taxonomy.hierarchy import Hierarchy

BITS = 30  # sources told apart at once


@dataclass(frozen=True)
class Absences:
    """Absences, sparse: nothing of size images x categories.

    Attributes:
        verified: keys (row, category) that some source says are absent, ascending.
        groups: int32 [images]; images annotated by the same sources are in one group.
        exhaustive: keys (group, category), ascending: the categories for which silence of one of
            the group's sources means absence.
    """

    verified: Keys
    groups: NDArray[np.int32]
    exhaustive: Keys

    def forbid(self, candidates: Keys, tags: Keys, hierarchy: Hierarchy) -> NDArray[np.bool_]:
        """Which candidate tags (row, category) contradict what is known.

        A candidate is forbidden when the category or an ancestor of it is verified absent from the
        image, or belongs to an exhaustive set of one of its sources and is not among its tags.

        Args:
            candidates: keys, in any order.
            tags: the images' tags before, keys, ascending.
            hierarchy: over the categories.
        """
        table = upward(hierarchy)
        rows = rows_of(candidates)
        owner, place = expand(table.indptr, categories_of(candidates))
        above = table.ancestors[place]
        keys = make_keys(rows[owner], above)
        silent = contains(self.exhaustive, make_keys(self.groups[rows[owner]], above))
        known = contains(self.verified, keys) | (silent & ~contains(tags, keys))
        forbidden = np.zeros(len(candidates), dtype=bool)
        forbidden[owner[known]] = True
        return forbidden


def absent_categories(facts: pa.Table, images: pa.Table, sources: pa.Table) -> Absences:
    """What is known to be absent.

    Args:
        facts: row, category and present of schemas.FACTS.
        images: column `sources` of schemas.IMAGES, in row order.
        sources: schemas.SOURCES.
    """
    return Absences(verified_absences(facts), *silences(images, sources))


def verified_absences(facts: pa.Table) -> Keys:
    """Keys (row, category) of the facts that say absent, ascending."""
    denied = facts.filter(pc.invert(facts["present"])).select(["row", "category"])
    return np.unique(make_keys(denied["row"].to_numpy(), denied["category"].to_numpy()))


def silences(images: pa.Table, sources: pa.Table) -> tuple[NDArray[np.int32], Keys]:
    """`groups` and `exhaustive` of `Absences`; arguments as of `absent_categories`."""
    names: list[str] = sources["source"].to_pylist()
    groups, members = group_by_sources(images["sources"], names)
    sets = dict(zip(names, sources["exhaustive"].to_pylist(), strict=True))
    pairs = [
        (group, category)
        for group, said_by in enumerate(members)
        for name in said_by
        for category in sets[name] or ()
    ]
    found = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return groups, np.unique(make_keys(found[:, 0], found[:, 1]))


def group_by_sources(
    column: pa.ChunkedArray, names: Sequence[str]
) -> tuple[NDArray[np.int32], list[tuple[str, ...]]]:
    """Group images by who annotated them.

    Args:
        column: lists of source names, one an image.
        names: all sources.

    Returns:
        groups: int32 [images], numbered from 0.
        members: the source names of each group, in the order of `names`.
    """
    lists = column.combine_chunks()
    owner = lists.value_parent_indices().to_numpy()
    said = lists.flatten()
    code = np.zeros(len(lists), dtype=np.int64)
    place = pc.index_in(said, pa.array(names, pa.string())).fill_null(-1).to_numpy()
    for number in range(len(names)):
        code[owner[place == number]] |= 1 << (number % BITS)
        if number % BITS == BITS - 1:  # numbering again keeps the codes small
            code = np.unique(code, return_inverse=True)[1] << BITS
    _, first, code = np.unique(code, return_index=True, return_inverse=True)
    members = [tuple(n for n in names if n in set(lists[int(i)].as_py())) for i in first]
    return code.astype(np.int32), members


def single_label_rows(images: pa.Table, sources: pa.Table) -> NDArray[np.bool_]:
    """bool [images]: whether only single-label sources (as ImageNet) annotated the image."""
    single = dict(
        zip(sources["source"].to_pylist(), sources["single_label"].to_pylist(), strict=True)
    )
    groups, members = group_by_sources(images["sources"], list(single))
    answer = np.array([all(single[name] for name in names) for names in members], dtype=bool)
    return answer[groups]
