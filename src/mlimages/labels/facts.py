"""What the facts say once corrections are heeded: the sparse set that every rule starts from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.errors import InputError
from mlimages.labels.sparse import (
    Keys,
    categories_of,
    contains,
    expand,
    group_starts,
    make_keys,
    rows_of,
    upward,
)
from mlimages.taxonomy.hierarchy import Hierarchy


@dataclass(frozen=True)
class PresentFacts:
    """Categories said to be present, once each, ascending by row, then category.

    Attributes:
        keys: int64 [n], see `sparse.make_keys`.
        confidences: float32 [n], the greatest that any source gave.
    """

    keys: Keys
    confidences: NDArray[np.float32]

    @property
    def rows(self) -> NDArray[np.int32]:
        """int32 [n]."""
        return rows_of(self.keys)

    @property
    def categories(self) -> NDArray[np.int32]:
        """int32 [n]."""
        return categories_of(self.keys)


def present_facts(facts: pa.Table, hierarchy: Hierarchy) -> PresentFacts:
    """Merge the present facts of all sources.

    Sources may disagree: one that says present is enough. A correction outranks them: where one
    says absent, the category and all below it are left out, whoever else says present.

    Args:
        facts: row, category, present and confidence of schemas.FACTS, and kind unless all say
            present.
        hierarchy: over the categories.
    """
    said = facts["present"].to_numpy()
    categories = facts["category"].to_numpy()
    keys = make_keys(facts["row"].to_numpy(), categories)
    confidences = facts["confidence"].to_numpy().astype(np.float32, copy=False)[said]
    withdrawn = keys[:0]
    if not said.all():
        corrected = pc.equal(facts["kind"], "correction").to_numpy(zero_copy_only=False) & ~said
        keys, withdrawn = keys[said], np.unique(keys[corrected])
    if len(withdrawn):
        stays = ~_at_or_below(keys, withdrawn, hierarchy)
        keys, confidences = keys[stays], confidences[stays]
    order = np.argsort(keys, kind="stable")  # mostly sorted already
    keys = keys[order]
    starts = group_starts(keys)
    if len(starts):
        confidences = np.maximum.reduceat(confidences[order], starts)
    return PresentFacts(keys[starts], confidences)


def _at_or_below(keys: Keys, withdrawn: Keys, hierarchy: Hierarchy) -> NDArray[np.bool_]:
    """Which (row, category) keys are withdrawn, or lie below a withdrawn one of the same row."""
    table = upward(hierarchy)
    suspects = np.flatnonzero(contains(np.unique(rows_of(withdrawn)), rows_of(keys)))
    owner, place = expand(table.indptr, categories_of(keys[suspects]))
    above = make_keys(rows_of(keys[suspects])[owner], table.ancestors[place])
    hit = np.zeros(len(keys), dtype=bool)
    hit[suspects[owner[contains(withdrawn, above)]]] = True
    return hit


def check_range(facts: pa.Table, num_rows: int, hierarchy: Hierarchy) -> None:
    """Refuse facts about images or categories that are not there.

    Raises:
        InputError: a row outside 0..num_rows - 1, or a category that the hierarchy does not hold.
    """
    rows, categories = (pc.min_max(facts[name]).as_py() for name in ("row", "category"))
    if rows["min"] is None:
        return
    if rows["min"] < 0 or rows["max"] >= num_rows:
        raise InputError("facts", f"one is about an image not in 0..{num_rows - 1}", "correct them")
    for category in (categories["min"], categories["max"]):
        if not 0 <= category < hierarchy.num_categories:
            raise InputError(
                f"category {category}",
                f"a fact names it, but there are {hierarchy.num_categories:,} categories",
                "import with the vocabulary of the database",
            )
