"""What changed between two vocabularies."""

from __future__ import annotations

from dataclasses import replace

from mlimages.taxonomy.categories import Taxonomy, released_taxonomy
from mlimages.taxonomy.difference import Change, compare
from mlimages.taxonomy.translations import Translations
from mlimages.taxonomy.vocabulary import describe_taxonomy

CANINE, DOG, POODLE, WOLF = "n02083346", "n02084071", "n02113335", "n02114100"
THIEF = "n10707804"  # a person outside the reviewed roles


def test_each_kind_of_change_is_told_by_key() -> None:
    old = Taxonomy.from_keys([CANINE, DOG, POODLE], [-1, 0, 1], [("canine",), ("dog",), ("a",)])
    new = Taxonomy.from_keys([CANINE, POODLE, WOLF], [-1, 0, 0], [("canine",), ("b",), ("wolf",)])
    second = replace(describe_taxonomy(new), names=Translations([(CANINE, "de", "Hundeartiger")]))
    found = compare(describe_taxonomy(old), second)
    assert found.added == [(WOLF, "wolf")]
    assert found.removed == [(DOG, "dog")]
    assert found.moved == [Change(POODLE, "b", DOG, CANINE)]
    assert found.renamed == [Change(POODLE, "b", "a", "b")]
    assert found.translated == [Change(CANINE, "canine", "", "de: Hundeartiger")]
    assert found.renumbered == 1
    assert not found.equal


def test_a_vocabulary_equals_itself() -> None:
    released = describe_taxonomy(released_taxonomy())
    assert compare(released, released).equal


def test_a_new_order_is_a_difference_of_numbers_only() -> None:
    first = describe_taxonomy(Taxonomy.from_keys([CANINE, DOG], [-1, 0]))
    second = describe_taxonomy(Taxonomy.from_keys([DOG, CANINE], [1, -1]))
    found = compare(first, second)
    assert (found.added, found.removed, found.moved, found.renumbered) == ([], [], [], 2)
    assert not found.equal


def test_sensitive_categories_are_counted_and_named_only_when_asked_for() -> None:
    first = describe_taxonomy(Taxonomy.from_keys([DOG], [-1]))
    second = describe_taxonomy(Taxonomy.from_keys([DOG, THIEF], [-1, -1]))
    assert second.taxonomy.categories[1].sensitive
    hidden = compare(first, second)
    assert (hidden.added, hidden.sensitive_hidden, hidden.equal) == ([], 1, False)
    shown = compare(first, second, include_sensitive=True)
    assert [key for key, _ in shown.added] == [THIEF]
    assert compare(second, first).removed == []
