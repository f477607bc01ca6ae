"""Splitting a database into training and validation images, a partition at a time.

Everything is keyed by image ids and a seed: row numbers and the order of imports do not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.errors import InputError, nearest
from mlimages.labels.lookup import NO_SPLIT, left_out, removed, split_codes
from mlimages.labels.splits.stratification import (
    Deviation,
    Ledger,
    measure_deviation,
    offered,
    rarest_first,
    take_from_group,
)
from mlimages.labels.tag_blocks import tag_blocks, tags_of_rows
from mlimages.progress import track
from mlimages.schemas import SPLITS
from mlimages.store import Store

TRAIN, VALIDATION = "train", "validation"
_ROWS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class SplitReport:
    """What a split gave; images = train + validation + untouched + duplicates + removed.

    Attributes:
        images: all images.
        train, validation: images of these splits, those that were kept as they are included.
        kept: of these, images of sources whose split was kept.
        untouched: images of other splits, such as test.
        duplicates: images that another one stands for; each is in the split of that one.
        removed: images removed on request; they stay where they are.
        categories: categories with images in the two splits.
        stratified: this split's deviation.
        random: that of a random split of the same share and seed, for comparison.
    """

    images: int
    train: int
    validation: int
    kept: int
    untouched: int
    duplicates: int
    removed: int
    categories: int
    stratified: Deviation
    random: Deviation


@dataclass(frozen=True)
class _Plan:
    """What each image is, by row."""

    names: list[str]  # of the splits that there are
    codes: NDArray[np.int16]  # places in `names`
    hashes: NDArray[np.uint64]
    away: NDArray[np.bool_]  # duplicates, and images removed on request
    removed: NDArray[np.bool_]
    free: NDArray[np.bool_]  # to be dealt out
    kept_train: NDArray[np.bool_]
    kept_validation: NDArray[np.bool_]

    @property
    def kept(self) -> NDArray[np.bool_]:
        """bool [images]: in train or validation already, and to stay there."""
        return self.kept_train | self.kept_validation


def split_images(
    store: Store,
    num_categories: int,
    validation: float,
    seed: int = 0,
    minimum: int = 1,
    keep: Sequence[str] = (),
) -> tuple[pa.Table, SplitReport]:
    """Deal the images of `train`, `validation` and no split out anew; other splits stay.

    Args:
        store: the database, with current tags.
        num_categories: size of its vocabulary.
        validation: share of the images for validation, more than 0 and at most a half.
        seed: another one gives another split.
        minimum: validation images of each category whose share is half of that or more.
        keep: sources whose images stay in the split that they are in; they count as dealt out.

    Returns:
        schemas.SPLITS of all images that are in a split, and the report.

    Raises:
        InputError: a share or a minimum out of range, or an unknown source.
    """
    _check(store, validation, minimum, keep)
    plan = _plan(store, seed, keep)
    in_play = plan.free | plan.kept
    by_chance = plan.kept_validation | (plan.free & (plan.hashes < validation * 2.0**64))
    sizes, taken, decided, chance = _count(
        store, num_categories, (in_play, plan.kept_validation, plan.kept, by_chance)
    )
    ledger = Ledger(validation, sizes, decided.astype(np.float64), taken)
    group = _group_by_rarest(store, sizes, plan)
    chosen = plan.kept_validation.copy()
    chosen[_take(store, ledger, plan, group, minimum)] = True
    untagged = np.flatnonzero(plan.free & (group < 0))
    untagged = untagged[np.argsort(plan.hashes[untagged], kind="stable")]
    chosen[untagged[: round(validation * len(untagged))]] = True

    images, away, gone = (int(chosen.sum()) for chosen in (in_play, plan.away, plan.removed))
    report = SplitReport(
        images=len(chosen),
        train=images - int(chosen.sum()),
        validation=int(chosen.sum()),
        kept=int(plan.kept.sum()),
        untouched=len(chosen) - images - away,
        duplicates=away - gone,
        removed=gone,
        categories=int(np.count_nonzero(sizes)),
        stratified=measure_deviation(sizes, ledger.taken, images, int(chosen.sum()), validation),
        random=measure_deviation(sizes, chance, images, int(by_chance.sum()), validation),
    )
    return _table(store, plan, in_play, chosen), report


def _check(store: Store, validation: float, minimum: int, keep: Sequence[str]) -> None:
    if not 0 < validation <= 0.5:
        raise InputError("validation", f"{validation:g}", "use more than 0 and at most 0.5")
    if minimum < 0:
        raise InputError("minimum", f"{minimum}", "use 0 or more")
    known = store.table("sources", ["source"])["source"].to_pylist()
    for name in keep:
        if name not in known:
            raise InputError(name, "no such source in the database", nearest(name, known))


def _plan(store: Store, seed: int, keep: Sequence[str]) -> _Plan:
    names, codes = split_codes(store)
    away = left_out(store)
    hashes = np.zeros(len(away), np.uint64)
    kept = np.zeros(len(away), dtype=bool)
    for number in track(store.partitions("images"), "reading ids", unit="partitions"):
        table = store.table("images", ["row", "id", *(["sources"] if keep else [])], number)
        rows = table["row"].to_numpy()
        hashes[rows] = hash_ids(table["id"], seed)
        if keep:
            said_by = table["sources"].combine_chunks()
            hit = pc.is_in(said_by.flatten(), pa.array(list(keep))).to_numpy(zero_copy_only=False)
            kept[rows[said_by.value_parent_indices().to_numpy()[hit]]] = True
    of_train = codes == (names.index(TRAIN) if TRAIN in names else len(names))
    of_validation = codes == (names.index(VALIDATION) if VALIDATION in names else len(names))
    free = (of_train | of_validation | (codes == NO_SPLIT)) & ~away & ~kept
    return _Plan(
        names,
        codes,
        hashes,
        away,
        removed(store),
        free,
        kept & of_train & ~away,
        kept & of_validation & ~away,
    )


def hash_ids(ids: pa.ChunkedArray, seed: int) -> NDArray[np.uint64]:
    """uint64 [ids]: a hash of each text and a seed, the same on every machine.

    The bytes, each replaced by a random word, are the coefficients of a polynomial modulo 2^64;
    the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) spreads its value.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    words = generator.integers(0, 1 << 64, 256, np.uint64)
    base = generator.integers(0, 1 << 64, dtype=np.uint64) | np.uint64(1)
    text = ids.combine_chunks().cast(pa.large_binary())
    lengths = pc.binary_length(text).to_numpy(zero_copy_only=False)
    content = np.frombuffer(b"".join(text.to_pylist()), np.uint8)
    starts = np.cumsum(lengths) - lengths
    powers = np.full(int(lengths.max(initial=0)) + 1, base)
    powers[0] = 1
    powers = np.cumprod(powers, dtype=np.uint64)
    value = np.zeros(len(lengths), np.uint64)
    if len(content):
        terms = words[content] * powers[np.arange(len(content)) - np.repeat(starts, lengths)]
        value[lengths > 0] = np.add.reduceat(terms, starts[lengths > 0])
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        value = (value ^ (value >> np.uint64(shift))) * np.uint64(factor)
    return value


