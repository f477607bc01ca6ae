"""Whether derived tags follow from the facts by the rules, and postings are the tags."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.labels.facts import present_facts
from mlimages.labels.sparse import Keys, contains, expand, make_keys, rows_of, upward
from mlimages.labels.tags import ANCESTOR, ASSERTED, COOCCURRENCE
from mlimages.taxonomy.hierarchy import Hierarchy

_COLUMNS = ("categories", "confidences", "reasons", "because")


class Findings:
    """What is wrong with a table: how often, and where first.

    Attributes:
        name: of the check.
        count: rows looked at.
    """

    def __init__(self, name: str) -> None:
        self.name, self.count = name, 0
        self._problems: dict[str, tuple[int, str]] = {}

    def note(self, what: str, wrong: NDArray[np.bool_], where: Callable[[int], str]) -> None:
        """Count the rows that are wrong; `where` names one by its position."""
        count = int(np.count_nonzero(wrong))
        if count:
            self._keep(what, count, where(int(np.argmax(wrong))))

    def add(self, what: str, wrong: Sequence[str]) -> None:
        """Count named problems."""
        if wrong:
            self._keep(what, len(wrong), wrong[0])

    def result(self, unit: str | None = None) -> tuple[str, bool, str]:
        """(name, whether nothing is wrong, what was counted)."""
        listed = [
            f"{count:,} {what}" + (f" (first: {where})" if where else "")
            for what, (count, where) in self._problems.items()
        ]
        return self.name, not listed, "; ".join(listed) or f"{self.count:,} {unit or self.name}"

    def _keep(self, what: str, count: int, where: str) -> None:
        before, first = self._problems.get(what, (0, where))
        self._problems[what] = (before + count, first)


class TagChecks:
    """Checks of tags and postings, a partition at a time.

    Attributes:
        tags, postings: what was found.
    """

    def __init__(self, hierarchy: Hierarchy, pairs: pa.Table, current: bool) -> None:
        """Prepare.

        Args:
            hierarchy: the one that the tags follow.
            pairs: cause and effect of schemas.COOCCURRENCE.
            current: whether the tags are of these facts; else they are not compared with them.
        """
        self.tags, self.postings = Findings("tags follow"), Findings("postings")
        self._hierarchy, self._current = hierarchy, current
        self._size = hierarchy.num_categories
        table = upward(hierarchy)
        below = np.repeat(np.arange(hierarchy.num_categories), np.diff(table.indptr))
        self._above = make_keys(below, table.ancestors)  # ascending
        self._pairs = np.unique(make_keys(pairs["cause"].to_numpy(), pairs["effect"].to_numpy()))

    def add(
        self, rows: NDArray[np.int32], facts: pa.Table, tags: pa.Table, postings: pa.Table
    ) -> None:
        """Check one partition.

        Args:
            rows: of its images, ascending.
            facts, tags, postings: its tables.
        """
        found = self.tags
        held = tags["row"].to_numpy()
        if not np.array_equal(held, rows):
            found.add("rows that are not one an image", [f"{len(held):,} for {len(rows):,}"])
            return
        columns = [tags[name].combine_chunks() for name in _COLUMNS]
        lengths = columns[0].value_lengths().to_numpy()
        if any(not np.array_equal(lengths, c.value_lengths().to_numpy()) for c in columns[1:]):
            found.add("lists of unequal length", [""])
            return
        categories, confidences, reasons, because = (c.flatten().to_numpy() for c in columns)
        found.count += len(categories)
        owner = np.repeat(held, lengths)
        if self._misnumbered(owner, categories, because):
            return
        keys = make_keys(owner, categories)
        name = _named(owner)
        found.note("out of order or twice", keys[1:] <= keys[:-1], name)
        found.note(
            "with a confidence outside (0, 1]", ~((confidences > 0) & (confidences <= 1)), name
        )
        self._check_support(keys, confidences, reasons, because)
        if self._current:
            self._check_facts(keys, reasons, facts)
        self._check_postings(categories, owner, confidences, reasons, postings)

    def _misnumbered(self, owner: NDArray, categories: NDArray, because: NDArray) -> bool:
        size = self._size
        wrong = (categories < 0) | (categories >= size) | (because < 0) | (because >= size)
        self.tags.note("of no category", wrong, _named(owner))
        return bool(wrong.any())

    def _check_support(
        self, keys: Keys, confidences: NDArray, reasons: NDArray, because: NDArray
    ) -> None:
        """A tag's reason and its `because` agree, and the image has what supports the tag."""
        found, rows = self.tags, rows_of(keys)
        categories = keys & ((1 << 24) - 1)
        name = _named(rows)
        known = (reasons == ASSERTED) | (reasons == ANCESTOR) | (reasons == COOCCURRENCE)
        found.note("with an unknown reason", ~known, name)
        found.note(
            "asserted, but because of another",
            (reasons == ASSERTED) & (because != categories),
            name,
        )
        links = make_keys(because, categories)
        below = contains(self._above, links) & (because != categories)
        found.note("ancestors of nothing below them", (reasons == ANCESTOR) & ~below, name)
        together = contains(self._pairs, links)
        found.note("of no co-occurring pair", (reasons == COOCCURRENCE) & ~together, name)
        support = make_keys(rows, because)
        ordered = keys if np.all(keys[1:] > keys[:-1]) else np.unique(keys)
        there = contains(ordered, support)
        found.note("whose support the image has not", ~there, name)
        if ordered is keys and len(keys):
            place = np.minimum(np.searchsorted(keys, support), len(keys) - 1)
            weaker = there & (confidences < confidences[place])
            found.note("less certain than their support", weaker, name)

    def _check_facts(self, keys: Keys, reasons: NDArray, facts: pa.Table) -> None:
        """Asserted tags are the present facts, and every tag's parents are tags."""
        categories = facts["category"].to_numpy()
        if len(categories) and not 0 <= categories.min() <= categories.max() < self._size:
            self.tags.add("not compared with facts that are about no category", [""])
            return
        said = present_facts(facts, self._hierarchy).keys
        asserted = keys[reasons == ASSERTED]
        self.tags.note("asserted by no fact", ~contains(said, asserted), _named(rows_of(asserted)))
        self.tags.note("facts without their tag", ~contains(keys, said), _named(rows_of(said)))
        indptr, parents = self._hierarchy.parents
        owner, place = expand(indptr, keys & ((1 << 24) - 1))
        above = make_keys(rows_of(keys)[owner], parents[place])
        self.tags.note("without a parent's tag", ~contains(keys, above), _named(rows_of(above)))

    def _check_postings(
        self,
        categories: NDArray,
        rows: NDArray,
        confidences: NDArray,
        reasons: NDArray,
        postings: pa.Table,
    ) -> None:
        found = self.postings
        found.count += postings.num_rows
        held = [postings[name].to_numpy() for name in ("category", "row", "confidence", "reason")]
        if len(held[0]) != len(categories):
            found.add("counts that differ", [f"{len(held[0]):,} for {len(categories):,} tags"])
            return
        order = np.argsort(categories, kind="stable")
        wrong = np.zeros(len(order), dtype=bool)
        for column, kept in zip((categories, rows, confidences, reasons), held, strict=True):
            wrong |= column[order] != kept
        found.note("that are not the tag in their place", wrong, _named(rows[order]))


def _named(rows: NDArray[np.integer]) -> Callable[[int], str]:
    return lambda i: f"row {rows[i]}"
