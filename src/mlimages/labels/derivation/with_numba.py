"""Deriving tags by compiled kernels: what `kernels.py` is given, and what it gives."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.labels.absences import Absences
from mlimages.labels.derivation.fact_rows import FactRows
from mlimages.labels.derivation.kernel_arrays import (
    Closure,
    Known,
    Merging,
    Output,
    Pairs,
    Scratch,
)
from mlimages.labels.derivation.kernels import derive
from mlimages.labels.derivation.ranks import EDGES_SHIFT, MOST_EDGES
from mlimages.labels.sparse import (
    MOST_CATEGORIES,
    Upward,
    categories_of,
    expand,
    make_keys,
    upward,
)
from mlimages.labels.tags import Tags
from mlimages.taxonomy.hierarchy import Hierarchy

MOST_TAGS = 1 << 27
"""Tags of a block of images at most, before those that meet are merged."""


def derive_tags(
    facts: pa.Table,
    num_rows: int,
    hierarchy: Hierarchy,
    cooccurrence: pa.Table | None,
    absences: Absences | None,
    causes: Literal["asserted", "all"],
) -> Tags:
    """See `rules.derive_tags`, which has checked the arguments."""
    table, every, size = upward(hierarchy), causes == "all", hierarchy.num_categories
    rows = FactRows.from_table(facts, num_rows)
    indptr, effects = _effects(cooccurrence, size)
    pairs = Pairs(indptr, effects, _acting(table, indptr, every), every)
    known, reach = _known(absences, num_rows), np.minimum(_reach(table, pairs), size)
    bounds = _cut(rows, reach, size)
    found = [
        _derive_block(rows, known, first, last, reach, _closure(table), pairs)
        for first, last in pairwise(bounds)
    ]
    return found[0] if len(found) == 1 else _joined(found)


def _cut(rows: FactRows, reach: NDArray[np.int64], size: int) -> list[int]:
    """Where to cut the images into blocks, so that none has far more than MOST_TAGS tags."""
    images = len(rows.indptr) - 1
    if _most_tags(rows.categories, reach) <= MOST_TAGS:
        return [0, images]
    sums = np.concatenate([[0], np.cumsum(reach[rows.categories])])
    most = np.cumsum(np.minimum(np.diff(sums[rows.indptr]), size))
    cuts = np.searchsorted(most, np.arange(MOST_TAGS, most[-1], MOST_TAGS), side="right")
    return np.unique([0, *cuts.tolist(), images]).tolist()


def _most_tags(categories: NDArray[np.int32], reach: NDArray[np.int64]) -> int:
    return int(np.bincount(categories, minlength=len(reach)) @ reach)


def _derive_block(
    rows: FactRows,
    known: Known,
    first: int,
    last: int,
    reach: NDArray[np.int64],
    closure: Closure,
    pairs: Pairs,
) -> Tags:
    """The tags of the images first..last - 1."""
    size = len(closure.indptr) - 1
    facts = rows.categories[rows.indptr[first] : rows.indptr[last]]
    # Memory that is never written to is never taken: the bound may be generous.
    bound = min(_most_tags(facts, reach), (last - first) * size)
    output = Output(
        indptr=np.zeros(last - first + 1, np.int64),
        categories=np.empty(bound, np.int32),
        confidences=np.empty(bound, np.uint32),
        reasons=np.empty(bound, np.int8),
        because=np.empty(bound, np.int32),
    )
    derive(
        rows._replace(indptr=rows.indptr[first : last + 1]),
        closure,
        pairs,
        known._replace(indptr=known.indptr[first : last + 1], groups=known.groups[first:last]),
        Merging.of(size),
        Scratch.of(size),
        output,
    )
    end = output.indptr[-1]
    return Tags(
        indptr=output.indptr,
        categories=output.categories[:end],
        confidences=output.confidences[:end].view(np.float32),
        reasons=output.reasons[:end],
        because=output.because[:end],
    )


def _joined(blocks: list[Tags]) -> Tags:
    sizes = np.concatenate([np.diff(block.indptr) for block in blocks])
    return Tags(
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        np.concatenate([block.categories for block in blocks]),
        np.concatenate([block.confidences for block in blocks]),
        np.concatenate([block.reasons for block in blocks]),
        np.concatenate([block.because for block in blocks]),
    )


def _closure(table: Upward) -> Closure:
    steps = (MOST_EDGES - table.edges.astype(np.uint64)) << EDGES_SHIFT
    return Closure(table.indptr, table.ancestors, steps.astype(np.uint32))


def _effects(pairs: pa.Table | None, size: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Co-occurring pairs by cause, in compressed rows."""
    if pairs is None:
        return np.zeros(size + 1, np.int64), np.empty(0, np.int32)
    keys = np.unique(make_keys(pairs["cause"].to_numpy(), pairs["effect"].to_numpy()))
    return _compressed(keys, size)


def _compressed(keys: NDArray[np.int64], rows: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Sorted keys in compressed rows."""
    return np.searchsorted(keys, np.arange(rows + 1) * MOST_CATEGORIES), categories_of(keys)


def _known(absences: Absences | None, num_rows: int) -> Known:
    if absences is None:
        nothing = np.empty(0, dtype=np.int64)
        absences = Absences(nothing, np.zeros(num_rows, np.int32), nothing)
    groups = int(absences.groups.max()) + 1 if num_rows else 0
    denied, silent = (
        _compressed(absences.verified, num_rows),
        _compressed(absences.exhaustive, groups),
    )
    return Known(*denied, absences.groups, *silent)


def _reach(table: Upward, pairs: Pairs) -> NDArray[np.int64]:
    """int64 [categories]: the most tags that one fact about a category can add."""
    above = np.diff(table.indptr)
    size = len(above)
    owner, place = expand(pairs.indptr, np.arange(size))
    added = np.bincount(owner, weights=above[pairs.effects[place]], minlength=size)
    if pairs.every:
        owner, place = expand(table.indptr, np.arange(size))
        added = np.bincount(owner, weights=added[table.ancestors[place]], minlength=size)
    return above + added.astype(np.int64)


def _acting(table: Upward, indptr: NDArray[np.int64], every: bool) -> NDArray[np.bool_]:
    """bool [categories]: whether a fact about a category can cause anything."""
    causes = np.diff(indptr) > 0
    if every:
        owner, place = expand(table.indptr, np.arange(len(causes)))
        causes = np.bincount(owner, causes[table.ancestors[place]], len(causes)) > 0
    return causes
