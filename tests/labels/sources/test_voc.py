"""PASCAL VOC's annotations."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.labels.sources.writing import column, line_rejects, rejects, tags, write
from tests.labels.tiny import CAR, DOG, PERSON, TAXONOMY

from mlimages.errors import InputError
from mlimages.labels.sources.voc import read
from mlimages.taxonomy.categories import released_taxonomy

GOOD_BOX = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>100</xmax><ymax>50</ymax></bndbox>"
SIZE = "<size><width>100</width><height>50</height><depth>3</depth></size>"


def thing(name: str, box: str = GOOD_BOX, more: str = "") -> str:
    return f"<object><name>{name}</name>{more}{box}</object>"


def annotation(*things: str) -> str:
    return f"<annotation><filename>x.jpg</filename>{SIZE}{''.join(things)}</annotation>"


def dataset(root: Path, annotations: dict[str, str], **lists: str) -> Path:
    voc = root / "VOCdevkit" / "VOC2012"
    for name, text in annotations.items():
        write(voc / "JPEGImages" / f"{name}.jpg")
        write(voc / "Annotations" / f"{name}.xml", text)
    for name, lines in lists.items():
        write(voc / "ImageSets" / "Main" / f"{name}.txt", lines)
    return voc


def test_objects_become_one_fact_a_class(tmp_path: Path) -> None:
    part = "<part><name>head</name></part>"
    text = annotation(thing("person", more=part), thing("person"), thing("dog"))
    voc = dataset(tmp_path, {"a": text, "b": annotation()}, train="a\n", val="b\n")
    for place in (tmp_path, tmp_path / "VOCdevkit", voc):
        reading = read(place, TAXONOMY)
        assert tags(reading) == {"a": {PERSON, DOG}, "b": set()}
        assert column(reading, "split") == ["train", "validation"]
        assert (column(reading, "width"), column(reading, "height")) == ([100, 100], [50, 50])
    assert set(reading.exhaustive.tolist()) >= {PERSON, DOG, CAR}
    assert column(read(voc, TAXONOMY, split="mine"), "split") == ["mine", "mine"]


def test_a_difficult_object_is_present(tmp_path: Path) -> None:
    text = annotation(thing("car", more="<difficult>1</difficult>"))
    reading = read(dataset(tmp_path, {"a": text}), TAXONOMY)
    assert tags(reading) == {"a": {CAR}}
    assert "1 objects, 1 of them difficult" in reading.notes


@pytest.mark.parametrize(
    ("broken", "reason", "kept"),
    [
        (thing("unicorn"), "unknown class 'unicorn'", False),
        (f"<object>{GOOD_BOX}</object>", "unknown class ''", False),
        (thing("car", ""), "no box", True),
        (thing("car", GOOD_BOX.replace("100", "101")), "outside the image", True),
        (thing("car", GOOD_BOX.replace("<xmin>1", "<xmin>-1")), "outside the image", True),
        (thing("car", GOOD_BOX.replace("<xmin>1", "<xmin>100")), "impossible", True),
        (thing("car", GOOD_BOX.replace("<ymin>1", "<ymin>nan")), "impossible", True),
        (thing("car", GOOD_BOX.replace("50", "high")), "without four numbers", True),
    ],
)
def test_a_broken_object_is_named_and_the_rest_kept(
    tmp_path: Path, broken: str, reason: str, kept: bool
) -> None:
    voc = dataset(tmp_path, {"a": annotation(thing("dog"), broken)})
    reading = read(voc, TAXONOMY)
    assert tags(reading) == {"a": {DOG} | ({CAR} if kept else set())}
    found = line_rejects(reading, voc)
    assert list(found) == ["Annotations/a.xml: object 2"]
    assert reason in found["Annotations/a.xml: object 2"]


BOMB = """<!DOCTYPE annotation [<!ENTITY a "dog"><!ENTITY b "&a;&a;">]>
<annotation><object><name>&a;</name></object></annotation>"""
FILE = """<!DOCTYPE annotation [<!ENTITY a SYSTEM "file:///etc/passwd">]>
<annotation><object><name>&a;</name></object></annotation>"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<annotation><object>", "not an annotation in XML"),
        ("", "not an annotation in XML"),
        ("plain text", "not an annotation in XML"),
        (BOMB, "document type"),
        (FILE, "document type"),
        (BOMB.encode("utf-16"), "document type"),
        ('<?xml version="1.0" encoding="klingon"?><annotation/>', "not an annotation in XML"),
    ],
)
def test_xml_that_cannot_be_trusted_is_a_reject(
    tmp_path: Path, text: str | bytes, reason: str
) -> None:
    voc = dataset(tmp_path, {"good": annotation(thing("dog")), "bad": "<annotation/>"})
    write(voc / "Annotations" / "bad.xml", text)
    reading = read(voc, TAXONOMY)
    assert tags(reading) == {"good": {DOG}}
    assert reason in rejects(reading, voc)["Annotations/bad.xml"]


def test_annotations_that_cannot_be_opened_are_rejects(tmp_path: Path) -> None:
    voc = dataset(tmp_path, {"a": annotation(thing("dog")), "b": "", "c": ""})
    for name in "bc":
        (voc / "Annotations" / f"{name}.xml").unlink()
    (voc / "Annotations" / "b.xml").mkdir()
    (voc / "Annotations" / "c.xml").symlink_to("nowhere")
    reading = read(voc, TAXONOMY)
    assert tags(reading) == {"a": {DOG}}
    assert list(rejects(reading, voc)) == ["Annotations/b.xml", "Annotations/c.xml"]


def test_an_endless_number_is_no_size(tmp_path: Path) -> None:
    text = annotation(thing("dog")).replace(">100</width>", f">{'9' * 5000}</width>")
    reading = read(dataset(tmp_path, {"a": text}), TAXONOMY)
    assert column(reading, "width") == [None]


def test_photos_annotations_and_listed_names_without_the_other_are_rejects(tmp_path: Path) -> None:
    voc = dataset(tmp_path, {"a": annotation()}, train="a\ngone\ngone\n", val="gone\na\n")
    write(voc / "JPEGImages" / "photo.jpg")
    write(voc / "JPEGImages" / "thumbs.db")
    write(voc / "Annotations" / "alone.xml", annotation())
    reading = read(voc, TAXONOMY)
    assert reading.read == 5
    found = rejects(reading, voc)
    assert found["JPEGImages/photo.jpg"] == "no annotation Annotations/photo.xml"
    assert found["Annotations/alone.xml"] == "no photo JPEGImages/alone.jpg"
    assert "gone" in found["ImageSets/Main/train.txt:2"]
    assert "JPEGImages/thumbs.db" in found
    assert column(reading, "split") == ["train"]


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_nothing_to_read_is_one_clear_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="VOCdevkit"):
        read(tmp_path / name, TAXONOMY)


def test_voc2012(shared_data: Path) -> None:
    reading = read(shared_data / "voc2012", released_taxonomy())
    assert (reading.read, reading.images.num_rows, reading.rejects.num_rows) == (60, 60, 0)
    assert reading.line_rejects.num_rows == 0
    assert reading.facts.num_rows == 105  # 1.75 classes a photo
    assert len(reading.exhaustive) == 20
    assert "172 objects, 21 of them difficult" in reading.notes
    splits = column(reading, "split")
    assert (splits.count("train"), splits.count("validation")) == (45, 15)
