"""A hierarchy over the categories 0..m-1 of a vocabulary: an acyclic graph, child -> parents.

A forest is the special case of one parent at most. Indices need not be in topological order: in the
released dictionary 9741 "water" comes before its parent 10348 "fluid".
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlimages.errors import CyclicHierarchyError, InputError

Indices = NDArray[np.int32]
LONGEST_CYCLE_SHOWN = 12


class Hierarchy:
    """An acyclic hierarchy in compressed rows; build it with `from_edges`.

    Attributes:
        num_categories: m, the size of the vocabulary.
        parents: (indptr int32[m+1], indices int32[edges]); the parents of i, ascending, are
            indices[indptr[i]:indptr[i+1]].
    """

    def __init__(self, num_categories: int, parents: tuple[Indices, Indices]) -> None:
        self.num_categories = num_categories
        self.parents = parents

    @classmethod
    def from_edges(
        cls,
        num_categories: int,
        child: ArrayLike,
        parent: ArrayLike,
        names: Sequence[str] | None = None,
    ) -> Hierarchy:
        """Build from edges int[edges]; an edge given twice counts once.

        Args:
            num_categories: m, the size of the vocabulary.
            child: category indices.
            parent: category indices, the same number of them.
            names: what error messages call the categories (their indices by default).

        Raises:
            CyclicHierarchyError: a category is its own ancestor; the message names the cycle.
            InputError: an index outside 0..m-1, or arrays of different lengths.
        """
        below = np.asarray(child, dtype=np.int64).reshape(-1)
        above = np.asarray(parent, dtype=np.int64).reshape(-1)
        if len(below) != len(above):
            counts = f"{len(below)} children, {len(above)} parents"
            raise InputError("hierarchy", counts, "give one parent for each child")
        for index in (below, above):
            wrong = index[(index < 0) | (index >= num_categories)]
            if len(wrong):
                raise InputError(
                    f"hierarchy edge to category {wrong[0]}",
                    f"out of range, there are {num_categories} categories",
                    "correct the edge",
                )
        hierarchy = cls(num_categories, _rows_of_pairs(below, above, num_categories))
        _check_acyclic(hierarchy, names)
        return hierarchy

    def __len__(self) -> int:
        return self.num_categories

    def parents_of(self, category: int) -> Indices:
        """Direct parents, ascending; empty for a root."""
        return _row(self.parents, self._checked(category))

    def children_of(self, category: int) -> Indices:
        """Direct children, ascending; empty for a leaf."""
        return _row(self._children, self._checked(category))

    def ancestors(self, category: int) -> Indices:
        """All categories above this one, itself excluded, ascending."""
        return _row(self.closure(), self._checked(category))

    def descendants(self, category: int) -> Indices:
        """All categories below this one, itself excluded, ascending."""
        return _row(self._reverse_closure, self._checked(category))

    def closure(self) -> tuple[NDArray[np.int64], Indices]:
        """The proper ancestors of every category: (indptr int64[m+1], indices int32[pairs])."""
        return self._closure

    def connected(self, first: int, second: int) -> bool:
        """Whether a path joins the two: equal, or one is an ancestor of the other."""
        first, second = self._checked(first), self._checked(second)
        return (
            first == second
            or _contains(self.ancestors(first), second)
            or _contains(self.ancestors(second), first)
        )

    @functools.cached_property
    def roots(self) -> Indices:
        """Categories without a parent, ascending."""
        return np.flatnonzero(np.diff(self.parents[0]) == 0).astype(np.int32)

    @functools.cached_property
    def leaves(self) -> Indices:
        """Categories without a child, ascending."""
        return np.flatnonzero(np.diff(self._children[0]) == 0).astype(np.int32)

    @functools.cached_property
    def depths(self) -> Indices:
        """Edges on the longest path from a root to each category: int32[m]."""
        depths = np.zeros(self.num_categories, np.int32)
        for depth, layer in enumerate(_layers(self)):
            depths[layer] = depth
        return depths

    def depth(self, category: int) -> int:
        """Edges on the longest path from a root."""
        return int(self.depths[self._checked(category)])

    def path(self, category: int) -> list[int]:
        """The longest path from a root to this category, root first; lower indices break ties."""
        path = [self._checked(category)]
        while len(parents := self.parents_of(path[-1])):
            deepest = parents[np.argmax(self.depths[parents])]  # the first of equals: the lowest
            path.append(int(deepest))
        return path[::-1]

    def paths(self, category: int) -> list[list[int]]:
        """Every path from a root to this category, root first; there can be many in a DAG."""
        above = [path for p in self.parents_of(category).tolist() for path in self.paths(p)]
        return [[*path, int(category)] for path in above] or [[int(category)]]

    def edges(self) -> tuple[Indices, Indices]:
        """(child, parent) of every edge, sorted by child, then parent."""
        indptr, indices = self.parents
        child = np.repeat(np.arange(self.num_categories, dtype=np.int32), np.diff(indptr))
        return child, indices

    @functools.cached_property
    def _closure(self) -> tuple[NDArray[np.int64], Indices]:
        """Walk up from all categories at once, one step a round, until no walk goes on."""
        size = self.num_categories
        descendant, ancestor = (side.astype(np.int64) for side in self.edges())
        found = [descendant * size + ancestor]
        while len(found[-1]):
            descendant, ancestor = np.divmod(found[-1], size)
            counts, above = _gather(self.parents, ancestor)
            # Without `unique` a walk through a lattice would count every path, not every pair.
            found.append(np.unique(np.repeat(descendant, counts) * size + above))
        indptr, indices = _rows_of_pairs(*np.divmod(np.concatenate(found), max(size, 1)), size)
        return indptr.astype(np.int64), indices

    @functools.cached_property
    def _reverse_closure(self) -> tuple[Indices, Indices]:
        indptr, ancestor = self._closure
        descendant = np.repeat(np.arange(self.num_categories, dtype=np.int64), np.diff(indptr))
        return _rows_of_pairs(ancestor.astype(np.int64), descendant, self.num_categories)

    @functools.cached_property
    def _children(self) -> tuple[Indices, Indices]:
        child, parent = (side.astype(np.int64) for side in self.edges())
        return _rows_of_pairs(parent, child, self.num_categories)

    def _checked(self, category: int) -> int:
        # numpy would take -1 as the last row and give a wrong answer without a word.
        if not 0 <= category < self.num_categories:
            raise InputError(
                f"category {category}",
                f"out of range, there are {self.num_categories} categories",
                "use an index from 0 on",
            )
        return int(category)


def _rows_of_pairs(
    row: NDArray[np.int64], item: NDArray[np.int64], size: int
) -> tuple[Indices, Indices]:
    """Pairs in any order -> (indptr, items ascending and distinct in each row)."""
    rows, items = np.divmod(np.unique(row * size + item), max(size, 1))
    indptr = np.zeros(size + 1, np.int32)
    np.cumsum(np.bincount(rows, minlength=size), out=indptr[1:])
    return indptr, items.astype(np.int32)


def _row(table: tuple[Indices | NDArray[np.int64], Indices], row: int) -> Indices:
    indptr, items = table
    return items[indptr[row] : indptr[row + 1]]


def _gather(
    table: tuple[Indices, Indices], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(length of each row, the rows' items one after the other)."""
    indptr, items = table
    counts = (indptr[rows + 1] - indptr[rows]).astype(np.int64)
    ends = np.cumsum(counts)
    within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
    return counts, items[np.repeat(indptr[rows], counts) + within].astype(np.int64)


