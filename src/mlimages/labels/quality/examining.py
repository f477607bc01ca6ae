"""One report on the quality of a database's labels, with the names and ids that a person reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow.dataset as ds

from mlimages.labels.lookup import image_ids
from mlimages.labels.quality.contradictions import Contradiction, find_contradictions
from mlimages.labels.quality.improbable_pairs import Pair, find_improbable_pairs
from mlimages.labels.quality.label_noise import Issue, LabelNoise, rank_label_noise
from mlimages.store import Store
from mlimages.taxonomy.categories import MODES, Taxonomy
from mlimages.taxonomy.hierarchy import Hierarchy

Item = TypeVar("Item")


@dataclass(frozen=True)
class Named:
    """A category as it is shown."""

    key: str
    name: str


@dataclass(frozen=True)
class ContradictionRow:
    """A present fact and what speaks against it; `kind` as in `contradictions.KINDS`."""

    image: str
    row: int
    kind: str
    category: Named
    said_by: str
    absent: Named
    denied_by: str


@dataclass(frozen=True)
class PairRow:
    """A pair of categories far from what chance would give."""

    first: Named
    second: Named
    together: int
    expected: float
    pmi: float


@dataclass(frozen=True)
class PairImageRow:
    """An image with both tags of an improbable pair."""

    image: str
    row: int
    first: Named
    second: Named
    pmi: float


@dataclass(frozen=True)
class IssueRow:
    """A doubtful or a missing tag.

    `below` is a tag of the image above a missing one, `seen` what the network sees most surely
    instead of a doubtful one.
    """

    image: str
    row: int
    category: Named
    probability: float
    quality: float
    below: Named | None
    seen: Named | None
    seen_probability: float


@dataclass(frozen=True)
class NoisyCategory:
    """A category with many issues."""

    category: Named
    doubtful: int
    missing: int


@dataclass(frozen=True)
class ContradictionReport:
    """Contradictions: all of them counted, the first of each kind listed."""

    counts: dict[str, int]
    images: int
    settled: int
    by_sources: list[tuple[str, str, str, int]]  # kind, who says present, who absent, how many
    first: list[ContradictionRow]


@dataclass(frozen=True)
class PairReport:
    """Improbable pairs of tags, and their images."""

    images: int
    of: int
    improbable: int
    below: list[PairRow]
    above: list[PairRow]
    listed: list[PairImageRow]


@dataclass(frozen=True)
class NoiseReport:
    """Tags that a network finds doubtful or missing."""

    images: int
    categories: int
    judged: int
    doubtful_count: int
    missing_count: int
    by_category: list[NoisyCategory]
    doubtful: list[IssueRow]
    missing: list[IssueRow]


@dataclass(frozen=True)
class QualityReport:
    """The whole report; `noise` is None without predictions.

    What is about sensitive categories is counted; unless asked for it is not listed, and
    `hidden_sensitive` says how many rows that were.
    """

    contradictions: ContradictionReport
    pairs: PairReport
    noise: NoiseReport | None
    hidden_sensitive: int

    def rows(self) -> set[int]:
        """All images that are named."""
        listed: list[ContradictionRow | PairImageRow | IssueRow] = [
            *self.contradictions.first,
            *self.pairs.listed,
        ]
        if self.noise is not None:
            listed += [*self.noise.doubtful, *self.noise.missing]
        return {one.row for one in listed}


def examine(
    store: Store,
    taxonomy: Taxonomy,
    hierarchy: Hierarchy,
    predictions: ds.Dataset | None = None,
    *,
    limit: int = 50,
    include_sensitive: bool = False,
) -> QualityReport:
    """Look for contradictions, improbable pairs and, with predictions, doubtful tags.

    Args:
        store: the database, with current tags.
        taxonomy: its vocabulary.
        hierarchy: the one that the tags were derived with.
        predictions: see `label_noise.rank_label_noise`.
        limit: how many of each kind are listed.
        include_sensitive: also list what is about sensitive categories.

    Raises:
        InputError: the predictions cannot be used.
    """
    writer = _Writer(store, taxonomy, include_sensitive)
    noise = None
    if predictions is not None:
        others = [taxonomy.hierarchy(mode) for mode in MODES]
        above = [hierarchy, *(other for other in others if other is not hierarchy)]
        noise = writer.noise(rank_label_noise(store, above, predictions, limit), limit)
    found = find_contradictions(store, hierarchy, limit)
    pairs = find_improbable_pairs(store, hierarchy, limit)
    images = writer.ids([listed.row for listed in pairs.listed])
    report = PairReport(
        pairs.images,
        pairs.of,
        pairs.improbable,
        [writer.pair(p) for p in writer.shown(pairs.below, _both)],
        [writer.pair(p) for p in writer.shown(pairs.above, _both)],
        [
            PairImageRow(
                images[one.row],
                one.row,
                writer.named(one.pair.first),
                writer.named(one.pair.second),
                one.pair.pmi,
            )
            for one in writer.shown(pairs.listed, lambda one: _both(one.pair))
        ],
    )
    contradictions = ContradictionReport(
        dict(found.counts),
        found.images,
        found.settled,
        [(*names, count) for names, count in found.by_sources.most_common()],
        writer.contradictions(found.first),
    )
    return QualityReport(contradictions, report, noise, writer.hidden)


def _both(pair: Pair) -> tuple[int, ...]:
    return pair.first, pair.second


class _Writer:
    """Names for indices, ids for rows, and nothing sensitive unless asked."""

    def __init__(self, store: Store, taxonomy: Taxonomy, include_sensitive: bool) -> None:
        self.store, self.taxonomy, self.all = store, taxonomy, include_sensitive
        self.hidden = 0

    def named(self, category: int) -> Named:
        found = self.taxonomy.categories[category]
        return Named(found.key, found.name)

    def ids(self, rows: list[int]) -> dict[int, str]:
        return dict(zip(rows, image_ids(self.store, rows), strict=True))

    def shown(self, items: Iterable[Item], of: Callable[[Item], Iterable[int]]) -> list[Item]:
        """Those items of which no category is sensitive."""
        kept = []
        for item in items:
            found = (self.taxonomy.categories[category] for category in of(item))
            if self.all or not any(category.sensitive for category in found):
                kept.append(item)
            else:
                self.hidden += 1
        return kept

    def pair(self, pair: Pair) -> PairRow:
        first, second = self.named(pair.first), self.named(pair.second)
        return PairRow(first, second, pair.together, pair.expected, pair.pmi)

    def contradictions(self, listed: list[Contradiction]) -> list[ContradictionRow]:
        ids = self.ids([one.row for one in listed])
        return [
            ContradictionRow(
                ids[one.row],
                one.row,
                one.kind,
                self.named(one.category),
                one.said_by,
                self.named(one.absent),
                one.denied_by,
            )
            for one in self.shown(listed, lambda one: (one.category, one.absent))
        ]

    def noise(self, found: LabelNoise, limit: int) -> NoiseReport:
        total = found.doubtful_count + found.missing_count
        worst = [c for c in np.argsort(-total, kind="stable")[:limit].tolist() if total[c]]
        return NoiseReport(
            found.images,
            found.categories,
            found.judged,
            int(found.doubtful_count.sum()),
            int(found.missing_count.sum()),
            [
                NoisyCategory(
                    self.named(c), int(found.doubtful_count[c]), int(found.missing_count[c])
                )
                for c in self.shown(worst, lambda c: (c,))
            ],
            self.issues(found.doubtful),
            self.issues(found.missing),
        )

    def issues(self, listed: list[Issue]) -> list[IssueRow]:
        ids = self.ids([one.row for one in listed])
        return [
            IssueRow(
                ids[one.row],
                one.row,
                self.named(one.category),
                one.probability,
                one.quality,
                self.named(one.below) if one.below >= 0 else None,
                self.named(one.seen) if one.seen >= 0 else None,
                one.seen_probability,
            )
            for one in self.shown(
                listed, lambda one: (c for c in (one.category, one.below, one.seen) if c >= 0)
            )
        ]
