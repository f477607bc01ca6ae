"""The parents that WordNet alone gives a vocabulary, and why a given forest has others.

A category's parent is its nearest ancestor in WordNet, instances included, that the vocabulary
holds. Where several are nearest, none being above another, it is the one that the fewest steps
lead to; of these, the one with the most categories below it; then the lowest wnid.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from mlimages.taxonomy.categories import Taxonomy
from mlimages.taxonomy.wordnet import wordnet

ParentReason = Literal[
    "only_child", "listed_later", "several_nearest", "above_nearest", "not_ancestor", "made_root"
]
PARENT_REASONS: dict[ParentReason, str] = {
    "only_child": "beside its nearest ancestor, which has no children in the forest",
    "listed_later": "beside its nearest ancestor, whose children are all listed after it",
    "several_nearest": "another one of several nearest ancestors",
    "above_nearest": "an ancestor above the nearest, with no reason to be seen",
    "not_ancestor": "no ancestor in WordNet",
    "made_root": "a root, though WordNet has ancestors in the vocabulary",
}
assert tuple(PARENT_REASONS) == get_args(ParentReason)


@dataclass(frozen=True)
class ParentDifference:
    """A category whose given parent is not the derived one; indices, -1 for a root."""

    category: int
    given: int
    derived: int
    reason: ParentReason


class NearestParents:
    """The nearest ancestors of every key of a vocabulary, and the one chosen of them."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Take the keys; those that WordNet does not have get no ancestors."""
        nouns = wordnet()
        held = frozenset(keys)
        self.nearest: dict[str, tuple[str, ...]] = {
            key: nouns.nearest_ancestors(key, held) if key in nouns else () for key in keys
        }
        # Only where there is a choice to make: everything below is slower than the line above.
        candidates = {n for found in self.nearest.values() if len(found) > 1 for n in found}
        self._below = {key: len(held & nouns.descendants(key)) for key in candidates}

    def choose(self, key: str) -> str | None:
        """The parent of a key, or None for a root."""
        found = self.nearest[key]
        if len(found) < 2:
            return found[0] if found else None
        steps = _steps_up(key)
        return min(found, key=lambda above: (steps[above], -self._below[above], above))


def derive_parents(keys: Sequence[str], custom: Mapping[str, str] | None = None) -> list[int]:
    """The index of each key's parent, -1 for a root.

    Args:
        keys: wnids, and keys of the form namespace:key.
        custom: the parent's key of each custom key; without one it is a root.
    """
    nearest, index_of = NearestParents(keys), {key: index for index, key in enumerate(keys)}
    chosen = [(custom or {}).get(key) or nearest.choose(key) for key in keys]
    return [-1 if parent is None else index_of[parent] for parent in chosen]


def explain_parents(taxonomy: Taxonomy) -> list[ParentDifference]:
    """Every category from WordNet whose given parent is not the derived one, and why."""
    nearest = NearestParents(taxonomy.keys)
    differences = []
    for index, key in enumerate(taxonomy.keys):
        if taxonomy.categories[index].source != "wordnet":
            continue
        chosen, given = nearest.choose(key), int(taxonomy.parents[index])
        derived = -1 if chosen is None else taxonomy.index(chosen)
        if derived != given:
            reason = _reason(taxonomy, nearest, index, derived)
            differences.append(ParentDifference(index, given, derived, reason))
    return differences


def count_reasons(differences: Sequence[ParentDifference]) -> dict[ParentReason, int]:
    """The number of differences of each reason, in the order of `PARENT_REASONS`."""
    counts = Counter(difference.reason for difference in differences)
    return {reason: counts[reason] for reason in PARENT_REASONS}


def _reason(taxonomy: Taxonomy, nearest: NearestParents, index: int, derived: int) -> ParentReason:
    key, given = taxonomy.keys[index], int(taxonomy.parents[index])
    if given < 0:
        return "made_root"
    if taxonomy.keys[given] not in wordnet().ancestors(key):
        return "not_ancestor"
    if taxonomy.keys[given] in nearest.nearest[key]:
        return "several_nearest"
    passed = _passed_over(taxonomy, nearest, index)
    if not passed:
        return "above_nearest"
    forest = taxonomy.hierarchy("tencent")
    left_childless = any(not len(forest.children_of(above)) for above in passed)
    return "only_child" if left_childless else "listed_later"


def _passed_over(taxonomy: Taxonomy, nearest: NearestParents, index: int) -> list[int]:
    """The nearest ancestors from which the given parent is reached over childless ones only.

    Childless when `index` was listed, that is: their children, if any, are listed after it.
    """
    given, forest = taxonomy.keys[int(taxonomy.parents[index])], taxonomy.hierarchy("tencent")
    passed = []
    for start in nearest.nearest[taxonomy.keys[index]]:
        pending = [start]
        while pending:
            key = pending.pop()
            children = forest.children_of(taxonomy.index(key))
            if len(children) and int(children.min()) < index:
                continue
            if given in nearest.nearest[key]:
                passed.append(taxonomy.index(start))
                break
            pending += nearest.nearest[key]
    return passed


def _steps_up(wnid: str) -> dict[str, int]:
    """The fewest steps from a synset to each of its ancestors."""
    steps = {wnid: 0}
    pending = [wnid]
    for below in pending:  # grows while it is walked: breadth first
        for above in wordnet().hypernyms(below):
            if above not in steps:
                steps[above] = steps[below] + 1
                pending.append(above)
    return steps
