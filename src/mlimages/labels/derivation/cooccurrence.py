"""Strongly co-occurring categories, after the paper's section on tag augmentation.

A network trained on the multi-label part predicts the single-label part. With N(i) the predicted
images of the single-label part tagged i, and N(i, j) those for which j is predicted with p > 0.95,

    CO(i, j) = N(i, j) / N(i)

and j co-occurs with i when CO(i, j) > 0.5 and no path joins them in the hierarchy: "sea snake" ->
"sea". Pairs are of categories; predictions for single images are never written as tags. The
network's part is done elsewhere (`mlimages predict`): this stage reads its predictions as a table.

Without a network the same is counted from tags alone (`tagged_pairs`): N(i) are the images of the
multi-label part tagged i, and N(i, j) those of them tagged j too. The single-label part is left
out: its images carry one tag by design, so that their silence about j says nothing. As unknown is
not absent in the multi-label part either, this CO is a lower bound.

Facts are taken part by part; what is kept of all of them is one number a tag of the counted images.
The counts are a dense block of causes x effects, never more than MOST_CELLS at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.labels.derivation.counting import (
    Causes,
    PairCounter,
    ascend,
    choose_probable,
    merge_facts,
)
from mlimages.labels.derivation.predictions import Predictions
from mlimages.labels.derivation.rules import Rules, derive_tags
from mlimages.labels.facts import check_range
from mlimages.labels.sparse import (
    Keys,
    categories_of,
    make_keys,
    related,
    rows_of,
    upward,
)
from mlimages.schemas import COOCCURRENCE
from mlimages.taxonomy.hierarchy import Hierarchy

THREADS = 2
MOST_CELLS = 1 << 26
"""Counts held at once by a thread: 4 bytes each."""
BATCH_TAGS = 1 << 20

Found = tuple[NDArray[np.int32], NDArray[np.int32]]  # rows, and what each shows


@dataclass(frozen=True)
class Labelled:
    """Images whose facts are counted: those of a partition.

    Attributes:
        first_row: row of the first image.
        facts: schemas.FACTS of these images.
        single: bool [images], see `absences.single_label_rows`.
    """

    first_row: int
    facts: pa.Table
    single: NDArray[np.bool_]


@dataclass(frozen=True)
class PairSearch:
    """The pairs found, and how many passed each filter.

    Attributes:
        pairs: schemas.COOCCURRENCE, by cause, then effect.
        counted_images: images that N(i) is counted over.
        filters: by name, in order; what each leaves of the one before.
            predictions: rows of the table of predictions.
            usable: about an image of the single-label part and a category of the other part.
            probable: with a probability above the minimum.
            tags: instead of these three, when no network was asked.
            observed: distinct pairs (i, j).
            frequent: with a ratio above the minimum, on enough images of i.
            unrelated: without a path between i and j: the rows of `pairs`.
    """

    pairs: pa.Table
    counted_images: int
    filters: dict[str, int]


@dataclass(frozen=True)
class _Gathered:
    """What is kept of the facts of all images.

    Attributes:
        causes: of the counted images.
        images_of: int64 [categories], N(i).
        effects: bool [categories]: those of the multi-label part.
        single, counted: bool [images].
    """

    causes: Causes
    images_of: NDArray[np.int64]
    effects: NDArray[np.bool_]
    single: NDArray[np.bool_]
    counted: NDArray[np.bool_]


def find_pairs(
    predictions: pa.Table | Path | str,
    parts: Sequence[Callable[[], Labelled]],
    num_rows: int,
    hierarchy: Hierarchy,
    rules: Rules,
) -> PairSearch:
    """Find the strongly co-occurring pairs by a network's predictions.

    Args:
        predictions: schemas.PREDICTIONS, or the path of such a Parquet file; a pair (row, category)
            given twice counts once. Only the images that its metadata lists (see `predicted_rows`)
            count in N(i); without metadata, every image of the single-label part does.
        parts: loads the facts of all images, in the order of their rows.
        num_rows: number of images.
        hierarchy: over the categories.
        rules: the thresholds, and which tags are counted: the causes i are categories of the
            single-label part, the effects j categories of the multi-label part.

    Raises:
        InputError: predictions lack a column, hold other values, or are of another database.
    """
    table = Predictions(predictions, num_rows, hierarchy.num_categories)
    said = _gather(parts, hierarchy, rules, table.seen)
    filters = dict.fromkeys(("predictions", "usable", "probable"), 0)
    lock = Lock()

    def choose(batch: pa.RecordBatch) -> Found:
        found = table.check(batch)
        rows, categories, usable = choose_probable(
            *found, said.single, said.effects, rules.minimum_probability
        )
        with lock:
            filters["predictions"] += len(found.rows)
            filters["usable"] += usable
            filters["probable"] += len(rows)
        return rows, categories

    def count(block: PairCounter) -> None:
        filters.update(dict.fromkeys(filters, 0))
        if not _count(block, table.batches(), choose, in_order=True):
            filters.update(dict.fromkeys(filters, 0))
            chosen = (make_keys(*choose(batch)) for batch in table.batches())
            keys = np.unique(np.concatenate([np.empty(0, np.int64), *chosen]))
            block.counts[:] = 0
            block.add(rows_of(keys), categories_of(keys))

    return _strong(said, hierarchy, rules, count, filters)


def tagged_pairs(
    parts: Sequence[Callable[[], Labelled]], hierarchy: Hierarchy, rules: Rules
) -> PairSearch:
    """Find the strongly co-occurring pairs by the tags of the multi-label part alone.

    Args:
        parts, hierarchy, rules: as in `find_pairs`.
    """
    said = _gather(parts, hierarchy, rules, None)
    causes = said.causes
    starts = np.searchsorted(causes.indptr, np.arange(0, len(causes.categories), BATCH_TAGS))
    bounds = np.append(starts, len(causes.indptr) - 1).tolist()

    def choose(bound: tuple[int, int]) -> Found:
        first, last = bound
        sizes = np.diff(causes.indptr[first : last + 1])
        rows = np.repeat(np.arange(first, last, dtype=np.int32), sizes)
        return rows, causes.categories[causes.indptr[first] : causes.indptr[last]]

    def count(block: PairCounter) -> None:
        _count(block, pairwise(bounds), choose, in_order=False)

    return _strong(said, hierarchy, rules, count, {"tags": len(causes.categories)})


def _gather(
    parts: Sequence[Callable[[], Labelled]],
    hierarchy: Hierarchy,
    rules: Rules,
    seen: NDArray[np.bool_] | None,
) -> _Gathered:
    upward(hierarchy)  # made once, before threads ask for it

    def take(load: Callable[[], Labelled]) -> _Gathered:
        part = load()
        size = len(part.single)
        check_range(part.facts, size, hierarchy)
        counted = part.single if rules.cooccurrence_from == "predictions" else ~part.single
        if seen is not None:
            counted = counted & seen[part.first_row : part.first_row + size]
        effects = np.zeros(hierarchy.num_categories, dtype=bool)
        if rules.cooccurrence_counts == "all":
            tags = derive_tags(part.facts, size, hierarchy)
            causes = Causes(tags.indptr, tags.categories)
        elif (
            counted.any()
            or part.single.any()
            or not pc.all(part.facts["present"], min_count=0).as_py()
        ):
            causes = merge_facts(part.facts, size, hierarchy)
        else:  # nothing is asked of this part but which categories there are
            effects[part.facts["category"].to_numpy()] = True
            causes = Causes(np.zeros(size + 1, np.int64), np.empty(0, np.int32))
        effects[causes.only(~part.single).categories] = True
        causes = causes.only(counted)
        images_of = np.bincount(causes.categories, minlength=hierarchy.num_categories)
        return _Gathered(causes, images_of, effects, part.single, counted)

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(take, parts))
    sizes = np.concatenate([np.diff(part.causes.indptr) for part in found])
    indptr = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=indptr[1:])
    return _Gathered(
        Causes(indptr, np.concatenate([part.causes.categories for part in found])),
        np.sum([part.images_of for part in found], axis=0),
        np.any([part.effects for part in found], axis=0),
        np.concatenate([part.single for part in found]),
        np.concatenate([part.counted for part in found]),
    )


def _count(
    block: PairCounter,
    batches: Iterable[Any],
    choose: Callable[[Any], Found],
    *,
    in_order: bool,
) -> bool:
    """Count all batches by a few threads; whether the pairs chosen ascend, if that is asked."""
    numbered, lock = enumerate(batches), Lock()
    ends: list[tuple[int, Keys]] = []

    def work(counter: PairCounter) -> bool:
        while True:
            with lock:
                number, batch = next(numbered, (-1, None))
            if number < 0:
                return True
            rows, categories = choose(batch)
            if in_order and len(rows):
                if not ascend(rows, categories):
                    return False
                ends.append((number, make_keys(rows[[0, -1]], categories[[0, -1]])))
            counter.add(rows, categories)

    counters = [block, *(block.empty() for _ in range(THREADS - 1))]
    with ThreadPoolExecutor(THREADS) as pool:
        ascending = all(list(pool.map(work, counters)))
    for other in counters[1:]:
        block.counts += other.counts
    flat = np.array([keys for _, keys in sorted(ends, key=lambda end: end[0])]).ravel()
    return ascending and bool(np.all(flat[2::2] > flat[1:-1:2]))


def _strong(
    said: _Gathered,
    hierarchy: Hierarchy,
    rules: Rules,
    count: Callable[[PairCounter], None],
    filters: dict[str, int],
) -> PairSearch:
    """Count pairs, a block of causes at a time, and keep the strong ones."""
    size = hierarchy.num_categories
    causes, effects = (np.flatnonzero(x).astype(np.int32) for x in (said.images_of, said.effects))
    blocks = -(-len(causes) * len(effects) // MOST_CELLS)
    observed, found = 0, []
    for cause_ids in np.array_split(causes, max(blocks, 1)):
        counter = PairCounter(said.causes, cause_ids, effects, size)
        count(counter)
        keys, counts = counter.pairs()
        observed += len(keys)
        images = said.images_of[rows_of(keys)]
        keep = (counts / images > rules.minimum_ratio) & (images >= rules.least_images)
        found.append((keys[keep], counts[keep], images[keep]))
    pairs, counts, images = (np.concatenate(column) for column in zip(*found, strict=True))
    apart = ~related(pairs, hierarchy)
    columns = (rows_of(pairs), categories_of(pairs), images, counts, counts / images)
    table = pa.table([column[apart] for column in columns], schema=COOCCURRENCE)
    filters |= {"observed": observed, "frequent": len(pairs), "unrelated": table.num_rows}
    return PairSearch(table, int(said.counted.sum()), filters)
