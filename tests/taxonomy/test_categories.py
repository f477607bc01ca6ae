"""Vocabularies: the released one, custom ones, their hierarchies and look-ups."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mlimages.errors import CyclicHierarchyError, InputError, UnknownCategoryError
from mlimages.schemas import CATEGORIES, HIERARCHY
from mlimages.taxonomy.categories import Taxonomy, released_taxonomy
from mlimages.taxonomy.wordnet import wordnet

DOG, CANINE, ANIMAL, POODLE = "n02084071", "n02083346", "n00015388", "n02113335"


def ancestor_pairs(taxonomy: Taxonomy, mode: str) -> set[tuple[int, int]]:
    hierarchy = taxonomy.hierarchy(mode)
    return {(i, int(j)) for i in range(len(taxonomy)) for j in hierarchy.ancestors(i)}


def test_the_released_categories_are_those_of_the_released_file(shared_data: Path) -> None:
    """Compared with a bare split of the file, not with the project's reader."""
    file = shared_data / "tencent" / "dictionary_and_semantic_hierarchy.txt"
    rows = [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines()[1:]]
    taxonomy = released_taxonomy()
    assert [c.key for c in taxonomy.categories] == [row[1] for row in rows]
    assert [c.name for c in taxonomy.categories] == [row[3] for row in rows]
    assert taxonomy.parents.tolist() == [int(row[2]) for row in rows]


def test_the_forest_follows_the_parents_even_where_one_comes_later() -> None:
    taxonomy = released_taxonomy()
    forest = taxonomy.hierarchy("tencent")
    assert taxonomy.categories[9741].names == ("water",)
    assert [taxonomy.keys[i] for i in forest.path(9741)][-2] == taxonomy.keys[10348]

    @cache
    def above(index: int) -> frozenset[int]:
        parent = int(taxonomy.parents[index])
        return frozenset() if parent < 0 else above(parent) | {parent}

    assert all(set(forest.ancestors(i)) == above(i) for i in range(len(taxonomy)))


def test_the_wordnet_hierarchy_has_exactly_the_ancestors_of_wordnet() -> None:
    taxonomy = released_taxonomy()
    hierarchy = taxonomy.hierarchy("wordnet")
    for index, key in enumerate(taxonomy.keys):
        expected = {i for k in wordnet().ancestors(key) if (i := taxonomy.get(k)) is not None}
        assert set(hierarchy.ancestors(index).tolist()) == expected


def test_the_wordnet_hierarchy_is_reduced() -> None:
    """No parent is above another parent: no edge is the short cut of a longer way."""
    hierarchy = released_taxonomy().hierarchy("wordnet")
    several = np.flatnonzero(np.diff(hierarchy.parents[0]) > 1)
    assert len(several) > 200
    for index in several.tolist():
        parents = hierarchy.parents_of(index).tolist()
        assert not any(set(hierarchy.ancestors(p)) & set(parents) for p in parents)


def test_gaps_in_a_small_vocabulary_are_bridged_in_the_wordnet_hierarchy_only() -> None:
    taxonomy = Taxonomy.from_keys([POODLE, ANIMAL, DOG], [-1, -1, 1])
    assert ancestor_pairs(taxonomy, "tencent") == {(2, 1)}
    assert ancestor_pairs(taxonomy, "wordnet") == {(0, 2), (0, 1), (2, 1)}
    assert taxonomy.hierarchy("wordnet").parents_of(0).tolist() == [2]


def test_custom_keys_keep_the_given_parent_in_both_hierarchies() -> None:
    taxonomy = Taxonomy.from_keys(
        [ANIMAL, DOG, "own:rex", "own:rex-asleep"],
        [-1, -1, 1, 2],
        [("animal",), ("dog",), ("Rex",), ("Rex asleep",)],
    )
    assert ancestor_pairs(taxonomy, "tencent") == {(2, 1), (3, 1), (3, 2)}
    assert ancestor_pairs(taxonomy, "wordnet") == {
        (1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)
    }  # fmt: skip


def test_instances_stand_below_what_they_are_instances_of() -> None:
    (alps,) = wordnet().synsets("Alps")
    (mountain_range,) = wordnet().instance_hypernyms(alps)
    taxonomy = Taxonomy.from_keys([alps, mountain_range], [-1, -1])
    assert ancestor_pairs(taxonomy, "wordnet") == {(0, 1)}


def test_an_unknown_hierarchy_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'wordnet'"):
        released_taxonomy().hierarchy("wordnett")


