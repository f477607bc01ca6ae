"""The rules that take synsets into a vocabulary."""

from __future__ import annotations

import pytest

from mlimages.taxonomy.class_lists import Edits, ListedClass
from mlimages.taxonomy.selection import SelectionRules, is_abstract, select

DOG, POODLE, PUPPY = "n02084071", "n02113335", "n01322604"
CANINE, WOLF, FOX = "n02083346", "n02114100", "n02118333"
SPORT = "n00523513"


def listed(**images: int) -> list[ListedClass]:
    return [ListedClass(wnid, wnid, number) for wnid, number in images.items()]


@pytest.mark.parametrize(
    ("wnid", "abstract"),
    [
        (SPORT, True),  # an act
        ("n09403427", True),  # rainbow: an arc, a shape
        (DOG, False),
        ("n06267145", False),  # newspaper: communication, but also a thing
        ("n00001930", False),  # physical entity itself
        ("n00002137", True),  # abstraction itself
    ],
)
def test_abstract_is_what_leads_to_no_physical_entity(wnid: str, abstract: bool) -> None:
    assert is_abstract(wnid) is abstract


def test_numbers_of_images_at_the_limits() -> None:
    rules = SelectionRules(branching=False)
    classes = listed(n02084071=500, n02114100=776, n02083346=777, n00523513=900)
    selection = select(classes, [], rules, Edits())
    assert selection.taken == {CANINE: "imagenet"}
    assert selection.dropped == {DOG: "few_images", WOLF: "rare", SPORT: "abstract"}


def test_ways_up_that_meet_add_the_synset_in_which_they_meet() -> None:
    selection = select(listed(n02118333=1000, n02114100=1000), [], SelectionRules(), Edits())
    assert selection.taken == {FOX: "imagenet", WOLF: "imagenet", CANINE: "branching"}
    few = select(listed(n02118333=1000, n02114100=1000, n02083346=3), [], SelectionRules(), Edits())
    assert few.taken[CANINE] == "branching"
    assert few.dropped == {}


def test_an_only_way_up_adds_nothing_and_abstract_or_empty_tops_are_never_added() -> None:
    both_ways = listed(n02084071=1000)  # a canine and a domestic animal, which meet in animal
    assert select(both_ways, [], SelectionRules(), Edits()).taken == {DOG: "imagenet"}
    far = listed(n02084071=1000, n00523513=1000)  # meet in entity only
    rules = SelectionRules(abstract=False)
    assert select(far, [], rules, Edits()).taken.keys() == {DOG, SPORT}


def test_children_of_expanded_classes_are_added_whatever_their_images() -> None:
    classes = listed(n02084071=1000, n02113335=1, n01322604=0, n02085374=600, n02114100=1)
    expand = Edits(expand=frozenset({DOG, "n02121620"}))  # the cat is not kept: nothing follows
    selection = select(classes, [], SelectionRules(), expand)
    assert selection.taken == {DOG: "imagenet", POODLE: "finer", "n02085374": "finer"}
    assert selection.dropped == {PUPPY: "few_images", WOLF: "few_images"}


def test_classes_with_many_kept_children_are_expanded_when_asked() -> None:
    classes = listed(n02084071=1000, n02113335=900, n02085374=900, n02112826=2)
    assert "n02112826" not in select(classes, [], SelectionRules(), Edits()).taken
    taken = select(classes, [], SelectionRules(expand_from=2), Edits()).taken
    assert taken["n02112826"] == "finer"  # corgi


def test_decisions_precede_every_rule() -> None:
    classes = listed(n02084071=1000, n02114100=1000, n00523513=3, n02113335=1)
    gone = frozenset({WOLF, CANINE, POODLE})
    edits = Edits(keep=frozenset({SPORT}), drop=gone, expand=frozenset({DOG}))
    selection = select(classes, [WOLF], SelectionRules(), edits)
    assert selection.taken == {SPORT: "edited", DOG: "imagenet"}
    assert selection.dropped[WOLF] == "edited"


def test_open_images_classes_join_and_abstract_ones_do_not() -> None:
    selection = select(listed(n02084071=10), [DOG, SPORT], SelectionRules(), Edits())
    assert selection.taken == {DOG: "openimages"}
    assert selection.dropped == {SPORT: "abstract"}
