"""The rules that derive tags from facts: ancestors, and co-occurring categories.

For one image, with F the categories that a source said are present:

1. Every category of F is a tag, and so is every ancestor of one; an ancestor's confidence is the
   greatest of all categories of F at or below it.
2. For each strongly co-occurring pair (i, j) of `cooccurrence.py` with i in F and j not yet a tag,
   j becomes a tag with the confidence of i, unless the image is known not to show j (`Absences`).
   Such a tag never causes another one.
3. Every ancestor of these new tags becomes a tag, as in 1.

A correction outranks all sources (`present_facts`).

Nothing here is of size images x categories. Images are taken in blocks; in a block every (image,
tag) of every support is one 64-bit key, and what the support is worth one 64-bit rank. Sorting the
keys brings a tag's supports together, and the greatest rank among them is the strongest support.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.errors import InputError
from mlimages.labels.absences import Absences, absent_categories
from mlimages.labels.facts import PresentFacts, present_facts
from mlimages.labels.sparse import (
    CATEGORY_BITS,
    MOST_CATEGORIES,
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

__all__ = ["Absences", "Rules", "Tags", "absent_categories", "derive_tags"]

BLOCK_FACTS = 1 << 19  # facts a block: bounds memory, and keeps the sorts near the cache

# A rank is one uint64 whose order is "the tag itself, then asserted, then confidence, then fewest
# edges, then lowest id": 1 bit, 1 bit, 30 bits, 8 bits of 255 - edges, 24 bits of 2^24 - 1 - id.
# The bit pattern of a float32 in [0, 1] has 30 bits and the order of the numbers.
_ITSELF = np.uint64(1 << 63)
_ASSERTED = np.uint64(1 << 62)
_CONFIDENCE_SHIFT = np.uint64(32)
_EDGES_SHIFT = np.uint64(CATEGORY_BITS)
_MOST_EDGES = np.uint64(255)
_LAST_CATEGORY = np.uint64(MOST_CATEGORIES - 1)


@dataclass(frozen=True)
class Rules:
    """How tags are derived; the defaults are the paper's.

    Attributes:
        hierarchy: "tencent" (the released forest) or "wordnet" (all hypernyms).
        minimum_probability: a prediction counts when its probability is greater.
        minimum_ratio: a pair co-occurs when CO(i, j) is greater.
        cooccurrence_counts: which tags are counted as causes, and act as causes: "asserted" only,
            or "all" (their ancestors too).

    Raises:
        InputError: a value out of range.
    """

    hierarchy: Literal["tencent", "wordnet"] = "tencent"
    minimum_probability: float = 0.95
    minimum_ratio: float = 0.5
    cooccurrence_counts: Literal["asserted", "all"] = "asserted"

    def __post_init__(self) -> None:
        for name in ("minimum_probability", "minimum_ratio"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise InputError(
                    name.replace("_", " "), f"{value}", "use 0 or more and less than 1"
                )
        for name, known in (
            ("hierarchy", ("tencent", "wordnet")),
            ("cooccurrence_counts", ("asserted", "all")),
        ):
            if getattr(self, name) not in known:
                what = name.replace("_", " ")
                raise InputError(what, f"{getattr(self, name)!r}", f"use {' or '.join(known)}")


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
    cooccurrence: pa.Table | None = None,
    absences: Absences | None = None,
    causes: Literal["asserted", "all"] = "asserted",
) -> Tags:
    """Derive the tags of all images: a pure function, whatever the order of its inputs' rows.

    Args:
        facts: schemas.FACTS.
        num_rows: number of images; facts are about rows 0..num_rows - 1.
        hierarchy: over the categories.
        cooccurrence: schemas.COOCCURRENCE, pairs of cause and effect.
        absences: what is known to be absent (`absent_categories`); only co-occurrence asks it.
        causes: as `Rules.cooccurrence_counts`.

    Raises:
        InputError: a fact about an image or a category that is not there.
    """
    said = present_facts(facts, hierarchy)
    if len(said.keys) and (said.rows[0] < 0 or said.rows[-1] >= num_rows):
        raise InputError("facts", f"one is about an image not in 0..{num_rows - 1}", "correct them")
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
    ranks = _ranks(confidences, edges, said.categories[owner]) | _ASSERTED
    itself = table.ancestors[place] == said.categories[owner]
    ranks[itself] |= _ITSELF
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
    ranks = _ranks(confidences, np.zeros(len(keys), np.uint8), categories_of(cause_keys)[owner])
    asserted = contains(said.keys, cause_keys[owner])
    ranks[asserted] |= _ASSERTED
    added = _strongest(keys, ranks, confidences)

    table = upward(hierarchy)
    effect = categories_of(added.keys)
    owner, place = expand(table.indptr, effect)
    proper = table.edges[place] > 0
    owner, place = owner[proper], place[proper]
    above = make_keys(rows_of(added.keys)[owner], table.ancestors[place])
    above_confidences = added.confidences[owner]
    above_ranks = _ranks(above_confidences, table.edges[place], effect[owner])
    return _strongest(
        np.concatenate([tags.keys, added.keys, above]),
        np.concatenate([tags.ranks, added.ranks, above_ranks]),
        np.concatenate([tags.confidences, added.confidences, above_confidences]),
    )


def _ranks(
    confidences: NDArray[np.float32], edges: NDArray[np.uint8], support: NDArray[np.int32]
) -> NDArray[np.uint64]:
    ranks = confidences.view(np.uint32).astype(np.uint64) << _CONFIDENCE_SHIFT
    ranks |= (_MOST_EDGES - edges.astype(np.uint64)) << _EDGES_SHIFT
    ranks |= _LAST_CATEGORY - support.astype(np.uint64)
    return ranks


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
    edges = _MOST_EDGES - ((ranks >> _EDGES_SHIFT) & _MOST_EDGES)
    reasons = np.full(len(keys), ANCESTOR, dtype=np.int8)
    reasons[edges == 0] = COOCCURRENCE  # a support at the category itself that is not its own fact
    reasons[ranks >= _ITSELF] = ASSERTED
    return Tags(
        indptr=np.searchsorted(rows_of(keys), np.arange(num_rows + 1)).astype(np.int64),
        categories=categories_of(keys),
        confidences=_joined([block.confidences for block in blocks], np.float32),
        reasons=reasons,
        because=(_LAST_CATEGORY - (ranks & _LAST_CATEGORY)).astype(np.int32),
    )


def _joined(parts: list[NDArray], kind: type[np.generic]) -> NDArray:
    return np.concatenate(parts) if parts else np.empty(0, dtype=kind)
