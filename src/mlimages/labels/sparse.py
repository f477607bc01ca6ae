"""Sparse (image, category) sets as sorted 64-bit keys, and the few array operations on them."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from mlimages.errors import InputError
from mlimages.taxonomy.hierarchy import Hierarchy

Keys = NDArray[np.int64]
CATEGORY_BITS = 24
MOST_CATEGORIES = 1 << CATEGORY_BITS


def make_keys(rows: NDArray, categories: NDArray) -> Keys:
    """(row, category) -> int64 key whose order is row, then category."""
    return (rows.astype(np.int64) << CATEGORY_BITS) | categories.astype(np.int64)


def rows_of(keys: Keys) -> NDArray[np.int32]:
    """The rows of keys."""
    return (keys >> CATEGORY_BITS).astype(np.int32)


def categories_of(keys: Keys) -> NDArray[np.int32]:
    """The categories of keys."""
    return (keys & (MOST_CATEGORIES - 1)).astype(np.int32)


def contains(sorted_keys: NDArray[np.integer], keys: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Which of `keys` are among `sorted_keys` (ascending)."""
    if len(sorted_keys) == 0:
        return np.zeros(len(keys), dtype=bool)
    place = np.searchsorted(sorted_keys, keys)
    return sorted_keys[np.minimum(place, len(sorted_keys) - 1)] == keys


def expand(indptr: NDArray, rows: NDArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Look up rows of a compressed table.

    Args:
        indptr: int[n + 1], starts of the table's rows.
        rows: int[k], rows to look up, in any order.

    Returns:
        owner: for each item found, the position in `rows` it was found for, ascending.
        place: the item's position in the table.
    """
    start = indptr[rows].astype(np.int64)
    counts = indptr[rows + 1].astype(np.int64) - start
    ends = np.cumsum(counts)
    owner = np.repeat(np.arange(len(rows), dtype=np.int64), counts)
    place = np.arange(int(ends[-1]) if len(ends) else 0, dtype=np.int64)
    place += np.repeat(start - (ends - counts), counts)
    return owner, place


def group_starts(sorted_keys: Keys) -> NDArray[np.int64]:
    """Positions where a new key begins, in keys that are ascending with repetitions."""
    fresh = np.ones(len(sorted_keys), dtype=bool)
    np.not_equal(sorted_keys[1:], sorted_keys[:-1], out=fresh[1:])
    return np.flatnonzero(fresh)


class Upward:
    """Every category with itself and its ancestors, and how many edges away they are.

    Attributes:
        indptr: int64 [categories + 1].
        ancestors: int32 [pairs], the category itself included.
        edges: uint8 [pairs], length of the shortest path; 255 stands for 255 and more.
    """

    def __init__(self, hierarchy: Hierarchy) -> None:
        size = hierarchy.num_categories
        if size >= MOST_CATEGORIES:
            raise InputError("hierarchy", f"{size:,} categories", f"use under {MOST_CATEGORIES:,}")
        indptr, parents = hierarchy.parents
        everything = np.arange(size, dtype=np.int64)
        found = [make_keys(everything, everything)]
        while len(found[-1]):
            owner, place = expand(indptr, categories_of(found[-1]))
            found.append(np.unique(make_keys(rows_of(found[-1])[owner], parents[place])))
        rounds = np.repeat(np.arange(len(found)).clip(max=255), [len(keys) for keys in found])
        keys = np.concatenate(found)
        order = np.argsort(keys, kind="stable")
        # A pair is met first in the round of its shortest path; the sort keeps that one in front.
        order = order[group_starts(keys[order])]
        rows = rows_of(keys[order])
        self.indptr = np.searchsorted(rows, np.arange(size + 1)).astype(np.int64)
        self.ancestors = categories_of(keys[order])
        self.edges = rounds[order].astype(np.uint8)


@functools.lru_cache(maxsize=4)
def upward(hierarchy: Hierarchy) -> Upward:
    """The `Upward` table of a hierarchy, kept for the next call."""
    return Upward(hierarchy)


def related(pairs: Keys, hierarchy: Hierarchy) -> NDArray[np.bool_]:
    """Which keys (i, j) of two categories a path joins: equal, or one an ancestor of the other."""
    table = upward(hierarchy)
    sizes = np.diff(table.indptr)
    known = make_keys(np.repeat(np.arange(len(sizes)), sizes), table.ancestors)
    first, second = rows_of(pairs), categories_of(pairs)
    return contains(known, pairs) | contains(known, make_keys(second, first))
