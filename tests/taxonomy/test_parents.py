"""Parents from WordNet alone, and the reasons why a given forest has others."""

from __future__ import annotations

import random

import pytest

from mlimages.taxonomy.categories import Taxonomy, released_taxonomy
from mlimages.taxonomy.parents import NearestParents, count_reasons, derive_parents, explain_parents
from mlimages.taxonomy.wordnet import wordnet

CARNIVORE, CANINE, DOG, POODLE = "n02075296", "n02083346", "n02084071", "n02113335"
DOMESTIC = "n01317541"


@pytest.mark.parametrize("seed", range(5))
def test_a_derived_parent_is_an_ancestor_with_no_category_between(seed: int) -> None:
    nouns = wordnet()
    keys = random.Random(seed).sample(released_taxonomy().keys, 400)
    held = set(keys)
    for key, parent in zip(keys, derive_parents(keys), strict=True):
        above = nouns.ancestors(key) & held
        if parent < 0:
            assert not above
            continue
        assert keys[parent] in above
        assert not any(keys[parent] in nouns.ancestors(other) for other in above)


def test_of_several_nearest_the_fewest_steps_then_the_most_categories_decide() -> None:
    assert derive_parents([CANINE, DOMESTIC, DOG]) == [-1, -1, 1]  # alike: the lowest wnid
    more_below = [CANINE, DOMESTIC, DOG, "n02114100"]  # wolf, a canine
    assert derive_parents(more_below)[2] == 0
    assert derive_parents([CARNIVORE, DOMESTIC, DOG])[2] == 1  # carnivore is two steps away


def test_own_categories_keep_the_parent_they_are_given() -> None:
    assert derive_parents([CANINE, DOG, "own:rex"], {"own:rex": DOG}) == [-1, 0, 1]
    assert derive_parents([CANINE, "own:rex"]) == [-1, -1]


def test_every_difference_of_the_released_parents_is_explained() -> None:
    taxonomy = released_taxonomy()
    differences = explain_parents(taxonomy)
    assert len(taxonomy) - len(differences) == 10_224
    assert count_reasons(differences) == {
        "only_child": 817,
        "listed_later": 43,
        "several_nearest": 76,
        "above_nearest": 0,
        "not_ancestor": 6,
        "made_root": 0,
    }
    nearest = NearestParents(taxonomy.keys).nearest
    for difference in differences:
        key, given = taxonomy.keys[difference.category], taxonomy.keys[difference.given]
        assert given != taxonomy.keys[difference.derived]
        assert (difference.reason == "not_ancestor") == (given not in wordnet().ancestors(key))
        assert (difference.reason == "several_nearest") == (given in nearest[key])


@pytest.mark.parametrize(
    ("keys", "parents", "reason"),
    [
        ([CARNIVORE, CANINE, DOG], [-1, 0, 0], "only_child"),
        ([CARNIVORE, CANINE, DOG, "n02114100"], [-1, 0, 0, 1], "listed_later"),
        ([CARNIVORE, CANINE, "n02114100", DOG], [-1, 0, 1, 0], "above_nearest"),
        ([CANINE, DOMESTIC, DOG], [-1, -1, 0], "several_nearest"),
        ([CANINE, "n03147509", DOG], [-1, -1, 1], "not_ancestor"),  # cup
        ([CANINE, DOG], [-1, -1], "made_root"),
    ],
)
def test_each_reason(keys: list[str], parents: list[int], reason: str) -> None:
    differences = explain_parents(Taxonomy.from_keys(keys, parents))
    assert [(keys[d.category], d.reason) for d in differences] == [(DOG, reason)]


def test_a_derived_forest_has_nothing_to_explain() -> None:
    keys = released_taxonomy().keys
    assert explain_parents(Taxonomy.from_keys(keys, derive_parents(keys))) == []
