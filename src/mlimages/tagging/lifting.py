"""From a network's outputs to the hierarchy: what it says about every category above them.

A network with a softmax shares out one unit of probability, so that an ancestor's probability is
the sum over the distinct outputs at or under it: in a hierarchy with several parents an output
counts once, however many paths lead up from it. A network of sigmoids judges every category apart,
and its outputs may contradict each other; an ancestor then takes the greatest probability at or
under it, the rule by which the database completes its tags.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mlimages.errors import InputError
from mlimages.models.interface import ModelCategory
from mlimages.taxonomy.categories import HierarchyMode, Taxonomy
from mlimages.taxonomy.hierarchy import Hierarchy
from mlimages.taxonomy.sensitivity import person_roles, sensitive_wnids
from mlimages.taxonomy.wordnet import wordnet


@dataclass(frozen=True)
class TagSpace:
    """The outputs of a network and all categories above them, under one numbering.

    Attributes:
        keys: the categories; the network's outputs come first, in their order.
        names: for each category its names, most usual first.
        sensitive: bool[categories], those that are shown only on demand.
        hierarchy: over these categories.
        num_outputs: how many of them are outputs.
    """

    keys: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]
    sensitive: np.ndarray
    hierarchy: Hierarchy
    num_outputs: int


def tag_space(
    outputs: Sequence[ModelCategory], taxonomy: Taxonomy, hierarchy: HierarchyMode = "wordnet"
) -> TagSpace:
    """Join a network's outputs with the hierarchy above them.

    An output that the taxonomy knows has its parents from there. For another one they are the
    nearest WordNet ancestors in the taxonomy when it is a synset, and else the parents that the
    network's own file names.

    Raises:
        InputError: two outputs are one category.
        CyclicHierarchyError: the parents that the network's file names make a cycle.
    """
    own = {output.key: output for output in outputs}
    if len(own) < len(outputs):
        counts = Counter(output.key for output in outputs)
        twice = counts.most_common(1)[0][0]
        raise InputError(f"category {twice}", "two outputs of the model", "use another model")
    keys = list(own)
    places = {key: place for place, key in enumerate(keys)}
    edges: list[tuple[int, int]] = []
    for key in keys:  # grows while it is walked, up to the roots
        for parent in _parents(key, own, taxonomy, hierarchy):
            if parent not in places:
                places[parent] = len(keys)
                keys.append(parent)
            edges.append((places[key], places[parent]))
    lower, upper = np.array(edges, np.int64).reshape(-1, 2).T
    names = [_names(key, own, taxonomy) for key in keys]
    joined = Hierarchy.from_edges(len(keys), lower, upper, [name[0] for name in names])
    return TagSpace(
        keys=tuple(keys),
        names=tuple(names),
        sensitive=_sensitive(keys, joined, taxonomy),
        hierarchy=joined,
        num_outputs=len(own),
    )


class Lifting:
    """Carries probabilities of outputs to all categories of a tag space."""

    def __init__(self, space: TagSpace, activation: Literal["sigmoid", "softmax"]) -> None:
        """Prepare the sums (softmax) or maxima (sigmoid)."""
        self._combine = np.add if activation == "softmax" else np.maximum
        indptr, ancestors = space.hierarchy.closure()
        outputs = np.arange(space.num_outputs)
        lengths = np.diff(indptr)[: space.num_outputs]
        pairs_output = np.concatenate([outputs, np.repeat(outputs, lengths)])
        pairs_category = np.concatenate([outputs, ancestors[: indptr[space.num_outputs]]])
        order = np.argsort(pairs_category, kind="stable")
        self._outputs = pairs_output[order]
        # Every category is an output or above one, so that no segment is empty.
        self._starts = np.searchsorted(pairs_category[order], np.arange(len(space.keys)))

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """[photos, outputs] -> float64 [photos, categories], each in [0, 1]."""
        spread = probabilities.astype(np.float64)[:, self._outputs]
        return np.minimum(self._combine.reduceat(spread, self._starts, axis=1), 1.0)


def most_specific_first(
    categories: np.ndarray, confidences: np.ndarray, hierarchy: Hierarchy
) -> np.ndarray:
    """Order categories so that the deepest findings come first.

    Categories without another of the given ones under them come first, then those that are one step
    above these, and so on; within a step the greatest confidence leads, then the lowest index.

    Args:
        categories: int[n], distinct.
        confidences: float[n] of these.

    Returns:
        int[n], positions in `categories`.
    """
    steps = {int(category): 0 for category in categories}
    # Depth grows along every edge, so that a category's step is final before it is passed on.
    for category in sorted(steps, key=hierarchy.depth, reverse=True):
        for ancestor in hierarchy.ancestors(category).tolist():
            if ancestor in steps:
                steps[ancestor] = max(steps[ancestor], steps[category] + 1)
    height = np.array([steps[int(category)] for category in categories], np.int64)
    return np.lexsort((categories, -confidences, height))


def _parents(
    key: str, own: dict[str, ModelCategory], taxonomy: Taxonomy, hierarchy: HierarchyMode
) -> Iterator[str]:
    index = taxonomy.get(key)
    if index is not None:
        above = taxonomy.hierarchy(hierarchy).parents_of(index)
        yield from (taxonomy.keys[parent] for parent in above)
    elif key in wordnet():
        yield from (taxonomy.keys[parent] for parent in taxonomy.lift(key))
    elif key in own:
        yield from own[key].parents


def _names(key: str, own: dict[str, ModelCategory], taxonomy: Taxonomy) -> tuple[str, ...]:
    index = taxonomy.get(key)
    if index is not None:
        return taxonomy.categories[index].names
    if key in own:
        return (own[key].name,)
    return wordnet().lemmas(key) if key in wordnet() else (key,)


def _sensitive(keys: Sequence[str], hierarchy: Hierarchy, taxonomy: Taxonomy) -> np.ndarray:
    """bool[categories]. A custom key that the taxonomy does not know was never reviewed: it is
    sensitive whenever it leads to a person."""
    marks = np.zeros(len(keys), bool)
    for place, key in enumerate(keys):
        index = taxonomy.get(key)
        if index is not None:
            marks[place] = taxonomy.categories[index].sensitive
        elif key in wordnet():
            marks[place] = key in sensitive_wnids()
        else:
            above = {keys[i] for i in hierarchy.ancestors(place)}
            marks[place] = bool(above & (sensitive_wnids() | person_roles().keys()))
    return marks
