"""A vocabulary from class lists of two sources, written as a folder and opened again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mlimages.errors import InputError
from mlimages.taxonomy.building import Sources, build_vocabulary
from mlimages.taxonomy.categories import released_taxonomy
from mlimages.taxonomy.dictionary import read_dictionary
from mlimages.taxonomy.selection import SelectionRules
from mlimages.taxonomy.vocabulary import Vocabulary, open_taxonomy

DOG, POODLE, WOLF, FOX, CANINE = "n02084071", "n02113335", "n02114100", "n02118333", "n02083346"
SPORT, CUP = "n00523513", "n03147509"
WHOLE, ANIMAL = "n00003553", "n00015388"

FILES = {
    "imagenet": f"synid,class_name,urls\n{DOG},dog,900\n{WOLF},wolf,900\n{FOX},fox,800\n"
    f"{POODLE},poodle,30\n{SPORT},sport,2000\n{CUP},cup,600\n",
    "openimages": "/m/dog,Dog,5000\n/m/mug,Cup,700\n/m/rare,Fox,3\n/m/own,My dog,650\n"
    "/m/hound,Hound thing,800\n/m/what,Quux,900\n/m/more,Quuux,1000\n/m/play,Sport,999\n",
    "mapping": "label\twnid\trelation\tnote\n"
    f"/m/dog\t{DOG}\texact\t\nCup\t{CUP}\texact\tby name\n/m/rare\t{FOX}\texact\t\n"
    f"/m/own\town:rex\texact\t\n/m/hound\town:mutt\texact\t\n/m/play\t{SPORT}\texact\t\n",
    "edits": "action\tkey\tinto\tnote\n"
    f"expand\t{DOG}\t\tthe breeds too\nmerge\town:mutt\t{DOG}\tthe same\n",
    "own": f"key\tparent\tname\nown:rex\town:pets\tRex\nown:pets\t{CANINE}\tpets\n"
    f"own:mutt\t{CANINE}\tmutts\nown:wolf\t{CANINE}\tWolf\n"
    f"own:ball\t{SPORT}\tball\n",
    "names": f"key\tlanguage\tname\n{DOG}\tde\tHund\n{DOG}\tfr\tchien\n{SPORT}\tde\tSport\n",
}


def sources(folder: Path, **changed: str) -> Sources:
    folder.mkdir(exist_ok=True)
    for name, text in {**FILES, **changed}.items():
        (folder / name).write_text(text)
    return Sources(**{name: folder / name for name in FILES})


@pytest.fixture
def built(tmp_path: Path) -> Vocabulary:
    return build_vocabulary(sources(tmp_path / "in", own=OWN), version="draft")


OWN = FILES["own"].replace(f"own:ball\t{SPORT}\tball\n", "")


def test_every_class_is_in_a_category_or_said_to_be_out(built: Vocabulary) -> None:
    taxonomy = built.taxonomy
    assert dict(zip(taxonomy.keys, built.why, strict=True)) == {
        WHOLE: "branching",
        ANIMAL: "branching",
        CANINE: "branching",
        DOG: "imagenet",
        POODLE: "finer",
        WOLF: "imagenet",
        FOX: "imagenet",
        CUP: "openimages",  # too rare for ImageNet
        "own:rex": "own",
        "own:pets": "own",
    }
    parents = [int(parent) for parent in taxonomy.parents]
    above = {k: taxonomy.keys[p] for k, p in zip(taxonomy.keys, parents, strict=True) if p >= 0}
    assert above == {
        ANIMAL: WHOLE,
        CUP: WHOLE,
        CANINE: ANIMAL,
        DOG: CANINE,
        POODLE: DOG,
        WOLF: CANINE,
        FOX: CANINE,
        "own:pets": CANINE,
        "own:rex": "own:pets",
    }
    assert all(parent < child for child, parent in enumerate(parents))
    assert taxonomy.categories[taxonomy.index("own:rex")].names == ("Rex",)
    assert {(d.source, d.listed.label, d.reason) for d in built.dropped} == {
        ("imagenet", SPORT, "abstract"),
        ("openimages", "/m/play", "abstract"),
        ("openimages", "/m/rare", "few_images"),
    }
    assert [entry.label for entry in built.unmapped] == ["/m/more", "/m/what"]  # most images first


def test_equal_synsets_same_names_and_decided_ones_become_one(built: Vocabulary) -> None:
    labels = {(label.key, label.source, label.listed.label) for label in built.labels}
    assert {entry for entry in labels if entry[0] == DOG} == {
        (DOG, "imagenet", DOG),
        (DOG, "openimages", "/m/dog"),
        (DOG, "openimages", "/m/hound"),
    }
    assert {(m.key, m.into, m.reason) for m in built.merged} == {
        ("own:mutt", DOG, "the edits"),
        ("own:wolf", WOLF, "the same name"),
    }


def test_the_folder_opens_again_with_names_and_images(built: Vocabulary, tmp_path: Path) -> None:
    built.write(tmp_path / "out")
    opened = open_taxonomy(tmp_path / "out")
    assert opened.taxonomy.categories == built.taxonomy.categories
    assert opened.version == built.version
    assert built.version.startswith("draft+")
    assert opened.names.of(DOG) == {"de": ("Hund",), "fr": ("chien",)}
    assert [source["images"] for source in opened.sources[DOG]] == [900, 5000, 800]
    manifest = json.loads((tmp_path / "out" / "vocabulary.json").read_text())
    assert manifest["inputs"].keys() == FILES.keys()
    assert manifest["names_of_no_category"] == 1


def test_equal_inputs_give_equal_bytes_and_other_content_another_version(tmp_path: Path) -> None:
    given = sources(tmp_path / "in", own=OWN)
    for name in ("one", "two"):
        build_vocabulary(given).write(tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    version = open_taxonomy(tmp_path / "one").version
    renamed = sources(tmp_path / "renamed", own=OWN, names=FILES["names"].replace("Hund", "Hunde"))
    assert build_vocabulary(renamed).version != version


def test_an_order_keeps_the_numbers_of_an_earlier_vocabulary(tmp_path: Path) -> None:
    given = sources(tmp_path / "in", own=OWN)
    first = build_vocabulary(Sources(imagenet=given.imagenet, edits=given.edits))
    first.write(tmp_path / "first")
    grown = build_vocabulary(replace(given, order=tmp_path / "first" / "dictionary.tsv"))
    assert grown.taxonomy.keys[: len(first.taxonomy)] == first.taxonomy.keys
    assert len(grown.taxonomy) > len(first.taxonomy)


def test_a_parent_that_is_not_taken_gives_way_to_the_nearest_above_it(tmp_path: Path) -> None:
    own = f"key\tparent\tname\nown:rex\t{POODLE}\tRex\n"
    given = sources(tmp_path / "in", own=own, edits="action\tkey\tinto\tnote\n")
    plain = replace(given, openimages=None, mapping=None)
    taxonomy = build_vocabulary(plain).taxonomy
    assert taxonomy.keys[taxonomy.parents[taxonomy.index("own:rex")]] == DOG


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, f"own:ball: nothing above its parent {SPORT} is in the vocabulary"),
        ({"own": "key\tparent\tname\nown:a\town:b\ta\nown:b\town:a\tb\n"}, "is above itself"),
        ({"own": OWN.replace("own:rex", "own:max")}, "own:rex: is mapped to, but nobody listed it"),
        (
            {"own": OWN, "edits": FILES["edits"].replace(f"\t{DOG}\tthe same", "\tn02121620\t")},
            "own:mutt: is merged into n02121620, which is not taken",
        ),
        (
            {
                "own": OWN,
                "edits": FILES["edits"]
                + "merge\town:rex\town:pets\t\nmerge\town:pets\town:rex\t\n",
            },
            "is merged in a circle",
        ),
    ],
)
def test_what_fits_nowhere_is_named(tmp_path: Path, changed: dict[str, str], words: str) -> None:
    with pytest.raises(InputError) as caught:
        build_vocabulary(sources(tmp_path / "in", **changed))
    assert words in str(caught.value)


def test_missing_sources_and_too_high_numbers_are_named(tmp_path: Path) -> None:
    given = sources(tmp_path / "in", own=OWN)
    with pytest.raises(InputError, match="no class list"):
        build_vocabulary(Sources())
    with pytest.raises(InputError, match="need a mapping"):
        build_vocabulary(replace(given, mapping=None))
    rules = SelectionRules(imagenet_minimum=10_000)
    alone = Sources(imagenet=given.imagenet, edits=given.edits)
    with pytest.raises(InputError, match="no class is left"):
        build_vocabulary(alone, rules)


@pytest.mark.parametrize("name", ["dictionary.tsv", "labels.tsv", "names.tsv"])
def test_a_folder_changed_by_hand_is_refused(built: Vocabulary, tmp_path: Path, name: str) -> None:
    built.write(tmp_path / "out")
    with (tmp_path / "out" / name).open("a") as file:
        file.write("more\n")
    with pytest.raises(InputError, match=f"{name}: not as version draft"):
        open_taxonomy(tmp_path / "out")


def test_a_damaged_manifest_is_named_and_a_folder_is_never_replaced(
    built: Vocabulary, tmp_path: Path
) -> None:
    built.write(tmp_path / "out")
    with pytest.raises(InputError, match="exists already"):
        built.write(tmp_path / "out")
    (tmp_path / "out" / "vocabulary.json").write_text("{}")
    with pytest.raises(InputError, match=r"vocabulary.json: damaged"):
        open_taxonomy(tmp_path / "out")


def test_the_counts_of_imagenet_give_the_first_pass_of_the_released_dictionary(
    shared_data: Path, tmp_path: Path
) -> None:
    counts = shared_data / "metadata" / "imagenet_fall11_synset_counts.csv"
    vocabulary = build_vocabulary(Sources(imagenet=counts))
    vocabulary.write(tmp_path / "out")
    keys = set(read_dictionary(tmp_path / "out" / "dictionary.tsv").keys)
    released = released_taxonomy().keys
    assert keys >= set(released[:9_418])  # every class of over 776 images, and what is above
    assert len(keys) == 10_538
    assert len(keys & set(released)) == 10_253
