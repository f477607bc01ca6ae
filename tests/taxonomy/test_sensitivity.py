"""Which categories are sensitive."""

from __future__ import annotations

import numpy as np
import pytest

from mlimages.taxonomy.categories import Taxonomy, released_taxonomy
from mlimages.taxonomy.packaged import packaged, read_rows
from mlimages.taxonomy.sensitivity import ROLES_HEADER, mark_sensitive, person_roles
from mlimages.taxonomy.wordnet import PERSON, wordnet


def test_exactly_the_unreviewed_persons_are_sensitive() -> None:
    for category in released_taxonomy().categories:
        person = PERSON in (wordnet().ancestors(category.key) | {category.key})
        assert category.sensitive == (person and category.key not in person_roles())


def test_the_list_of_roles_holds_named_persons_once_each_with_a_reason() -> None:
    rows = [row for _, row in read_rows(packaged("person_roles.tsv"), ROLES_HEADER, "roles")]
    assert [wnid for wnid, _, _ in rows] == sorted({wnid for wnid, _, _ in rows})
    for wnid, name, why in rows:
        assert wordnet().lemmas(wnid)[0] == name
        assert PERSON in wordnet().ancestors(wnid) or wnid == PERSON
        assert why


@pytest.mark.parametrize(
    "name", ["scuba diver", "ballplayer", "person", "n10091651", "n09605289", "n10148035", "nurse"]
)
def test_visible_roles_are_shown(name: str) -> None:
    taxonomy = released_taxonomy()
    assert not taxonomy.categories[taxonomy.resolve(name)].sensitive


@pytest.mark.parametrize(
    "name",
    ["skinhead", "n09636339", "n09682291", "drunkard", "homeless", "n10588074", "Mexican",
     "amputee", "soldier", "woman", "celebrity", "senator", "n09832456", "hunk"],
)  # fmt: skip
def test_judgements_about_persons_are_not(name: str) -> None:
    taxonomy = released_taxonomy()
    assert taxonomy.categories[taxonomy.resolve(name)].sensitive


def test_things_are_not_sensitive_even_under_a_word_for_persons() -> None:
    taxonomy = released_taxonomy()
    assert not taxonomy.categories[taxonomy.index("n02411705")].sensitive  # sheep, the animal


def test_custom_categories_below_a_person_are_sensitive_whatever_the_role_above() -> None:
    keys = ["n10566072", "own:a", "own:b", "own:c", "n02084071", "own:d"]
    parents = np.array([-1, 0, 1, -1, -1, 4], np.int32)
    assert mark_sensitive(keys, parents) == [False, True, True, False, False, False]
    taxonomy = Taxonomy.from_keys(keys, parents)
    assert [category.sensitive for category in taxonomy.categories] == mark_sensitive(keys, parents)
    assert taxonomy.categories[1].names == ("a",)  # a key without names is its own name