def _count(
    store: Store, num_categories: int, chosen: Sequence[NDArray[np.bool_]]
) -> NDArray[np.int64]:
    """int64 [choices, categories]: tags of the chosen images, of each choice in one pass."""
    total = np.zeros((len(chosen), num_categories), np.int64)
    some = [place for place, images in enumerate(chosen) if images.any()]
    for block in tag_blocks(store, "counting categories"):
        lengths = np.diff(block.indptr)
        for place in some:
            own = np.repeat(chosen[place][block.rows], lengths)
            total[place] += np.bincount(block.categories[own], minlength=num_categories)
    return total


def _group_by_rarest(store: Store, sizes: NDArray[np.int64], plan: _Plan) -> NDArray[np.int32]:
    """int32 [images]: place in `rarest_first` of the rarest tag; -1 without tags or not free."""
    places = np.full(len(sizes), -1, np.int32)
    order = rarest_first(sizes)
    places[order] = np.arange(len(order))
    group = np.full(len(plan.free), -1, np.int32)
    for block in tag_blocks(store, "grouping images"):
        tagged = np.diff(block.indptr) > 0
        starts = block.indptr[:-1][tagged]
        if len(starts):
            group[block.rows[tagged]] = np.minimum.reduceat(places[block.categories], starts)
    group[~plan.free] = -1
    return group


