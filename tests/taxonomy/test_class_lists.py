"""Class lists: what is read, and what is refused with its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mlimages.errors import InputError
from mlimages.taxonomy.building import EDITS
from mlimages.taxonomy.class_lists import (
    EDITS_HEADER,
    OWN_HEADER,
    Edits,
    ListedClass,
    OwnCategory,
    read_edits,
    read_imagenet_classes,
    read_names,
    read_openimages_classes,
    read_own_categories,
)
from mlimages.taxonomy.packaged import packaged
from mlimages.taxonomy.translations import NAMES_HEADER


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_text(text, encoding=encoding)
    return path


def test_the_counts_of_imagenet_are_read_whole(shared_data: Path) -> None:
    found = read_imagenet_classes(shared_data / "metadata" / "imagenet_fall11_synset_counts.csv")
    assert len(found) == 21_841
    assert sum(entry.images for entry in found) == 14_197_114
    assert sum(entry.images > 500 for entry in found) == 11_221


def test_columns_are_found_by_name_and_quotes_and_a_byte_order_mark_are_read(
    tmp_path: Path,
) -> None:
    text = 'images,wnid,class_name\n12,n02084071,"dog, hound"\n\n3,n02114100,wolf\n'
    path = written(tmp_path / "counts.csv", text, "utf-8-sig")
    assert read_imagenet_classes(path) == [
        ListedClass("n02084071", "dog, hound", 12),
        ListedClass("n02114100", "wolf", 3),
    ]


def test_open_images_classes_with_and_without_a_header(tmp_path: Path) -> None:
    rows = '/m/0bt9lr,Dog,650\n"/m/01n5jq","Poodle  dog",7\n'
    expected = [ListedClass("/m/0bt9lr", "Dog", 650), ListedClass("/m/01n5jq", "Poodle dog", 7)]
    assert read_openimages_classes(written(tmp_path / "a.csv", rows)) == expected
    assert read_openimages_classes(written(tmp_path / "b.csv", f"mid,name,n\n{rows}")) == expected
    names = written(tmp_path / "c.csv", "dog,Dog,3\ncat,Cat,4\n")  # labels that are no MIDs
    assert [entry.label for entry in read_openimages_classes(names)] == ["dog", "cat"]


def test_decisions_own_categories_and_names(tmp_path: Path) -> None:
    edits = (
        f"{EDITS_HEADER}\nkeep\tn02084071\t\t\ndrop\tn02114100\t\twild\nmerge\town:a\tn02084071\t\n"
    )
    assert read_edits(written(tmp_path / "edits.tsv", edits)) == Edits(
        frozenset({"n02084071"}), frozenset({"n02114100"}), merge=(("own:a", "n02084071"),)
    )
    own = f"{OWN_HEADER}\nown:a\town:b\tA\nown:b\tn02084071\tB\n"
    assert read_own_categories(written(tmp_path / "own.tsv", own)) == [
        OwnCategory("own:a", "own:b", "A"),
        OwnCategory("own:b", "n02084071", "B"),
    ]
    names = f"{NAMES_HEADER}\nn02084071\tde\tHund\n"
    assert read_names(written(tmp_path / "names.tsv", names)) == [("n02084071", "de", "Hund")]


def test_the_packaged_decisions_are_read() -> None:
    edits = read_edits(packaged(EDITS))
    assert "n11669921" in edits.expand  # flower
    assert "n06874185" in edits.keep  # traffic light
    assert "n04306847" in edits.drop  # statue


IMAGENET = "synid,class_name,urls\nn02084071,dog,5\n"


@pytest.mark.parametrize(
    ("read", "text", "words"),
    [
        (read_imagenet_classes, "synid,class_name\n", ":1: no column urls or images"),
        (read_imagenet_classes, "", ":1: no column synid or wnid"),
        (read_imagenet_classes, IMAGENET + "n02084072,x,5\n", ":3: 'n02084072' is no synset"),
        (read_imagenet_classes, IMAGENET + "n02084071,dog,6\n", ":3: n02084071 a second time"),
        (read_imagenet_classes, IMAGENET + "n02114100,wolf,-1\n", ":3: '-1' is no number"),
        (read_imagenet_classes, IMAGENET + "n02114100,wolf,1e3\n", ":3: '1e3' is no number"),
        (read_imagenet_classes, IMAGENET + "n02114100,wolf\n", ":3: 2 columns, not 3"),
        (read_openimages_classes, "/m/0bt9lr,Dog\n", ":1: 2 columns, not 3"),
        (read_openimages_classes, "/m/0bt9lr,Dog,many\n", ":1: 'many' is no number"),
        (read_openimages_classes, "mid,name,n\nmid,name,n\n", ":2: 'n' is no number"),
        (read_openimages_classes, "/m/0,D,1\n/m/0,D,1\n", ":2: /m/0 a second time"),
        (read_edits, f"{EDITS_HEADER}\nkeeep\tn02084071\t\t\n", "did you mean 'keep'?"),
        (read_edits, f"{EDITS_HEADER}\nkeep\tn02084072\t\t\n", ":2: 'n02084072' is neither"),
        (read_edits, f"{EDITS_HEADER}\nmerge\tn02084071\t\t\n", ":2: only merge has a key"),
        (read_edits, f"{EDITS_HEADER}\nkeep\tn02084071\tn02114100\t\n", ":2: only merge has"),
        (
            read_edits,
            f"{EDITS_HEADER}\nkeep\tn02084071\t\t\ndrop\tn02084071\t\t\n",
            "keep and drop of n02084071",
        ),
        (read_own_categories, f"{OWN_HEADER}\nrex\tn02084071\tRex\n", ":2: 'rex' is not of the"),
        (read_own_categories, f"{OWN_HEADER}\nown:a\town:b\tA\n", ":2: parent own:b is not listed"),
        (read_own_categories, f"{OWN_HEADER}\nown:a\tn1\tA\n", ":2: 'n1' is neither"),
        (read_own_categories, f"{OWN_HEADER}\nown:a\tn02084071\t\n", ":2: no name"),
        (read_names, f"{NAMES_HEADER}\nn02084071\t\tHund\n", ":2: no language"),
        (read_names, "key,language,name\n", ":1: not the expected header"),
    ],
)
def test_a_wrong_line_is_named_with_its_place(
    tmp_path: Path, read: Callable[[Path], object], text: str, words: str
) -> None:
    path = written(tmp_path / "list", text)
    with pytest.raises(InputError) as caught:
        read(path)
    assert words in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_files_that_are_no_lists_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_imagenet_classes(tmp_path / "missing.csv")
    with pytest.raises(InputError, match="is a folder"):
        read_openimages_classes(tmp_path)
    with pytest.raises(InputError, match="not UTF-8"):
        read_openimages_classes(written(tmp_path / "latin.csv", "/m/0,caf\xe9,3\n", "latin-1"))