def test_keys_are_found() -> None:
    taxonomy = released_taxonomy()
    assert taxonomy.get(DOG) == taxonomy.index(DOG) == 6912
    assert taxonomy.get("n02870092") is None
    assert len(taxonomy) == 11_166


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("n02870092", "n02870092 book, volume.*nearest above it: n04007894 product"),
        ("n02084072", "did you mean 'n02084732'"),
    ],
)
def test_an_unknown_key_names_what_is_nearest(key: str, hint: str) -> None:
    with pytest.raises(UnknownCategoryError, match=hint):
        released_taxonomy().index(key)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (DOG, DOG),
        ("6912", DOG),
        ("dog", DOG),  # also a name of the firedog, but not its first
        ("Great_Dane", "n02109047"),
        (" computer MOUSE ", "n03793489"),
        ("object, physical object", "n00002684"),
    ],
)
def test_resolve_takes_keys_indices_and_names(text: str, key: str) -> None:
    assert released_taxonomy().keys[released_taxonomy().resolve(text)] == key


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("crane", r"name of 2 categories.*n03126707 \(crane\), n02012849 \(crane\)"),
        ("dalmatan", "did you mean 'dalmatian'"),
        ("11166", "not one of the 11,166"),
        ("-1", "not one of the 11,166"),
        ("", "not one of the 11,166"),
    ],
)
def test_resolve_says_what_else_was_meant(text: str, hint: str) -> None:
    with pytest.raises(UnknownCategoryError, match=hint):
        released_taxonomy().resolve(text)


def test_lift_finds_the_lowest_categories_above() -> None:
    taxonomy = released_taxonomy()
    assert taxonomy.lift(DOG) == (6912,)
    (plaything,) = taxonomy.lift("n03621473")  # the kite on a string, not a category
    assert taxonomy.categories[plaything].names[0] == "plaything"
    assert taxonomy.lift("n00001740") == ()  # entity: nothing is above it
    with pytest.raises(UnknownCategoryError):
        taxonomy.lift("own:rex")


def test_lift_returns_several_when_none_is_above_another() -> None:
    taxonomy = Taxonomy.from_keys(["n01317541", CANINE, ANIMAL], [-1, -1, -1])
    assert taxonomy.lift(POODLE) == (0, 1)


def test_tables_carry_everything() -> None:
    taxonomy = Taxonomy.from_keys(
        [POODLE, CANINE, DOG, "own:rex"], [2, -1, 1, 0], [("a", "b, c"), ("d",), ("e",), ("f",)]
    )
    categories, hierarchy = taxonomy.to_tables()
    assert categories.schema == CATEGORIES
    assert hierarchy.schema == HIERARCHY
    again = Taxonomy.from_tables(categories.take([3, 1, 0, 2]), hierarchy)
    assert again.categories == taxonomy.categories
    assert again.parents.tolist() == taxonomy.parents.tolist()
    for mode in ("tencent", "wordnet"):
        assert ancestor_pairs(again, mode) == ancestor_pairs(taxonomy, mode)


def test_the_stored_hierarchy_is_used_and_not_computed_again() -> None:
    categories, hierarchy = Taxonomy.from_keys([DOG, CANINE], [-1, -1]).to_tables()
    without = hierarchy.slice(0, 0)
    assert ancestor_pairs(Taxonomy.from_tables(categories, hierarchy), "wordnet") == {(0, 1)}
    assert ancestor_pairs(Taxonomy.from_tables(categories, without), "wordnet") == set()


def test_damaged_tables_are_refused() -> None:
    categories, _ = Taxonomy.from_keys([DOG, CANINE, ANIMAL], [-1, -1, -1]).to_tables()

    def edges(mode: str, child: list[int], parent: list[int]) -> pa.Table:
        return pa.table([child, parent, [mode] * len(child)], schema=HIERARCHY)

    with pytest.raises(InputError, match="not numbered"):
        Taxonomy.from_tables(categories.slice(1), edges("tencent", [], []))
    with pytest.raises(InputError, match="two parents"):
        Taxonomy.from_tables(categories, edges("tencent", [0, 0], [1, 2]))
    with pytest.raises(CyclicHierarchyError, match=f"{DOG} -> {CANINE} -> {DOG}"):
        Taxonomy.from_tables(categories, edges("wordnet", [0, 1], [1, 0]))
    with pytest.raises(InputError, match="out of range"):
        Taxonomy.from_tables(categories, edges("tencent", [0], [7]))


def test_bad_vocabularies_are_refused() -> None:
    with pytest.raises(InputError, match="twice"):
        Taxonomy.from_keys([DOG, DOG], [-1, -1])
    with pytest.raises(InputError, match="1 for 2 categories"):
        Taxonomy.from_keys([DOG, CANINE], [-1])
    with pytest.raises(UnknownCategoryError, match="not a noun synset"):
        Taxonomy.from_keys(["dog"], [-1])
    with pytest.raises(CyclicHierarchyError):
        Taxonomy.from_keys(["own:a", "own:b"], [1, 0], [("a",), ("b",)])


def test_thousands_of_digits_are_no_index() -> None:
    with pytest.raises(UnknownCategoryError):
        released_taxonomy().resolve("9" * 5000)
