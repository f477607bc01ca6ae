"""COCO's and LVIS's JSON."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.labels.sources.writing import column, line_rejects, rejects, tags, write
from tests.labels.tiny import CAR, CAT, DOG, KEYS, PERSON, TAXONOMY, VEHICLE

from mlimages.errors import InputError
from mlimages.labels import reading as reading_module
from mlimages.labels.reading import Reading
from mlimages.labels.sources import coco, json_values, lvis

CATEGORIES = [
    {"id": 1, "name": "person"},
    {"id": 3, "name": "car"},
    {"id": 18, "name": "dog"},
    {"id": 70, "name": "unicorn"},
]
HOST = "http://images.example/train2017"


def image(number: int, **more: Any) -> dict[str, Any]:
    name = f"{number:012d}.jpg"
    return {"id": number, "file_name": name, "width": 4, "height": 3, "license": 2, **more}


def annotations(*pairs: tuple[int, int]) -> list[dict[str, Any]]:
    return [
        {"id": n, "image_id": i, "category_id": c, "segmentation": [[1.5, 2.0] * 20]}
        for n, (i, c) in enumerate(pairs)
    ]


def write_json(path: Path, **members: Any) -> Path:
    data = {
        "info": {"year": 2017},
        "licenses": [{"id": 2, "name": "CC BY", "url": "http://cc.example/by"}],
        "images": [image(1), image(2), image(3)],
        "annotations": annotations((1, 18), (1, 18), (2, 3), (1, 1), (2, 70)),
        "categories": CATEGORIES,
    }
    return write(path, json.dumps(data | members))


def test_annotations_become_facts_of_an_exhaustive_source(tmp_path: Path) -> None:
    photo = write(tmp_path / "photos" / "000000000001.jpg")
    listed = [image(1, coco_url=f"{HOST}/000000000001.jpg"), image(2, flickr_url=f"{HOST}/2.jpg")]
    file = write_json(tmp_path / "instances_val2017.json", images=[*listed, image(3)])
    reading = coco.read(file, TAXONOMY, images=photo.parent)
    assert tags(reading) == {
        "000000000001": {DOG, PERSON},
        "000000000002": {CAR},
        "000000000003": set(),
    }
    assert column(reading, "uri") == [str(photo), f"{HOST}/2.jpg", None]
    assert column(reading, "more_uris") == [[f"{HOST}/000000000001.jpg"], None, None]
    assert column(reading, "split") == ["validation"] * 3
    assert column(reading, "licence") == ["http://cc.example/by"] * 3
    assert (column(reading, "width"), column(reading, "height")) == ([4] * 3, [3] * 3)
    assert reading.exhaustive.tolist() == sorted([DOG, PERSON, CAR])
    assert [note for note in reading.notes if "unicorn" in note]


def test_members_may_stand_in_any_order_and_be_compressed(tmp_path: Path) -> None:
    file = write_json(tmp_path / "a.json")
    data = json.loads(file.read_text())
    turned = json.dumps(dict(reversed(data.items())), indent=1)
    other = write(tmp_path / "b.json.gz", gzip.compress(b"\xef\xbb\xbf" + turned.encode()))
    assert tags(coco.read(file, TAXONOMY)) == tags(coco.read(other, TAXONOMY))


def test_broken_elements_are_named_and_spoil_no_other(tmp_path: Path) -> None:
    wrong = [{"image_id": 3}, {"category_id": 1}, 7, {"image_id": 9, "category_id": 1}]
    unknown = annotations((1, 99), (2, 99))
    file = write_json(
        tmp_path / "a.json",
        annotations=annotations((1, 18)) + wrong + unknown,
        images=[image(1), image(2), image(3), {"file_name": "x.jpg"}, {"id": 4}, image(1)],
        categories=[*CATEGORIES, {"id": "x"}, {"id": 1, "name": "again"}],
    )
    reading = coco.read(file, TAXONOMY)
    assert tags(reading) == {"000000000001": {DOG}, "000000000002": set()}
    assert rejects(reading, tmp_path) == {
        "a.json: annotations 3": "names no image",
        "a.json: annotations 4": "names no image",
        "a.json: images 3": f"{tmp_path}/a.json: annotations 2 tells no category",
        "a.json: images 4": "has no id",
        "a.json: images 5": "neither a file name nor a URL",
        "a.json: images 6": "image 000000000001 was listed before",
        "a.json: image 9": "annotated, but not among the images",
        "a.json: categories 5": "has no id or no name",
        "a.json: categories 6": "category 1 was declared before",
    }
    assert line_rejects(reading, tmp_path) == {
        "a.json: category 99": "2 annotations, but there is no such category"
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "ends too early"),
        ("[1]", "'[1]' where '{' belongs"),
        ('{"images": []}', "no categories"),
        ('{"images": [' + "[" * 100_000, "nested too deep"),
        ('{"categories": [{"id": 1, "name": "car"}], "annotations": [{"image_id": 1', "Expecting"),
        ('{"annotations": [{"image_id": NaN}]}', "NaN"),
        ('{"annotations": [{"image_id": ' + "9" * 5000 + "}]}", "digits"),
        ('{"annotations": [1 2]}', "where ']' belongs"),
        ('{"images": [1], 5: 6}', "key that is no text"),
    ],
)
def test_a_damaged_file_of_an_exhaustive_source_is_an_error(
    tmp_path: Path, text: str, reason: str
) -> None:
    with pytest.raises(InputError) as caught:
        coco.read(write(tmp_path / "a.json", text), TAXONOMY)
    assert reason in str(caught.value)


def test_a_value_without_end_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_values, "MAXIMUM_ELEMENT", 1000)
    monkeypatch.setattr(json_values, "BLOCK_CHARACTERS", 100)
    file = write(tmp_path / "a.json", '{"info": "' + "x" * 1_000_000)
    with pytest.raises(InputError, match="more than 1,000 characters"):
        coco.read(file, TAXONOMY)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_elements_are_the_same_however_the_file_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    text = '{ "a" : [ 1234 , -5.25e3,"caf\u00e9 \\" ]", {"b":[ ]}], "c":true , "d":[ ] , "e" : 12}'
    file = write(tmp_path / "a.json", text)
    monkeypatch.setattr(json_values, "BLOCK_CHARACTERS", size)
    with open(file, "rb") as stream:
        found = list(json_values.members(stream))
    data = json.loads(text)
    expected = [("a", value) for value in data["a"]] + [("c", True), ("e", 12)]
    assert found == expected


def test_files_of_a_folder_have_the_same_categories(tmp_path: Path) -> None:
    write_json(tmp_path / "instances_train2017.json")
    write_json(tmp_path / "instances_val2017.json", images=[image(7)], annotations=[])
    write(tmp_path / "captions_val2017.json", "{}")
    reading = coco.read(tmp_path, TAXONOMY)
    assert column(reading, "split") == ["train"] * 3 + ["validation"]
    write_json(tmp_path / "instances_val2017.json", categories=CATEGORIES[:1])
    with pytest.raises(InputError, match="other categories"):
        coco.read(tmp_path, TAXONOMY)
    with pytest.raises(InputError, match="no annotations"):
        coco.read(write(tmp_path / "empty" / "x.txt", "").parent, TAXONOMY)


def test_more_images_than_a_chunk_holds_come_in_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_module, "CHUNK_IMAGES", 2)
    file = write_json(tmp_path / "a.json", images=[image(n) for n in range(1, 8)])
    chunks = coco.read(file, TAXONOMY)
    assert isinstance(chunks, Iterator)
    found = list(chunks)
    assert [chunk.images.num_rows for chunk in found] == [2, 2, 2, 1]
    assert {tuple(chunk.exhaustive) for chunk in found} == {tuple(sorted([DOG, PERSON, CAR]))}


def test_names_may_be_keys_of_the_vocabulary(tmp_path: Path) -> None:
    names = [{"id": 1, "name": KEYS[CAT]}, {"id": 18, "name": "own:road"}]
    reading = coco.read(
        write_json(tmp_path / "a.json", categories=names, annotations=annotations((1, 1))), TAXONOMY
    )
    assert tags(reading)["000000000001"] == {CAT}
    assert len(reading.exhaustive) == 2


def lvis_facts(reading: Reading) -> set[tuple]:
    ids = column(reading, "id")
    return {
        (ids[f["image"]], f["category"], f["present"], f["kind"]) for f in reading.facts.to_pylist()
    }


def test_lvis_tells_present_absent_and_unknown_apart(tmp_path: Path) -> None:
    categories = [
        {"id": 1, "name": "dog", "synset": "dog.n.01"},
        {"id": 2, "name": "cat", "synset": "cat.n.01"},
        {"id": 3, "name": "car_(automobile)", "synset": "car.n.01"},
        {"id": 4, "name": "puppy", "synset": "puppy.n.01"},
        {"id": 5, "name": "stop_sign", "synset": "no_such_thing.n.01"},
        {"id": 6, "name": "vehicle"},
    ]
    one = image(1, neg_category_ids=[2, 3, 5], not_exhaustive_category_ids=[1])
    del one["file_name"]
    one["coco_url"] = f"{HOST}/000000000001.jpg"
    # Absence of a puppy is no absence of dogs; what is both negative and there is no absence.
    two = image(2, neg_category_ids=[4, 1, 99], not_exhaustive_category_ids=[])
    file = write_json(
        tmp_path / "lvis_v1_val.json",
        images=[one, two],
        annotations=annotations((1, 1), (1, 4), (2, 1), (2, 5), (2, 6)),
        categories=categories,
    )
    reading = lvis.read(file, TAXONOMY, label_map=None)
    assert lvis_facts(reading) == {
        ("000000000001", DOG, True, "asserted"),
        ("000000000001", CAT, False, "verified"),
        ("000000000001", CAR, False, "verified"),
        ("000000000002", DOG, True, "asserted"),
    }
    assert len(reading.exhaustive) == 0
    assert column(reading, "uri")[0] == f"{HOST}/000000000001.jpg"
    assert column(reading, "split") == ["validation"] * 2
    reasons = [(row["location"], row["reason"]) for row in reading.line_rejects.to_pylist()]
    assert [reason for _, reason in reasons] == [
        "neg_category_ids holds what is no category",
        "dog is both negative and there",
        "2 images: it has no category",
        "1 images: it has no category",
    ]
    mapped = write(
        tmp_path / "map.tsv", f"label\twnid\trelation\tnote\nvehicle\t{KEYS[VEHICLE]}\texact\t\n"
    )
    assert ("000000000002", VEHICLE, True, "asserted") in lvis_facts(
        lvis.read(file, TAXONOMY, label_map=mapped)
    )


def test_a_cut_file_of_lvis_gives_what_can_be_read(tmp_path: Path) -> None:
    members = {
        "categories": [{"id": 1, "name": "dog", "synset": "dog.n.01"}],
        "images": [image(1, neg_category_ids=[]), image(2, neg_category_ids=[1])],
        "annotations": annotations((1, 1), (2, 1)),
    }
    text = json.dumps(members)
    file = write(tmp_path / "lvis.json", text[: text.rindex("{")])
    reading = lvis.read(file, TAXONOMY)
    assert lvis_facts(reading) == {
        ("000000000001", DOG, True, "asserted"),
        ("000000000002", DOG, False, "verified"),
    }
    assert "from character" in rejects(reading, tmp_path)["lvis.json"]


def test_a_file_that_is_not_exhaustive_keeps_its_scores_and_its_silence(tmp_path: Path) -> None:
    said = {
        "info": {"exhaustive": False, "split": "held out"},
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
        "annotations": [
            {"image_id": 1, "category_id": 5, "score": 0.25},
            {"image_id": 1, "category_id": 5, "score": 0.5},
            {"image_id": 2, "category_id": 5, "score": -1},
        ],
        "categories": [{"id": 5, "name": "mouse", "key": KEYS[DOG]}],
    }
    file = tmp_path / "a.json"
    file.write_text(json.dumps(said))
    reading = coco.read(file, TAXONOMY)
    assert len(reading.exhaustive) == 0
    assert reading.images["split"].to_pylist() == ["held out"] * 2
    assert [(f["image"], f["category"], f["confidence"]) for f in reading.facts.to_pylist()] == [
        (0, DOG, 0.5)
    ]
    assert reading.line_rejects["reason"].to_pylist() == ["score -1 is not in (0, 1]"]
    del said["info"]
    file.write_text(json.dumps(said))
    reading = coco.read(file, TAXONOMY)
    assert reading.exhaustive.tolist() == [DOG]
    assert reading.images["id"].to_pylist() == ["a"]  # of b, silence would say absent
    assert reading.rejects["reason"].to_pylist() == [
        f"{file}: annotations 3 score -1 is not in (0, 1]"
    ]


def test_lone_surrogates_in_a_split_and_in_further_places_are_no_error(tmp_path: Path) -> None:
    record = {"id": 1, "file_name": "a.jpg", "coco_url": HOST, "flickr_url": "http://h/\ud800"}
    said = {
        "info": {"split": "\ud800"},
        "images": [record],
        "annotations": [],
        "categories": [{"id": 18, "name": "dog"}],
    }
    file = write(tmp_path / "a.json", json.dumps(said))
    reading = coco.read(file, TAXONOMY)
    assert column(reading, "split") == ["\\ud800"]
    assert column(reading, "more_uris") == [None]
