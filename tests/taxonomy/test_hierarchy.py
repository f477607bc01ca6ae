"""Hierarchies against a slow twin that follows the definition with sets."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlimages.errors import CyclicHierarchyError, InputError
from mlimages.taxonomy.hierarchy import Hierarchy


class SlowHierarchy:
    """The definitions, literally."""

    def __init__(self, size: int, edges: set[tuple[int, int]]) -> None:
        self.parents = {i: sorted(p for c, p in edges if c == i) for i in range(size)}
        self.children = {i: sorted(c for c, p in edges if p == i) for i in range(size)}

    def reachable(self, start: int, links: dict[int, list[int]]) -> list[int]:
        found = set(links[start])
        for item in links[start]:
            found |= set(self.reachable(item, links))
        return sorted(found)

    def paths(self, category: int) -> list[list[int]]:
        if not self.parents[category]:
            return [[category]]
        return [[*path, category] for p in self.parents[category] for path in self.paths(p)]


@st.composite
def acyclic(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """Any DAG on up to 9 categories, edges perhaps twice, indices in no particular order."""
    size = draw(st.integers(1, 9))
    rank = draw(st.permutations(range(size)))
    pairs = [(i, j) for i in range(size) for j in range(size) if rank[i] > rank[j]]
    edges = draw(st.lists(st.sampled_from(pairs), max_size=16)) if pairs else []
    return size, edges


def build(size: int, edges: list[tuple[int, int]]) -> Hierarchy:
    return Hierarchy.from_edges(size, [c for c, _ in edges], [p for _, p in edges])


@settings(max_examples=150, deadline=None)
@given(acyclic())
def test_every_question_has_the_answer_of_the_definition(
    graph: tuple[int, list[tuple[int, int]]],
) -> None:
    size, edges = graph
    fast, slow = build(size, edges), SlowHierarchy(size, set(edges))
    indptr, indices = fast.closure()
    assert indptr.dtype == np.int64
    assert indices.dtype == np.int32
    for i in range(size):
        ancestors = slow.reachable(i, slow.parents)
        assert fast.parents_of(i).tolist() == slow.parents[i]
        assert fast.children_of(i).tolist() == slow.children[i]
        assert fast.ancestors(i).tolist() == ancestors
        assert indices[indptr[i] : indptr[i + 1]].tolist() == ancestors
        assert fast.descendants(i).tolist() == slow.reachable(i, slow.children)
        paths = slow.paths(i)
        assert sorted(fast.paths(i)) == sorted(paths)
        assert fast.depth(i) == max(map(len, paths)) - 1
        assert fast.path(i) in paths
        assert len(fast.path(i)) == fast.depth(i) + 1
        for j in range(size):
            joined = i == j or j in ancestors or i in slow.reachable(j, slow.parents)
            assert fast.connected(i, j) == joined
    assert fast.roots.tolist() == [i for i in range(size) if not slow.parents[i]]
    assert fast.leaves.tolist() == [i for i in range(size) if not slow.children[i]]
    assert set(zip(*(side.tolist() for side in fast.edges()), strict=True)) == set(edges)


@settings(max_examples=100, deadline=None)
@given(acyclic(), st.data())
def test_closing_any_path_is_named_as_a_cycle(
    graph: tuple[int, list[tuple[int, int]]], data: st.DataObject
) -> None:
    size, edges = graph
    hierarchy = build(size, edges)
    below = data.draw(st.integers(0, size - 1))
    above = data.draw(st.sampled_from([below, *hierarchy.ancestors(below).tolist()]))
    closed = [*edges, (above, below)]
    with pytest.raises(CyclicHierarchyError) as caught:
        build(size, closed)
    cycle = [int(word) for word in caught.value.cause.removeprefix("cycle ").split(" -> ")]
    assert cycle[0] == cycle[-1]
    assert len(set(cycle)) == len(cycle) - 1
    assert set(itertools.pairwise(cycle)) <= set(closed)


def test_a_cycle_is_shown_by_names_and_cut_when_long() -> None:
    with pytest.raises(CyclicHierarchyError, match="cycle a -> b -> c -> a"):
        Hierarchy.from_edges(4, [0, 1, 2, 3], [1, 2, 0, 0], ["a", "b", "c", "below"])
    ring = np.arange(1000)
    with pytest.raises(CyclicHierarchyError, match=r"^hierarchy: cycle 0 -> .* -> \.\.\. -> 0;"):
        Hierarchy.from_edges(1000, ring, np.roll(ring, -1))


def test_the_lowest_index_breaks_ties_between_longest_paths() -> None:
    diamond = build(4, [(3, 2), (3, 1), (2, 0), (1, 0)])
    assert diamond.path(3) == [0, 1, 3]


def test_many_ways_up_cost_no_more_than_their_categories() -> None:
    """A ladder of 60 diamonds has 2^60 paths."""
    edges = []
    for step in range(60):
        low, left, right, high = 3 * step, 3 * step + 1, 3 * step + 2, 3 * step + 3
        edges += [(low, left), (low, right), (left, high), (right, high)]
    ladder = build(181, edges)
    assert len(ladder.ancestors(0)) == 180
    assert ladder.depth(0) == 120


def test_no_category_and_no_edge_are_fine() -> None:
    assert build(0, []).closure()[0].tolist() == [0]
    assert build(0, []).roots.tolist() == []
    assert build(3, []).roots.tolist() == [0, 1, 2]
    assert build(3, []).ancestors(2).tolist() == []


@pytest.mark.parametrize(
    ("child", "parent", "cause"),
    [
        ([0], [3], "out of range"),
        ([-1], [0], "out of range"),
        ([0, 1], [2], "2 children, 1 parents"),
    ],
)
def test_wrong_edges_are_refused(child: list[int], parent: list[int], cause: str) -> None:
    with pytest.raises(InputError, match=cause):
        Hierarchy.from_edges(3, child, parent)


@pytest.mark.parametrize("category", [-1, 3])
def test_an_index_out_of_range_is_refused_everywhere(category: int) -> None:
    hierarchy = build(3, [(0, 1)])
    for question in ("parents_of", "children_of", "ancestors", "descendants", "depth", "path"):
        with pytest.raises(InputError, match="out of range"):
            getattr(hierarchy, question)(category)
    with pytest.raises(InputError, match="out of range"):
        hierarchy.connected(0, category)
