"""Label maps: the packaged ones, reading, and what a vocabulary makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlimages.errors import InputError, UnknownCategoryError
from mlimages.taxonomy.categories import Taxonomy, released_taxonomy
from mlimages.taxonomy.mapping import HEADER, packaged_label_map, read_label_map
from mlimages.taxonomy.wordnet import wordnet

# VOC's name -> COCO's, where they differ.
SAME = {
    "aeroplane": "airplane",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "diningtable": "dining table",
    "sofa": "couch",
    "tvmonitor": "tv",
}


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return path


def test_coco_has_the_labels_of_its_class_file_in_their_order(shared_data: Path) -> None:
    text = (shared_data / "coco128" / "yolo_classes.yaml").read_text(encoding="utf-8")
    names = [line.split(": ")[1].strip() for line in text.splitlines() if line.startswith("  ")]
    assert list(packaged_label_map("coco").labels) == names
    assert len(names) == 80


def test_voc_has_the_labels_of_its_tag_table(shared_data: Path) -> None:
    lines = (shared_data / "voc2012" / "image_tags.csv").read_text(encoding="utf-8").splitlines()
    found = {tag for line in lines[1:] for tag in line.split(",")[1].split()}
    assert list(packaged_label_map("voc").labels) == sorted(found)
    assert len(found) == 20


def test_voc_and_coco_agree_on_synset_and_relation() -> None:
    coco, voc = packaged_label_map("coco"), packaged_label_map("voc")
    for label, mapping in voc.mappings.items():
        twin = coco.mappings[SAME.get(label, label)]
        assert (mapping.wnid, mapping.relation) == (twin.wnid, twin.relation)


@pytest.mark.parametrize(
    ("label", "above"),
    [
        ("mouse", "electronic device"),
        ("orange", "edible fruit"),
        ("hot dog", "sandwich"),
        ("kite", "plaything"),
        ("tie", "garment"),
        ("remote", "device"),
        ("train", "public transport"),
        ("keyboard", "device"),
        ("sports ball", "game equipment"),
        ("baseball bat", "sports equipment"),
        ("wine glass", "container"),
        ("sheep", "ruminant"),
        ("bird", "vertebrate"),
        ("chair", "seat"),
        ("toilet", "plumbing fixture"),
        ("carrot", "vegetable"),
        ("bed", "furniture"),
        ("bear", "carnivore"),
        ("cow", "bovid"),
        ("truck", "motor vehicle"),
    ],
)
def test_words_of_several_meanings_got_the_one_in_photos(label: str, above: str) -> None:
    wnid = packaged_label_map("coco").lookup(label)
    assert set(wordnet().synsets(above)) & wordnet().ancestors(wnid)


def test_all_labels_reach_the_released_categories_and_what_was_lifted_is_named() -> None:
    taxonomy = released_taxonomy()
    coco = packaged_label_map("coco").resolve(taxonomy)
    assert coco.lifted == ("fire hydrant", "kite")
    assert coco.unmapped == ()
    assert len(coco.categories) == 80
    assert coco.categories["person"] == (taxonomy.index("n00007846"),)
    assert packaged_label_map("voc").resolve(taxonomy).lifted == ()


def test_only_labels_with_their_own_category_make_a_source_exhaustive() -> None:
    taxonomy = released_taxonomy()
    exhaustive = packaged_label_map("coco").resolve(taxonomy).exhaustive
    assert list(exhaustive) == sorted(exhaustive)
    assert len(exhaustive) == 76  # 80 less two lifted and two broader
    assert taxonomy.index("n06794110") not in exhaustive  # no stop sign may be another street sign
    assert taxonomy.index("n04405907") in exhaustive  # no tv: no television receiver either


def test_labels_without_anything_above_are_unmapped(tmp_path: Path) -> None:
    taxonomy = Taxonomy.from_keys(["n02083346", "own:rex"], [-1, 0])
    path = written(
        tmp_path / "own.tsv",
        "dog\tn02084071\texact\t",
        "cup\tn03147509\texact\t",
        "Rex\town:rex\texact\tmine",
    )
    mapped = read_label_map(path).resolve(taxonomy)
    assert mapped.categories == {"dog": (0,), "Rex": (1,)}
    assert mapped.lifted == ("dog",)
    assert mapped.unmapped == ("cup",)
    assert mapped.exhaustive == (1,)


def test_an_unknown_label_names_the_nearest() -> None:
    with pytest.raises(UnknownCategoryError, match=r"coco.tsv; did you mean 'bicycle'"):
        packaged_label_map("coco").lookup("bicyle")


def test_a_custom_key_that_the_vocabulary_does_not_hold_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "own.tsv", "Rex\town:rex\texact\t")
    with pytest.raises(UnknownCategoryError, match="own:rex"):
        read_label_map(path).resolve(released_taxonomy())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("dog\tn02084071\texact", ":3: 3 columns, not 4"),
        ("dog\tn02084072\texact\t", ":3: 'n02084072' is not a noun synset"),
        ("dog\tdog\texact\t", ":3: 'dog' is not a noun synset"),
        ("dog\tn02084071\tsame\t", ":3: relation 'same'"),
        ("cat\tn02084071\texact\t", ":3: label 'cat' is also on line 2"),
        ("\tn02084071\texact\t", ":3: no label"),
    ],
)
def test_a_wrong_line_is_named_with_its_file_and_number(
    tmp_path: Path, line: str, words: str
) -> None:
    path = written(tmp_path / "bad.tsv", "cat\tn02121808\texact\t", line)
    with pytest.raises(InputError) as caught:
        read_label_map(path)
    assert str(caught.value).startswith(f"{path}{words}")


def test_an_unknown_packaged_map_is_named() -> None:
    with pytest.raises(InputError, match="known: coco, voc"):
        packaged_label_map("imagenet")
