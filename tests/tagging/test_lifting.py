"""Lifting to the hierarchy against a count by hand, on random hierarchies with several parents."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlimages.errors import CyclicHierarchyError, InputError
from mlimages.models.interface import ModelCategory
from mlimages.schemas import CATEGORIES, HIERARCHY
from mlimages.tagging.lifting import Lifting, most_specific_first, tag_space
from mlimages.taxonomy.categories import Taxonomy, released_taxonomy


def make_taxonomy(num_categories: int, edges: list[tuple[int, int]]) -> Taxonomy:
    """Categories t:0 .. with a hierarchy `wordnet` of these (child, parent) edges."""
    rows = [
        {
            "category": i,
            "key": f"t:{i}",
            "names": [f"name {i}"],
            "gloss": "",
            "source": "t",
            "sensitive": False,
        }
        for i in range(num_categories)
    ]
    links = [{"child": c, "parent": p, "hierarchy": "wordnet"} for c, p in edges]
    return Taxonomy.from_tables(
        pa.Table.from_pylist(rows, schema=CATEGORIES),
        pa.Table.from_pylist(links, schema=HIERARCHY),
    )


@st.composite
def hierarchies_with_outputs(draw) -> tuple[int, list[tuple[int, int]], list[int]]:
    """(categories, edges to parents of lower number, which categories are outputs)."""
    size = draw(st.integers(2, 12))
    pairs = [(child, parent) for child in range(size) for parent in range(child)]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=25))
    outputs = draw(st.lists(st.integers(0, size - 1), unique=True, min_size=1))
    return size, edges, outputs


def reachable(category: int, edges: list[tuple[int, int]]) -> set[int]:
    found = {category}
    for child, parent in edges:
        if child == category:
            found |= reachable(parent, edges)
    return found


@settings(max_examples=150, deadline=None)
@given(hierarchies_with_outputs(), st.integers(0, 2**32 - 1))
def test_an_ancestor_gets_every_output_below_it_once(case, seed: int) -> None:
    size, edges, outputs = case
    taxonomy = make_taxonomy(size, edges)
    space = tag_space([ModelCategory(f"t:{i}", "") for i in outputs], taxonomy)
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(len(outputs)), 3)
    below = {
        key: [n for n, i in enumerate(outputs) if int(key[2:]) in reachable(i, edges)]
        for key in space.keys
    }
    assert set(space.keys) == {f"t:{i}" for o in outputs for i in reachable(o, edges)}
    sums = Lifting(space, "softmax")(probabilities)
    greatest = Lifting(space, "sigmoid")(probabilities)
    for place, key in enumerate(space.keys):
        np.testing.assert_allclose(sums[:, place], probabilities[:, below[key]].sum(axis=1))
        np.testing.assert_array_equal(greatest[:, place], probabilities[:, below[key]].max(axis=1))
    assert sums.max() <= 1


def test_in_a_forest_the_roots_share_out_one() -> None:
    taxonomy = released_taxonomy()
    leaves = taxonomy.hierarchy("tencent").leaves[::7]
    space = tag_space([ModelCategory(taxonomy.keys[i], "") for i in leaves], taxonomy, "tencent")
    probabilities = np.random.default_rng(0).dirichlet(np.ones(len(leaves)), 4).astype(np.float32)
    lifted = Lifting(space, "softmax")(probabilities)
    np.testing.assert_allclose(lifted[:, space.hierarchy.roots].sum(axis=1), 1, atol=1e-6)


def test_every_confidence_is_at_most_that_of_a_parent() -> None:
    taxonomy = released_taxonomy()
    outputs = [ModelCategory(key, "") for key in taxonomy.keys[::5]]
    space = tag_space(outputs, taxonomy)
    child, parent = space.hierarchy.edges()
    for activation in ("softmax", "sigmoid"):
        probabilities = np.random.default_rng(1).dirichlet(np.ones(len(outputs)), 2)
        lifted = Lifting(space, activation)(probabilities)
        assert (lifted[:, child] <= lifted[:, parent] + 1e-12).all()


def test_outputs_unknown_to_the_taxonomy_find_their_place() -> None:
    taxonomy = Taxonomy.from_keys(["n00015388", "n02084071"], [-1, 0])  # animal, dog
    outputs = [
        ModelCategory("n02110185", "husky"),  # a synset below dog
        ModelCategory("home:rex", "Rex", parents=("n02110341", "home:pets")),  # a dalmatian
        ModelCategory("home:sofa", "sofa"),
    ]
    space = tag_space(outputs, taxonomy)
    paths = {
        key: [space.keys[i] for i in space.hierarchy.ancestors(place)]
        for place, key in enumerate(space.keys)
    }
    assert set(paths["n02110185"]) == {"n02084071", "n00015388"}
    assert set(paths["home:rex"]) == {"n02110341", "n02084071", "n00015388", "home:pets"}
    assert paths["home:sofa"] == []
    assert space.names[space.keys.index("home:rex")] == ("Rex",)
    assert space.names[space.keys.index("n02110341")][0] == "dalmatian"


def test_a_custom_category_below_a_person_is_sensitive() -> None:
    outputs = [
        ModelCategory("home:me", "me", parents=("n00007846",)),
        ModelCategory("home:cup", "cup", parents=("n03147509",)),
    ]
    space = tag_space(outputs, released_taxonomy())
    marks = dict(zip(space.keys, space.sensitive.tolist(), strict=True))
    assert marks["home:me"]
    assert not marks["home:cup"]


def test_a_cycle_in_a_models_own_parents_is_named() -> None:
    outputs = [ModelCategory("a:1", "one", ("a:2",)), ModelCategory("a:2", "two", ("a:1",))]
    with pytest.raises(CyclicHierarchyError, match="one"):
        tag_space(outputs, released_taxonomy())


def test_a_category_with_two_outputs_is_refused() -> None:
    outputs = [ModelCategory("a:1", "one"), ModelCategory("a:1", "one")]
    with pytest.raises(InputError, match="a:1"):
        tag_space(outputs, released_taxonomy())


def test_the_deepest_findings_come_first_and_the_surest_of_these() -> None:
    #     0        5
    #    / \
    #   1   2
    #   |   |
    #   3   4
    hierarchy = make_taxonomy(6, [(1, 0), (2, 0), (3, 1), (4, 2)]).hierarchy("wordnet")
    categories = np.array([0, 1, 2, 3, 5])
    confidences = np.array([0.9, 0.5, 0.4, 0.4, 0.1])
    order = most_specific_first(categories, confidences, hierarchy)
    # 4 was not found, so 2 has nothing under it; of the equals 2 and 3 the lower index leads.
    assert categories[order].tolist() == [2, 3, 5, 1, 0]
    assert most_specific_first(categories[:0], confidences[:0], hierarchy).tolist() == []
