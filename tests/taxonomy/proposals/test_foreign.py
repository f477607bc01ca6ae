"""Reading the classes of another data set, and what is known of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlimages.errors import InputError
from mlimages.taxonomy.proposals.foreign import (
    ForeignClass,
    read_classes,
    read_openimages_hierarchy,
    read_shared_images,
    with_parents,
)


def written(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def test_a_tsv_names_its_columns(tmp_path: Path) -> None:
    path = written(tmp_path / "c.tsv", "\ufeffname\tkey\tparent\nBat\t7\t3 4\nBall\t3\t\n")
    classes, rejected = read_classes(path)
    assert classes == [
        ForeignClass("7", ("Bat",), "", ("3", "4")),
        ForeignClass("3", ("Ball",)),
    ]
    assert rejected == []


def test_without_keys_the_name_is_the_key(tmp_path: Path) -> None:
    classes, _ = read_classes(written(tmp_path / "c.tsv", "name\ndog\n"))
    assert classes == [ForeignClass("dog", ("dog",))]


def test_lines_of_one_key_are_one_class_with_synonyms(tmp_path: Path) -> None:
    text = "key\tname\tgloss\n1\tsofa\t\n2\tbed\t\n1\tcouch\ta seat\n1\tsofa\tother\n"
    classes, _ = read_classes(written(tmp_path / "c.tsv", text))
    assert classes == [
        ForeignClass("1", ("sofa", "couch"), "a seat"),
        ForeignClass("2", ("bed",)),
    ]


@pytest.mark.parametrize("header", ["", "LabelName,DisplayName\r\n"])
def test_open_images_csv_with_quotes_and_bom(tmp_path: Path, header: str) -> None:
    text = f'\ufeff{header}/m/1,"Fruit, dried"\r\n/m/2,Bat\r\n'
    classes, rejected = read_classes(written(tmp_path / "c.csv", text))
    assert [(c.key, c.names[0]) for c in classes] == [("/m/1", "Fruit, dried"), ("/m/2", "Bat")]
    assert rejected == []


def test_bad_lines_are_named_and_left_out_or_fatal_when_strict(tmp_path: Path) -> None:
    path = written(tmp_path / "c.csv", "/m/1,Bat\n/m/2\n/m/3,\n,x\n/m/4,Cat\n")
    classes, rejected = read_classes(path)
    assert [c.key for c in classes] == ["/m/1", "/m/4"]
    assert rejected == [
        f"{path}:2: 1 columns, not 2",
        f"{path}:3: no name",
        f"{path}:4: no key",
    ]
    with pytest.raises(InputError, match=r"c\.csv:2: 1 columns"):
        read_classes(path, strict=True)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("c.tsv", b"nmae\nx\n", "did you mean 'name'"),
        ("c.tsv", b"key\nx\n", "no column `name`"),
        ("c.tsv", b"name\tname\nx\ty\n", "one twice"),
        ("c.tsv", b"name\n", "no class"),
        ("c.tsv", b"name\n\xff\n", "c.tsv:2: not UTF-8"),
        ("c.csv", b"/m/1,a\n\xff,b\n", "not a UTF-8 CSV"),
        ("c.csv", b"/m/1," + b"a" * 200_000, "field larger than field limit"),
        ("c.csv", b"", "no class"),
    ],
)
def test_files_that_hold_no_classes_are_named(
    tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_classes(tmp_path / name)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["none.tsv", "none.csv"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_classes(tmp_path / name)


def test_the_hierarchy_is_a_dag_written_as_a_tree_and_parts_are_no_kinds(tmp_path: Path) -> None:
    shared = {"LabelName": "/m/dog"}
    tree = {
        "LabelName": "/m/all",
        "Subcategory": [
            {"LabelName": "/m/pet", "Subcategory": [shared]},
            {"LabelName": "/m/animal", "Subcategory": [shared], "Part": [{"LabelName": "/m/paw"}]},
        ],
    }
    parents = read_openimages_hierarchy(written(tmp_path / "h.json", json.dumps(tree)))
    assert parents["/m/dog"] == ("/m/animal", "/m/pet")
    assert parents["/m/paw"] == parents["/m/all"] == ()
    dog = with_parents([ForeignClass("/m/dog", ("Dog",), parents=("/m/x",))], parents)
    assert dog[0].parents == ("/m/x", "/m/animal", "/m/pet")


def test_the_real_hierarchy_has_its_known_labels(shared_data: Path) -> None:
    parents = read_openimages_hierarchy(
        shared_data / "metadata" / "openimages_bbox_labels_600_hierarchy.json"
    )
    assert len(parents) == 602
    assert "/m/0jbk" in parents["/m/0ch_cf"]  # Fish is an Animal


@pytest.mark.parametrize("text", ["[1]", "{", '{"LabelName": "a", "Subcategory": 3}', "3"])
def test_another_json_is_no_hierarchy(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="not a hierarchy"):
        read_openimages_hierarchy(written(tmp_path / "h.json", text))


def test_shared_images_are_added_up(tmp_path: Path) -> None:
    text = "key\twnid\timages\na\tn1\t2\na\tn1\t3\nb\tn2\t0\n"
    assert read_shared_images(written(tmp_path / "s.tsv", text)) == {
        "a": {"n1": 5},
        "b": {"n2": 0},
    }


@pytest.mark.parametrize("count", ["-1", "1.5", "", "nan", "9" * 5000, "\u0663"])
def test_a_count_that_is_no_number_is_named(tmp_path: Path, count: str) -> None:
    path = written(tmp_path / "s.tsv", f"key\twnid\timages\na\tn1\t{count}\n")
    with pytest.raises(InputError, match=r"s\.tsv:2: .*no number of images"):
        read_shared_images(path)
