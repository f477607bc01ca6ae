"""What there is to say about one category, and the figures of a whole vocabulary."""

from __future__ import annotations

from collections import Counter
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
    forest_pairs: int
    wordnet_pairs: int
    pairs_lost_by_forest: int  # in WordNet, not in the forest
    parents_outside_wordnet: int  # forest parents that are not WordNet ancestors
    wordnet_roots: int
    wordnet_several_parents: int  # categories with more than one parent there


def summarize(taxonomy: Taxonomy) -> TaxonomySummary:
    """Count everything; takes well under a second for the released vocabulary."""
    forest, nouns = taxonomy.hierarchy("tencent"), taxonomy.hierarchy("wordnet")
    forest_pairs, wordnet_pairs = _pairs(forest), _pairs(nouns)
    child, parent = (side.astype(np.int64) for side in forest.edges())
    persons = wordnet().descendants(PERSON) | {PERSON}
    shared = [n for n in Counter(c.name for c in taxonomy.categories).values() if n > 1]
    return TaxonomySummary(
        categories=len(taxonomy),
        custom=sum(category.source != "wordnet" for category in taxonomy.categories),
        persons=len(persons.intersection(taxonomy.keys)),
        sensitive=sum(category.sensitive for category in taxonomy.categories),
        tree_sizes=tuple(len(forest.descendants(int(root))) + 1 for root in forest.roots),
        leaves=len(forest.leaves),
        maximum_depth=int(forest.depths.max()),
        mean_depth=float(forest.depths.mean()),
        parents_after_child=int((parent > child).sum()),
        shared_names=len(shared),
        categories_sharing_a_name=sum(shared),
        forest_pairs=len(forest_pairs),
        wordnet_pairs=len(wordnet_pairs),
        pairs_lost_by_forest=len(np.setdiff1d(wordnet_pairs, forest_pairs)),
        parents_outside_wordnet=len(np.setdiff1d(child * len(taxonomy) + parent, wordnet_pairs)),
        wordnet_roots=len(nouns.roots),
        wordnet_several_parents=int((np.diff(nouns.parents[0]) > 1).sum()),
    )


def _pairs(hierarchy: Hierarchy) -> NDArray[np.int64]:
    """All (category, ancestor) pairs, each as one number."""
    indptr, ancestor = hierarchy.closure()
    category = np.repeat(np.arange(len(hierarchy), dtype=np.int64), np.diff(indptr))
    return category * len(hierarchy) + ancestor
