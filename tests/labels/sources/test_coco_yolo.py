"""Boxes in YOLO's format."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.labels.sources.writing import column, line_rejects, rejects, tags, write
from tests.labels.tiny import CAR, DOG, PERSON, TAXONOMY

from mlimages.errors import InputError
from mlimages.labels.sources.coco_yolo import read
from mlimages.taxonomy.categories import released_taxonomy

YAML = "path: .\nnames:\n  0: person\n  1: car  # the motor vehicle\n  2: 'dog'\n\nnc: 3\n"


def dataset(root: Path, labels: dict[str, str], classes: str = YAML) -> Path:
    for name, lines in labels.items():
        write(root / "images" / f"{name}.jpg")
        write(root / "labels" / f"{name}.txt", lines)
    write(root / "data.yaml", classes)
    return root


def test_boxes_become_one_fact_a_class(tmp_path: Path) -> None:
    lines = "0 0.5 0.5 0.1 0.1\n0 0.2 0.2 0.1 0.1\n2 0.5 0.5 1 1\n"
    reading = read(dataset(tmp_path, {"a": lines, "b": ""}), TAXONOMY)
    assert tags(reading) == {"a": {PERSON, DOG}, "b": set()}
    assert reading.exhaustive.tolist() == [DOG, PERSON, CAR]
    assert "3 boxes, 2 pairs of image and class" in reading.notes


@pytest.mark.parametrize(
    "classes",
    [
        YAML,
        "names: [person, car, dog]\n",
        "names: {0: person, 1: car, 2: dog}\n",
        "names: [person,  # a human\n# vehicles\n  car,\n\n  dog]\nnc: 3\n",
        "names: {\n  0: person, 1: car,\n  2: dog,\n}\n",
        "names:\n- person\n- car\n- dog\n",
        "train: images\r\nnames:\r\n  - person\r\n  - car\r\n  - dog\r\n",
    ],
)
def test_class_names_are_read_in_each_form(tmp_path: Path, classes: str) -> None:
    reading = read(dataset(tmp_path, {"a": "1 0.5 0.5 0.1 0.1\n"}, classes), TAXONOMY)
    assert tags(reading) == {"a": {CAR}}


def test_a_list_of_class_names_beside_the_labels(tmp_path: Path) -> None:
    dataset(tmp_path, {"a": "1 0.5 0.5 0.1 0.1\n"}, "nothing: here\n")
    write(tmp_path / "labels" / "classes.txt", "person\ncar\n")
    assert tags(read(tmp_path, TAXONOMY)) == {"a": {CAR}}


@pytest.mark.parametrize(
    ("line", "reason", "kept"),
    [
        ("3 0.5 0.5 0.1 0.1", "class 3 is unknown", False),
        ("10000000001 0.5 0.5 0.1 0.1", "is unknown", False),  # not its first digits
        ("9" * 5000 + " 0.5 0.5 0.1 0.1", "is unknown", False),
        ("1", "is not: class cx cy", True),
        ("1 0.5 0.5 0.1", "is not: class cx cy", True),
        ("1 0.1 0.1 0.9 0.1 0.5 0.9", "is not: class cx cy", True),  # a polygon
        ("1 0.5 half 0.1 0.1", "is not: class cx cy", True),
        ("1 0.5 nan 0.1 0.1", "impossible box", True),
        ("1 0.5 0.5 320 0.1", "impossible box", True),
        ("1 0.5 0.5 0 0.1", "impossible box", True),
    ],
)
def test_a_broken_line_is_named_and_the_rest_kept(
    tmp_path: Path, line: str, reason: str, kept: bool
) -> None:
    lines = f"0 0.5 0.5 0.1 0.1\n{line}\n2 0.5 0.5 0.1 0.1\n"
    reading = read(dataset(tmp_path, {"a": lines}), TAXONOMY)
    assert tags(reading) == {"a": {PERSON, DOG} | ({CAR} if kept else set())}
    assert reading.rejects.num_rows == 0
    found = line_rejects(reading, tmp_path)
    assert list(found) == ["labels/a.txt:2"]
    assert reason in found["labels/a.txt:2"]


@pytest.mark.parametrize(
    "line", [b"-1 0.5 0.5 0.1 0.1", b"car 0.5 0.5 0.1 0.1", b"1.0 0.5 0.5 0.1 0.1", b"\xff 0.5"]
)
def test_a_photo_is_a_reject_when_a_line_tells_no_class(tmp_path: Path, line: bytes) -> None:
    dataset(tmp_path, {"a": "", "b": "2 0.5 0.5 0.1 0.1\n\n"})
    write(tmp_path / "labels" / "a.txt", b"0 0.5 0.5 0.1 0.1\n" + line + b"\n")
    reading = read(tmp_path, TAXONOMY)
    assert tags(reading) == {"b": {DOG}}
    assert list(rejects(reading, tmp_path)) == ["labels/a.txt:2"]


def test_labels_that_cannot_be_opened_are_a_reject(tmp_path: Path) -> None:
    dataset(tmp_path, {"a": "0 0.5 0.5 0.1 0.1\n", "b": ""})
    (tmp_path / "labels" / "b.txt").unlink()
    (tmp_path / "labels" / "b.txt").symlink_to("nowhere")
    reading = read(tmp_path, TAXONOMY)
    assert tags(reading) == {"a": {PERSON}}
    assert rejects(reading, tmp_path) == {"labels/b.txt": "no such file"}


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ("names: [person, car,\n  dog\n", "no closing ]"),
        ("names: {0: person,\n", "no closing }"),
        ("names:\n  " + "9" * 5000 + ": person\n", "class number too large"),
    ],
)
def test_broken_class_names_are_one_clear_error(tmp_path: Path, classes: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read(dataset(tmp_path, {"a": ""}, classes), TAXONOMY)


def test_a_class_without_a_mapping_is_told_and_its_lines_named(tmp_path: Path) -> None:
    names = "names: [person, unicorn]\n"
    lines = "0 0.5 0.5 0.1 0.1\n1 0.5 0.5 0.1 0.1\n"
    reading = read(dataset(tmp_path, {"a": lines}, names), TAXONOMY)
    assert tags(reading) == {"a": {PERSON}}
    assert reading.exhaustive.tolist() == [PERSON]  # of its own classes, not of COCO's 80
    assert "class 'unicorn' is not in the label map coco.tsv" in reading.notes
    assert "unicorn" in line_rejects(reading, tmp_path)["labels/a.txt:2"]


def test_photos_and_labels_without_the_other_are_rejects(tmp_path: Path) -> None:
    dataset(tmp_path, {"a": "0 0.5 0.5 0.1 0.1\n"})
    write(tmp_path / "images" / "b.jpg")
    write(tmp_path / "images" / "notes.md")
    write(tmp_path / "labels" / "c.txt", "")
    reading = read(tmp_path, TAXONOMY)
    assert reading.read == 4
    assert rejects(reading, tmp_path) == {
        "images/b.jpg": "no label file labels/b.txt",
        "images/notes.md": "not the name of an image",
        "labels/c.txt": "no photo images/c",
    }


@pytest.mark.parametrize("layout", ["images/{split}/a.jpg", "{split}/images/a.jpg"])
def test_splits_come_from_folders(tmp_path: Path, layout: str) -> None:
    for folder in ("train", "val"):
        photo = layout.format(split=folder)
        write(tmp_path / photo)
        write(tmp_path / photo.replace("images", "labels").replace(".jpg", ".txt"), "")
    write(tmp_path / "data.yaml", YAML)
    assert sorted(column(read(tmp_path, TAXONOMY), "split")) == ["train", "validation"]
    assert column(read(tmp_path, TAXONOMY, split="mine"), "split") == ["mine", "mine"]


@pytest.mark.parametrize(
    ("remove", "words"),
    [("images", "images/"), ("labels", "labels/"), ("data.yaml", "--classes")],
)
def test_a_missing_part_is_one_clear_error(tmp_path: Path, remove: str, words: str) -> None:
    dataset(tmp_path, {"a": ""})
    (tmp_path / remove).rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=words):
        read(tmp_path, TAXONOMY)


def test_two_lists_of_class_names_need_a_choice(tmp_path: Path) -> None:
    dataset(tmp_path, {"a": "0 0.5 0.5 0.1 0.1\n"})
    write(tmp_path / "other.yaml", "names: [dog]\n")
    with pytest.raises(InputError, match=r"data\.yaml, other\.yaml"):
        read(tmp_path, TAXONOMY)
    assert tags(read(tmp_path, TAXONOMY, classes=tmp_path / "other.yaml")) == {"a": {DOG}}


def test_a_missing_folder_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        read(tmp_path / "missing", TAXONOMY)


def test_coco128(shared_data: Path) -> None:
    reading = read(shared_data / "coco128", released_taxonomy())
    assert (reading.read, reading.images.num_rows, reading.facts.num_rows) == (130, 126, 362)
    assert {Path(place).name for place in rejects(reading, shared_data)} == {
        "000000000250.jpg",
        "000000000508.jpg",
        "000000000656.txt",
        "000000000659.txt",
    }
    assert "929 boxes, 362 pairs of image and class" in reading.notes
    assert reading.line_rejects.num_rows == 0