def _contains(sorted_items: Indices, item: int) -> bool:
    place = int(np.searchsorted(sorted_items, item))
    return place < len(sorted_items) and int(sorted_items[place]) == item


def _layers(hierarchy: Hierarchy) -> list[NDArray[np.int64]]:
    """Kahn's algorithm: layer d holds the categories whose longest path from a root has d edges.

    Categories on a cycle, and those below one, are in no layer.
    """
    waiting = np.diff(hierarchy.parents[0]).astype(np.int64)
    layer = np.flatnonzero(waiting == 0)
    layers = []
    while len(layer):
        layers.append(layer)
        children = _gather(hierarchy._children, layer)[1]
        np.subtract.at(waiting, children, 1)
        layer = np.unique(children[waiting[children] == 0])
    return layers


def _check_acyclic(hierarchy: Hierarchy, names: Sequence[str] | None) -> None:
    placed = np.zeros(hierarchy.num_categories, bool)
    for layer in _layers(hierarchy):
        placed[layer] = True
    if placed.all():
        return
    # Every unplaced category has an unplaced parent, so the walk up must come back to itself.
    category = int(np.flatnonzero(~placed)[0])
    walk: dict[int, int] = {}  # category -> step
    while category not in walk:
        walk[category] = len(walk)
        parents = hierarchy.parents_of(category)
        category = int(parents[~placed[parents]][0])
    cycle = [*list(walk)[walk[category] :], category]
    shown = [str(names[i]) if names is not None else str(i) for i in cycle]
    if len(shown) > LONGEST_CYCLE_SHOWN:
        shown = [*shown[: LONGEST_CYCLE_SHOWN - 2], "...", shown[-1]]
    raise CyclicHierarchyError(
        "hierarchy", "cycle " + " -> ".join(shown), "correct one of these parents"
    )
