"""The rules of `rules.py` in numpy alone: for installations without the compiler of `build`.

Images are taken in blocks; in a block every (image, tag) of every support is one 64-bit key, and
what the support is worth one 64-bit rank. Sorting the keys brings a tag's supports together, and
the greatest rank among them is the strongest support.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.labels.absences import Absences
from mlimages.labels.derivation.ranks import ASSERTED as ASSERTED_RANK
from mlimages.labels.derivation.ranks import ITSELF, edges_of, make_ranks, supports_of
from mlimages.labels.facts import PresentFacts, present_facts
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
from mlimages.labels.tags import ANCESTOR, ASSERTED, COOCCURRENCE, Tags
from mlimages.taxonomy.hierarchy import Hierarchy

BLOCK_FACTS = 1 << 19  # facts a block: bounds memory, and keeps the sorts near the cache


@dataclass(frozen=True)
class _Supported:
    """Tags of some images, keys ascending and distinct, each with its strongest support."""

    keys: Keys
    ranks: NDArray[np.uint64]
    confidences: NDArray[np.float32]


def derive_tags(
    facts: pa.Table,
    num_rows: int,
    hierarchy: Hierarchy,
    cooccurrence: pa.Table | None,
    absences: Absences | None,
    causes: Literal["asserted", "all"],
) -> Tags:
    """See `rules.derive_tags`, which has checked the arguments."""
    said = present_facts(facts, hierarchy)
    effects = None
    if cooccurrence is not None and cooccurrence.num_rows:
        effects = _Effects(cooccurrence, hierarchy.num_categories)
    found = []
    for block in _blocks(said):
        tags = _close(block, hierarchy)
        if effects is not None:
            tags = _add_cooccurring(tags, block, hierarchy, effects, absences, causes)
        found.append(tags)
    return _to_tags(found, num_rows)


class _Effects:
    """Co-occurring pairs by cause, compressed."""

    def __init__(self, pairs: pa.Table, num_categories: int) -> None:
        keys = np.unique(make_keys(pairs["cause"].to_numpy(), pairs["effect"].to_numpy()))
        self.indptr = np.searchsorted(rows_of(keys), np.arange(num_categories + 1))
        self.effects = categories_of(keys)


def _blocks(said: PresentFacts) -> Iterator[PresentFacts]:
    """Cut the facts into blocks of whole images."""
    rows = said.rows
    begin = 0
    while begin < len(rows):
        last = rows[min(begin + BLOCK_FACTS, len(rows)) - 1]
        end = int(np.searchsorted(rows, last, side="right"))
        yield PresentFacts(said.keys[begin:end], said.confidences[begin:end])
        begin = end


def _close(said: PresentFacts, hierarchy: Hierarchy) -> _Supported:
    """Rule 1: the facts and all their ancestors."""
    table = upward(hierarchy)
    owner, place = expand(table.indptr, said.categories)
    edges = table.edges[place]
    confidences = said.confidences[owner]
    ranks = make_ranks(confidences, edges, said.categories[owner]) | ASSERTED_RANK
    itself = table.ancestors[place] == said.categories[owner]
    ranks[itself] |= ITSELF
    keys = make_keys(said.rows[owner], table.ancestors[place])
    return _strongest(keys, ranks, confidences)


def _add_cooccurring(
    tags: _Supported,
    said: PresentFacts,
    hierarchy: Hierarchy,
    effects: _Effects,
    absences: Absences | None,
    causes: Literal["asserted", "all"],
) -> _Supported:
    """Rules 2 and 3."""
    cause_keys = said.keys if causes == "asserted" else tags.keys
    cause_confidences = said.confidences if causes == "asserted" else tags.confidences
    owner, place = expand(effects.indptr, categories_of(cause_keys))
    keys = make_keys(rows_of(cause_keys)[owner], effects.effects[place])
    allowed = ~contains(tags.keys, keys)
    if absences is not None:
        allowed[allowed] = ~absences.forbid(keys[allowed], tags.keys, hierarchy)
    keys, owner = keys[allowed], owner[allowed]
    confidences = cause_confidences[owner]
    ranks = make_ranks(confidences, np.zeros(len(keys), np.uint8), categories_of(cause_keys)[owner])
    asserted = contains(said.keys, cause_keys[owner])
    ranks[asserted] |= ASSERTED_RANK
    added = _strongest(keys, ranks, confidences)

    table = upward(hierarchy)
    effect = categories_of(added.keys)
    owner, place = expand(table.indptr, effect)
    proper = table.edges[place] > 0
    owner, place = owner[proper], place[proper]
    above = make_keys(rows_of(added.keys)[owner], table.ancestors[place])
    above_confidences = added.confidences[owner]
    above_ranks = make_ranks(above_confidences, table.edges[place], effect[owner])
    return _strongest(
        np.concatenate([tags.keys, added.keys, above]),
        np.concatenate([tags.ranks, added.ranks, above_ranks]),
        np.concatenate([tags.confidences, added.confidences, above_confidences]),
    )


def _strongest(
    keys: Keys, ranks: NDArray[np.uint64], confidences: NDArray[np.float32]
) -> _Supported:
    """Bring the supports of each key together: the strongest rank, the greatest confidence."""
    # Images come in order and ancestors ascend, so the keys are long sorted runs: merging is fast.
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = group_starts(keys)
    if len(starts) == 0:
        return _Supported(keys, ranks, confidences)
    return _Supported(
        keys[starts],
        np.maximum.reduceat(ranks[order], starts),
        np.maximum.reduceat(confidences[order], starts),
    )


def _to_tags(blocks: list[_Supported], num_rows: int) -> Tags:
    keys = _joined([block.keys for block in blocks], np.int64)
    ranks = _joined([block.ranks for block in blocks], np.uint64)
    reasons = np.full(len(keys), ANCESTOR, dtype=np.int8)
    reasons[edges_of(ranks) == 0] = (
        COOCCURRENCE  # a support at the category itself that is not its own fact
    )
    reasons[ranks >= ITSELF] = ASSERTED
    return Tags(
        indptr=np.searchsorted(rows_of(keys), np.arange(num_rows + 1)).astype(np.int64),
        categories=categories_of(keys),
        confidences=_joined([block.confidences for block in blocks], np.float32),
        reasons=reasons,
        because=supports_of(ranks),
    )


def _joined(parts: list[NDArray], kind: type[np.generic]) -> NDArray:
    return np.concatenate(parts) if parts else np.empty(0, dtype=kind)
