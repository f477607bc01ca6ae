"""The figures of the released vocabulary, and the card of a category."""

from __future__ import annotations

import pytest

from mlimages.taxonomy.categories import Taxonomy, released_taxonomy
from mlimages.taxonomy.summary import describe, summarize


def test_the_released_vocabulary_has_its_known_figures() -> None:
    summary = summarize(released_taxonomy())
    assert summary.categories == 11_166
    assert summary.tree_sizes == (67, 1_046, 10_038, 15)
    assert summary.leaves == 9_219
    assert summary.maximum_depth == 16
    assert summary.mean_depth == pytest.approx(7.471, abs=5e-4)
    assert summary.parents_after_child == 1
    assert (summary.shared_names, summary.categories_sharing_a_name) == (262, 555)
    assert summary.wordnet_pairs == 88_196
    assert summary.pairs_lost_by_forest == 4_849
    assert summary.parents_outside_wordnet == 6
    assert summary.custom == 0
    assert (summary.persons, summary.sensitive) == (749, 532)  # as docs/taxonomy.md says


def test_a_small_vocabulary_counted_by_hand() -> None:
    """poodle <- dog <- canine in WordNet; the forest knows only Rex, an odd dog, below a cup."""
    keys = ["n02113335", "n02084071", "n02083346", "own:rex", "n03147509"]
    names = [("dog",), ("dog",), ("canine",), ("Rex",), ("cup",)]
    summary = summarize(Taxonomy.from_keys(keys, [-1, 4, -1, 1, -1], names))
    assert summary.tree_sizes == (1, 1, 3)
    assert summary.custom == 1
    assert (summary.persons, summary.sensitive) == (0, 0)
    assert summary.forest_pairs == 3
    assert summary.wordnet_pairs == 5  # poodle 2, dog 1, Rex 2
    assert summary.pairs_lost_by_forest == 4
    assert summary.parents_outside_wordnet == 1
    assert summary.parents_after_child == 1
    assert summary.shared_names == 1
    assert summary.categories_sharing_a_name == 2
    assert summary.mean_depth == pytest.approx(0.6)
    assert summary.wordnet_roots == 2


def test_a_card_shows_every_path_and_the_children() -> None:
    taxonomy = released_taxonomy()
    card = describe(taxonomy, taxonomy.index("n02084071"))
    assert len(card.paths["tencent"]) == 1
    assert len(card.paths["wordnet"]) == 2  # canine, and domestic animal
    assert all(path[-1] == card.category for paths in card.paths.values() for path in paths)
    assert "n02113335" in {child.key for child in card.children["wordnet"]}