def _take(
    store: Store, ledger: Ledger, plan: _Plan, group: NDArray[np.int32], minimum: int
) -> NDArray[np.int64]:
    """Rows taken for validation, group by group; changes the ledger."""
    order = rarest_first(ledger.sizes)
    counts = np.bincount(group[group >= 0], minlength=len(order))
    candidates, indptr = _candidates(
        plan, group, counts, offered(ledger.sizes[order], ledger.share)
    )
    tags = tags_of_rows(store, np.sort(candidates))
    place_of = np.argsort(np.argsort(candidates, kind="stable"), kind="stable")
    chosen = []
    for place in track(np.flatnonzero(counts).tolist(), "dealing out", unit="categories"):
        positions = np.arange(indptr[place], indptr[place + 1])
        own = tags.take(place_of[positions])
        category = int(order[place])
        taken = take_from_group(
            ledger, category, int(counts[place]), own.categories, own.indptr, minimum
        )
        chosen.append(candidates[positions[taken]])
    return np.concatenate(chosen) if chosen else np.empty(0, np.int64)


def _candidates(
    plan: _Plan, group: NDArray[np.int32], counts: NDArray[np.int64], most: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows with the least hashes of each group, group by group, and where each group begins."""
    # Hashes are uniform: a few more than wanted lie below the wanted share; only those are sorted.
    below = np.minimum((most + 10 * np.sqrt(most) + 20) / np.maximum(counts, 1), 1.0) * 2.0**64
    found = []
    for start in range(0, len(group), _ROWS_AT_ONCE):
        own = np.flatnonzero(group[start : start + _ROWS_AT_ONCE] >= 0) + start
        found.append(own[plan.hashes[own] < below[group[own]]])
    rows = np.concatenate([np.empty(0, np.int64), *found])
    rows = rows[np.argsort(plan.hashes[rows], kind="stable")]
    rows = rows[np.argsort(group[rows], kind="stable")]
    have = np.bincount(group[rows], minlength=len(counts))
    within = np.arange(len(rows)) - np.repeat(np.cumsum(have) - have, have)
    rows = rows[within < np.repeat(most, have)]
    return rows, np.concatenate([[0], np.cumsum(np.minimum(have, most))])


def _table(
    store: Store, plan: _Plan, in_play: NDArray[np.bool_], chosen: NDArray[np.bool_]
) -> pa.Table:
    """schemas.SPLITS; a duplicate is where the image is that stands for it."""
    names = [*plan.names, TRAIN, VALIDATION]
    codes = plan.codes.copy()
    codes[in_play] = names.index(TRAIN)
    codes[chosen] = names.index(VALIDATION)
    duplicates = store.table("duplicates", ["row", "kept"])
    codes[duplicates["row"].to_numpy()] = codes[duplicates["kept"].to_numpy()]
    rows = np.flatnonzero(codes != NO_SPLIT)
    texts = pa.DictionaryArray.from_arrays(pa.array(codes[rows]), pa.array(names, pa.string()))
    return pa.table([pa.array(rows.astype(np.int32)), texts.cast(pa.string())], schema=SPLITS)
