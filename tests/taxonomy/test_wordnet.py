"""The packaged nouns of WordNet 3.0."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from mlimages.errors import UnknownCategoryError
from mlimages.taxonomy.packaged import packaged
from mlimages.taxonomy.wordnet import is_wnid, wordnet

DEBIAN = Path("/usr/share/wordnet")


def test_all_nouns_are_there() -> None:
    assert len(wordnet()) == 82_115
    assert "n02084071" in wordnet()
    assert "n02084072" not in wordnet()
    assert 2084071 not in wordnet()


def test_dog_has_its_lemmas_gloss_and_neighbours() -> None:
    nouns = wordnet()
    assert nouns.lemmas("n02084071") == ("dog", "domestic dog", "Canis familiaris")
    assert nouns.name("n02084071") == "dog, domestic dog, Canis familiaris"
    assert nouns.gloss("n02084071").startswith("a member of the genus Canis")
    assert nouns.hypernyms("n02084071") == ("n02083346", "n01317541")  # canine, domestic animal
    assert "n02085374" in nouns.hyponyms("n02084071")  # toy dog


def test_describe_equals_one_by_one_lookups() -> None:
    nouns = wordnet()
    some = nouns.wnids[::5000]
    assert nouns.describe(some) == [(nouns.lemmas(w), nouns.gloss(w)) for w in some]


def test_all_paths_lead_from_entity_down_to_the_synset() -> None:
    paths = wordnet().hypernym_paths("n02084071")
    assert [len(path) for path in paths] == [14, 9]
    for path in paths:
        assert path[0] == "n00001740"
        assert path[-1] == "n02084071"
        for above, below in itertools.pairwise(path):
            assert above in wordnet().hypernyms(below)
    on_the_paths = {wnid for path in paths for wnid in path} - {"n02084071"}
    assert wordnet().ancestors("n02084071") == on_the_paths


def test_instances_have_ancestors_and_are_told_apart() -> None:
    (alps,) = wordnet().synsets("Alps")
    assert wordnet().instance_hypernyms(alps) == wordnet().hypernyms(alps)
    assert wordnet().instance_hypernyms("n02084071") == ()
    assert alps in wordnet().hyponyms(wordnet().hypernyms(alps)[0])
    assert "n00001740" in wordnet().ancestors(alps)


def test_synsets_come_in_sense_order_whatever_the_case() -> None:
    mouse = wordnet().synsets("Mouse")
    assert mouse[0] == "n02330245"  # the animal
    assert mouse[-1] == "n03793489"  # the pointing device
    assert wordnet().synsets("COMPUTER_mouse") == ["n03793489"]
    assert wordnet().synsets("no such word") == []


def test_ancestors_and_descendants_are_each_other_turned_round() -> None:
    below = wordnet().descendants("n02083346")  # canine
    assert "n02084071" in below
    assert all("n02083346" in wordnet().ancestors(wnid) for wnid in below)


def test_nearest_ancestors_leave_out_those_above_another() -> None:
    nouns = wordnet()
    # domestic animal and canine are both direct hypernyms of dog; animal is above both.
    vocabulary = {"n02083346", "n00015388"}
    assert nouns.nearest_ancestors("n02084071", vocabulary) == ("n02083346",)
    assert nouns.nearest_ancestors("n02084071", {"n02084071"}) == ()


@pytest.mark.parametrize("wrong", ["n02084072", "dog", "", "n2084071", "v02084071"])
def test_an_unknown_wnid_is_named(wrong: str) -> None:
    with pytest.raises(UnknownCategoryError, match="not a noun synset"):
        wordnet().lemmas(wrong)


def test_the_form_of_a_wnid() -> None:
    assert is_wnid("n02084071")
    assert not any(map(is_wnid, ["n0208407", "n020840711", "x02084071", "own:n02084071"]))


def test_senses_say_how_the_word_is_spelled_ranked_and_used() -> None:
    bird, republic = (
        next(s for s in wordnet().senses("TURKEY") if word in wordnet().gloss(s.wnid))
        for word in ("gallinaceous", "republic")
    )
    assert (bird.lemma, bird.rank, bird.place, bird.tag_count) == ("turkey", 0, 0, 2)
    assert republic.lemma == "Turkey"
    assert [s.wnid for s in wordnet().senses("dog")] == wordnet().synsets("dog")
    assert wordnet().senses("no such word") == []
    assert "no such word" not in wordnet().words
    assert "computer mouse" in wordnet().words


def test_individuals_are_instances() -> None:
    (alps,) = wordnet().synsets("Alps")
    assert alps in wordnet().individuals()
    assert "n02084071" not in wordnet().individuals()


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="WordNet's own files are not installed")
def test_tag_counts_and_plurals_equal_the_original_files() -> None:
    """By the keys of senses, pieced together with regular expressions."""
    counts = {}
    for line in (DEBIAN / "cntlist.rev").read_text(encoding="utf-8").splitlines():
        if key := re.match(r"(\S+%1:\d\d:\d\d::) \d+ (\d+)$", line):
            counts[key[1]] = int(key[2])
    found = 0
    for line in (DEBIAN / "data.noun").read_text(encoding="utf-8").splitlines()[29::7]:
        head = re.match(r"(\d{8}) (\d\d) n [0-9a-f]{2} ((?:\S+ [0-9a-f] )+)\d{3} ", line)
        assert head is not None
        for word, number in re.findall(r"(\S+) ([0-9a-f]) ", head[3]):
            count = counts.get(f"{word.lower()}%1:{head[2]}:{int(number, 16):02d}::", 0)
            senses = wordnet().senses(word)
            lemma = word.replace("_", " ")
            (known,) = [s for s in senses if (s.wnid, s.lemma) == ("n" + head[1], lemma)]
            assert known.tag_count == count
            found += count > 0
    assert found > 1000
    table = packaged("noun_exceptions.tsv").read_text(encoding="utf-8").splitlines()[1:]
    original = (DEBIAN / "noun.exc").read_text(encoding="utf-8").replace("_", " ")
    assert sum(len(line.split()) - 1 for line in original.splitlines()) >= len(table) > 2000
    assert "geese\tgoose" in table


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="WordNet's own files are not installed")
def test_everything_equals_another_parse_of_the_original_files() -> None:
    """By regular expressions, where the builder counts fields."""
    nouns = wordnet()
    number = 0
    for line in (DEBIAN / "data.noun").read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):
            continue
        number += 1
        wnid = "n" + line[:8]
        head, gloss = line.split("|", 1)
        words = re.match(r"\d{8} \d\d n [0-9a-f]{2} ((?:\S+ [0-9a-f] )+)\d{3} ", head)
        assert words is not None
        lemmas = tuple(word.replace("_", " ") for word in words[1].split()[::2])
        direct = re.findall(r" @ (\d{8}) n ", head)
        instance = re.findall(r" @i (\d{8}) n ", head)
        assert nouns.lemmas(wnid) == lemmas
        assert nouns.hypernyms(wnid) == tuple("n" + offset for offset in direct + instance)
        if number % 20 == 0:  # the slower lookups, on a part
            assert nouns.gloss(wnid) == gloss.strip()
            assert nouns.instance_hypernyms(wnid) == tuple("n" + offset for offset in instance)
    assert number == len(nouns)
    for line in (DEBIAN / "index.noun").read_text(encoding="utf-8").splitlines():
        if not line.startswith(" "):
            found = re.search(r"(?: \d{8})+\s*$", line)
            assert found is not None
            senses = ["n" + offset for offset in found[0].split()]
            assert nouns.synsets(line.split(" ", 1)[0]) == senses
