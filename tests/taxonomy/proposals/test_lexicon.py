"""From names as other data sets write them to words of WordNet."""

from __future__ import annotations

import pytest

from mlimages.taxonomy.proposals.lexicon import lexicon, parse_name, plain_form
from mlimages.taxonomy.wordnet import wordnet


def kinds_of(name: str) -> dict[str, str]:
    return {match.word: match.kind for match in lexicon().matches(parse_name(name))}


@pytest.mark.parametrize(
    ("name", "word", "kind"),
    [
        ("Dog", "dog", "exact"),
        ("COMPUTER_MOUSE", "computer mouse", "exact"),
        ("Hog nosed skunk", "hog-nosed skunk", "form"),
        ("wine glass", "wineglass", "form"),
        ("Café", "cafe", "form"),
        ("Douglas' squirrel", "douglas squirrel", "form"),
        ("Gall Wasps", "gall wasp", "plural"),
        ("Children", "child", "plural"),
        ("mice", "mouse", "plural"),
        ("Cherries", "cherry", "plural"),
        ("Scissor", "scissors", "plural"),
        ("Harbour porpoise", "harbor porpoise", "spelling"),
        ("Centre punch", "center punch", "spelling"),
        ("Red bellied woodpecker", "woodpecker", "head"),
        ("Museum of modern art", "museum", "head"),
    ],
)
def test_a_name_finds_its_word(name: str, word: str, kind: str) -> None:
    assert kinds_of(name).get(word) == kind


@pytest.mark.parametrize("name", ["Mazda mxr-01", "Dabu-dabu", "", "???", "(", "of"])
def test_a_name_without_a_noun_finds_nothing(name: str) -> None:
    assert kinds_of(name) == {}


def test_a_short_word_is_no_plural_of_a_shorter_one() -> None:
    assert "bu" not in kinds_of("bus")
    assert "glas" not in kinds_of("glass")


def test_parentheses_are_a_hint_also_when_they_are_not_closed() -> None:
    assert parse_name("Skipper (butterfly)") == parse_name("Skipper  (butterfly")
    assert parse_name("Skipper (butterfly)").hint == "butterfly"
    assert parse_name("(butterfly)").text == "butterfly"
    assert kinds_of("Zzyx (butterfly)") == {"butterfly": "hint"}


def test_the_head_is_the_longest_that_is_a_noun() -> None:
    assert set(kinds_of("Pistachio ice cream")) == {"ice cream", "icecream"}


def test_every_lemma_finds_itself() -> None:
    words = sorted(wordnet().words)[::97]
    assert len(words) > 1000
    for word in words:
        if "(" not in word:
            assert word in kinds_of(word), word


def test_plain_form_is_plain_already() -> None:
    for text in ("Café au lait", "St. Bernard's", "  a--b__c ", "Đàn bầu"):
        assert plain_form(plain_form(text)) == plain_form(text)
