"""Whether a source's tags hold all their ancestors: those of the release often do not.

An image is closed when every present category of it has its parents present too. Completion
(`rules.py`) closes every image; this says what there was to close.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa

from mlimages.labels.reading import Reading
from mlimages.labels.sparse import contains, expand, group_starts, make_keys
from mlimages.labels.streams import Readings, chunks_of
from mlimages.taxonomy.hierarchy import Hierarchy


@dataclass(frozen=True)
class ClosureReport:
    """Counts over images that have tags; `certain + mixed + fractional` are all of them.

    Attributes:
        certain, mixed, fractional: images all, some or none of whose tags have confidence 1.
        certain_closed, mixed_closed, fractional_closed: those of them that are closed.
        tags: tags of categories that have a parent.
        missing_parent: those of them without one of their parents.
        weaker_parent: those of them with a parent of lower confidence than their own.
    """

    certain: int = 0
    certain_closed: int = 0
    mixed: int = 0
    mixed_closed: int = 0
    fractional: int = 0
    fractional_closed: int = 0
    tags: int = 0
    missing_parent: int = 0
    weaker_parent: int = 0

    def __add__(self, other: ClosureReport) -> ClosureReport:
        """The counts of two sets of images."""
        names = [field.name for field in fields(self)]
        return ClosureReport(**{n: getattr(self, n) + getattr(other, n) for n in names})

    @property
    def open(self) -> int:
        """Images that are not closed."""
        images = self.certain + self.mixed + self.fractional
        return images - self.certain_closed - self.mixed_closed - self.fractional_closed

    def __str__(self) -> str:
        """The finding in a few lines' worth of words."""
        return (
            f"ancestors are missing in {self.open:,} images: closed are "
            f"{self.certain_closed:,} of {self.certain:,} whose tags all have confidence 1, "
            f"{self.mixed_closed:,} of {self.mixed:,} mixed, "
            f"{self.fractional_closed:,} of {self.fractional:,} all below 1; "
            f"{self.missing_parent:,} of {self.tags:,} tags lack a parent, {self.weaker_parent:,} "
            "have one of lower confidence; `mlimages complete` mends both"
        )


class ClosureWatch:
    """Counts over a stream of readings as it passes.

    Attributes:
        report: what was counted so far.
    """

    def __init__(self, hierarchy: Hierarchy) -> None:
        self.report = ClosureReport()
        self._hierarchy = hierarchy

    def over(self, readings: Readings) -> Iterator[Reading]:
        """The same readings; an image's facts are all in one of them."""
        for reading in chunks_of(readings):
            self.report += closure_report(reading.facts, self._hierarchy)
            yield reading


def closure_report(facts: pa.Table, hierarchy: Hierarchy) -> ClosureReport:
    """Count images whose tags lack ancestors.

    Args:
        facts: of one source; columns category, present, confidence, and `row` or `image`. An
            image's facts are all in it.
        hierarchy: over the categories.
    """
    present = facts.filter(facts["present"])  # mostly all of them
    images = present["row" if "row" in facts.column_names else "image"].to_numpy()
    keys = make_keys(images, present["category"].to_numpy())
    order = np.arange(len(keys))
    if np.any(keys[1:] < keys[:-1]):  # a reading's are sorted
        order = np.argsort(keys, kind="stable")
    starts = group_starts(keys[order])
    if len(starts) == 0:
        return ClosureReport()
    keys = keys[order][starts]
    images, categories = images[order][starts], present["category"].to_numpy()[order][starts]
    confidences = np.maximum.reduceat(present["confidence"].to_numpy()[order], starts)

    owner, place = expand(hierarchy.parents[0], categories)
    above = make_keys(images[owner], hierarchy.parents[1][place])
    held = contains(keys, above)
    lacking = np.zeros(len(keys), bool)
    lacking[owner[~held]] = True
    weaker = np.zeros(len(keys), bool)
    lower = confidences[np.searchsorted(keys, above[held])] < confidences[owner[held]]
    weaker[owner[held][lower]] = True

    first = group_starts(images)
    tags = np.diff(np.append(first, len(images)))
    certain = np.add.reduceat((confidences == 1).astype(np.int64), first)
    closed = ~np.logical_or.reduceat(lacking, first)
    counts = {}
    for name, chosen in (
        ("certain", certain == tags),
        ("mixed", (certain > 0) & (certain < tags)),
        ("fractional", certain == 0),
    ):
        counts[name] = int(np.count_nonzero(chosen))
        counts[f"{name}_closed"] = int(np.count_nonzero(chosen & closed))
    return ClosureReport(
        **counts,
        tags=len(np.unique(owner)),
        missing_parent=int(np.count_nonzero(lacking)),
        weaker_parent=int(np.count_nonzero(weaker)),
    )
