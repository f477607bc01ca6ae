"""What a table of duplicates holds, in counts and first groups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.images.duplicates.finding import EVIDENCE, Searched
from mlimages.labels.lookup import image_records, split_codes
from mlimages.store import Store

Group = list[int]


@dataclass(frozen=True)
class DuplicatesReport:
    """What was found; images = images_left + merged_away.

    Attributes:
        images: all images.
        images_left: images that are counted and selected.
        groups: images that are stored more than once.
        merged_away: images that another one stands for.
        by_evidence: of these, how many by equal MD5, by equal bytes, and by their looks.
        facts_added: facts of kind `duplicate`.
        across_splits: groups with images of more than one split, by the splits' names.
        first_groups: ids of the first few groups, the kept one first.
        first_across_splits: as `first_groups`, of the groups across splits.
        searched: what the search by looks went through; None when there was none.
    """

    images: int
    images_left: int
    groups: int
    merged_away: int
    by_evidence: dict[str, int]
    facts_added: int
    across_splits: dict[str, int]
    first_groups: list[list[str]]
    first_across_splits: list[list[str]]
    searched: Searched | None = None


def report_duplicates(
    store: Store,
    duplicates: pa.Table,
    facts_added: int,
    searched: Searched | None = None,
    shown: int = 10,
) -> DuplicatesReport:
    """Counts, and the ids of the first groups."""
    found = groups_of(duplicates)
    across = groups_across_splits(store, found)
    counts: dict[str, int] = defaultdict(int)
    for splits, _ in across:
        counts[" and ".join(splits)] += 1
    images = store.num_rows("images")
    by = {how: pc.sum(pc.equal(duplicates["evidence"], how)).as_py() or 0 for how in EVIDENCE}
    return DuplicatesReport(
        images=images,
        images_left=images - duplicates.num_rows,
        groups=len(found),
        merged_away=duplicates.num_rows,
        by_evidence=by,
        facts_added=facts_added,
        across_splits=dict(counts),
        first_groups=_named(store, found[:shown]),
        first_across_splits=_named(store, [group for _, group in across[:shown]]),
        searched=searched,
    )


def groups_of(duplicates: pa.Table) -> list[Group]:
    """Rows of each group of schemas.DUPLICATES, the kept one first, by that one's row."""
    members: dict[int, Group] = defaultdict(list)
    pairs = zip(duplicates["row"].to_pylist(), duplicates["kept"].to_pylist(), strict=True)
    for row, kept in pairs:
        members[kept].append(row)
    return [[kept, *members[kept]] for kept in sorted(members)]


def groups_across_splits(
    store: Store, groups: Sequence[Group]
) -> list[tuple[tuple[str, ...], Group]]:
    """(names of the splits, rows) of the groups whose images are in more than one split."""
    names, codes = split_codes(store)
    found = []
    for group in groups:
        of_group: NDArray[np.int16] = np.unique(codes[group])
        splits = tuple(names[code] for code in of_group.tolist() if code >= 0)
        if len(splits) > 1:
            found.append((splits, group))
    return found


def _named(store: Store, groups: Sequence[Group]) -> list[list[str]]:
    records = image_records(store, (row for group in groups for row in group), ["id"])
    return [[records[row]["id"] for row in group] for group in groups]
