"""What there is to say about one category, and the figures of a whole vocabulary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlimages.taxonomy.categories import MODES, Category, Taxonomy
from mlimages.taxonomy.hierarchy import Hierarchy
from mlimages.taxonomy.wordnet import PERSON, wordnet


@dataclass(frozen=True)
class CategoryCard:
    """What `mlimages taxonomy show` prints; by hierarchy, `tencent` and `wordnet`."""

    category: Category
    paths: dict[str, list[list[Category]]]  # every path, root first, this category last
    children: dict[str, list[Category]]


def describe(taxonomy: Taxonomy, index: int) -> CategoryCard:
    """Collect a category's paths up and its children, in both hierarchies."""
    paths: dict[str, list[list[Category]]] = {}
    children: dict[str, list[Category]] = {}
    for mode in MODES:
        hierarchy = taxonomy.hierarchy(mode)
        paths[mode] = [[taxonomy.categories[i] for i in path] for path in hierarchy.paths(index)]
        children[mode] = [taxonomy.categories[i] for i in hierarchy.children_of(index).tolist()]
    return CategoryCard(taxonomy.categories[index], paths, children)


@dataclass(frozen=True)
class TaxonomySummary:
    """What `mlimages taxonomy check` prints; pairs are (category, proper ancestor)."""

    categories: int
    custom: int  # not from WordNet
    persons: int  # WordNet persons, sensitive or not
    sensitive: int
    tree_sizes: tuple[int, ...]  # by root, ascending index
    leaves: int
    maximum_depth: int  # edges from a root, in the forest
    mean_depth: float  # over all categories
    parents_after_child: int  # listed later than a child: order cannot be relied on
    shared_names: int  # names (all lemmas as one text) that several categories have
    categories_sharing_a_name: int
    name_repeats: int  # categories beyond the first of each shared name
    forest_pairs: int
    wordnet_pairs: int
    pairs_lost_by_forest: int  # in WordNet, not in the forest
    parents_outside_wordnet: int  # forest parents that are not WordNet ancestors
    wordnet_roots: int
    wordnet_several_parents: int  # categories with more than one parent there


def summarize(taxonomy: Taxonomy) -> TaxonomySummary:
    """Count everything; takes well under a second for the released vocabulary."""
    forest, nouns = taxonomy.hierarchy("tencent"), taxonomy.hierarchy("wordnet")
    persons = wordnet().descendants(PERSON) | {PERSON}
    losses = find_losses(taxonomy)
    sharing = sum(map(len, losses.shared_names.values()))
    return TaxonomySummary(
        categories=len(taxonomy),
        custom=sum(category.source != "wordnet" for category in taxonomy.categories),
        persons=len(persons.intersection(taxonomy.keys)),
        sensitive=sum(category.sensitive for category in taxonomy.categories),
        tree_sizes=tuple(len(forest.descendants(int(root))) + 1 for root in forest.roots),
        leaves=len(forest.leaves),
        maximum_depth=int(forest.depths.max()),
        mean_depth=float(forest.depths.mean()),
        parents_after_child=len(losses.parents_after_child),
        shared_names=len(losses.shared_names),
        categories_sharing_a_name=sharing,
        name_repeats=sharing - len(losses.shared_names),
        forest_pairs=len(forest.closure()[1]),
        wordnet_pairs=len(nouns.closure()[1]),
        pairs_lost_by_forest=len(losses.pairs_lost_by_forest),
        parents_outside_wordnet=len(losses.parents_outside_wordnet),
        wordnet_roots=len(nouns.roots),
        wordnet_several_parents=int((np.diff(nouns.parents[0]) > 1).sum()),
    )


@dataclass(frozen=True)
class ForestLosses:
    """Which pairs and names the figures of `TaxonomySummary` count; all by category index."""

    pairs_lost_by_forest: list[tuple[int, int]]  # (category, ancestor in WordNet)
    parents_outside_wordnet: list[tuple[int, int]]  # (category, parent)
    parents_after_child: list[tuple[int, int]]  # (category, parent)
    shared_names: dict[str, list[int]]  # name -> the categories that have it


def find_losses(taxonomy: Taxonomy) -> ForestLosses:
    """Compare the forest with WordNet, pair by pair, and the names with each other."""
    size, forest = len(taxonomy), taxonomy.hierarchy("tencent")
    forest_pairs, wordnet_pairs = _pairs(forest), _pairs(taxonomy.hierarchy("wordnet"))
    child, parent = (side.astype(np.int64) for side in forest.edges())
    edges = child * size + parent

    def unpacked(pairs: NDArray[np.int64]) -> list[tuple[int, int]]:
        return [divmod(pair, size) for pair in pairs.tolist()]

    named: dict[str, list[int]] = {}
    for category in taxonomy.categories:
        named.setdefault(category.name, []).append(category.index)
    return ForestLosses(
        pairs_lost_by_forest=unpacked(np.setdiff1d(wordnet_pairs, forest_pairs)),
        parents_outside_wordnet=unpacked(np.setdiff1d(edges, wordnet_pairs)),
        parents_after_child=unpacked(edges[parent > child]),
        shared_names={name: found for name, found in named.items() if len(found) > 1},
    )


def _pairs(hierarchy: Hierarchy) -> NDArray[np.int64]:
    """All (category, ancestor) pairs, each as one number, ascending."""
    indptr, ancestor = hierarchy.closure()
    category = np.repeat(np.arange(len(hierarchy), dtype=np.int64), np.diff(indptr))
    return category * len(hierarchy) + ancestor
