"""The tools that the formats are for open what is written here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.labels.exports.databases import build, held, write
from tests.labels.exports.test_exporting import IMAGES
from tests.labels.tiny import TAXONOMY
from tests.tiny import make_tiny_data

from mlimages.database import Database
from mlimages.labels.sources import table
from mlimages.taxonomy.categories import released_taxonomy


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Database:
    return build(tmp_path_factory.mktemp("tools") / "DB", IMAGES)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A database with real photos in its shards."""
    root = tmp_path_factory.mktemp("packed")
    data = make_tiny_data(root / "tiny", images_a_class=3)
    taxonomy = released_taxonomy()
    db = Database.create_from(root / "DB", taxonomy, table.read(data.table, taxonomy))[0]
    db.complete()
    db.pack()
    return db


def test_hugging_face_reads_names_from_the_folder_and_from_parquet(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    write(db, "huggingface", tmp_path / "out")
    files = [str(path) for path in (tmp_path / "out" / "data").glob("train-*.parquet")]
    rows = datasets.load_dataset(
        "parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache")
    )
    names = rows.features["labels"].feature.names
    by_name = {category.names[0]: category.key for category in TAXONOMY.categories}
    said = held(db)
    for row in rows:
        expected = said[row["id"]]
        assert {by_name[names[i]] for i in row["labels"]} == expected["tags"].keys()
        assert {by_name[names[i]] for i in row["absent"]} == expected["absent"]
    both = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(part) for name, part in both.items()} == {"train": 9, "validation": 3}


def test_hugging_face_decodes_the_images(packed: Database, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    packed.export("huggingface", tmp_path / "out", with_images=True)
    files = [str(path) for path in (tmp_path / "out" / "data").glob("*.parquet")]
    cache = str(tmp_path / "cache")
    rows = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=cache)
    assert len(rows) == 12
    assert {row["image"].size for row in rows} == {(40, 40)}


def test_webdataset_reads_image_and_json_together(packed: Database, tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    packed.export("webdataset", tmp_path / "out", with_images=True)
    (shard,) = (tmp_path / "out").glob("*.tar")
    samples = list(webdataset.WebDataset(str(shard), shardshuffle=False).decode("rgb8"))
    assert len(samples) == 12
    for sample in samples:
        assert sample["jpg"].shape == (40, 40, 3)
        assert sample["json"]["id"] == sample["__key__"]
        assert "n00002684" in sample["json"]["tags"]  # object, above all of them


def test_the_image_bytes_are_the_packed_ones(packed: Database, tmp_path: Path) -> None:
    packed.export("coco", tmp_path / "coco", with_images=True)
    packed.export("fiftyone", tmp_path / "fiftyone", with_images=True)
    reader = packed.reader()
    for record in packed.store.table("images").to_pylist():
        data = reader.read(record["row"])
        name = f"{record['id']}.jpg"
        assert (tmp_path / "coco" / "images" / name).read_bytes() == data
        assert (tmp_path / "fiftyone" / "train" / "data" / name).read_bytes() == data
    content = json.loads((tmp_path / "coco" / "train.json").read_text())
    assert {(image["width"], image["height"]) for image in content["images"]} == {(40, 40)}


def test_fiftyone_finds_local_photos_without_copies(packed: Database, tmp_path: Path) -> None:
    packed.export("fiftyone", tmp_path / "out")
    places = json.loads((tmp_path / "out" / "train" / "data.json").read_text())
    labels = json.loads((tmp_path / "out" / "train" / "labels.json").read_text())["labels"]
    assert places.keys() == labels.keys()
    assert all(Path(place).is_file() for place in places.values())


def test_tfrecords_hold_the_packed_size(packed: Database, tmp_path: Path) -> None:
    from tests.labels.exports.readers import parse_example, records_of

    packed.export("tfrecord", tmp_path / "out")
    (path,) = (tmp_path / "out").glob("*.tfrecords")
    for record in records_of(path):
        example = parse_example(record)
        assert (example["width"], example["height"]) == ([40], [40])
        assert example["image"][0].startswith(b"\xff\xd8\xff")


@pytest.mark.parametrize("format", ["tencent", "open_images", "huggingface", "coco", "webdataset"])
def test_croissant_metadata_are_valid(format: str, db: Database, tmp_path: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    write(db, format, tmp_path / "out")
    found = mlcroissant.Dataset(jsonld=str(tmp_path / "out" / "croissant.json"))
    assert not found.metadata.ctx.issues.errors
    content = json.loads((tmp_path / "out" / "croissant.json").read_text())
    for file in content["distribution"]:
        if file["@type"] == "cr:FileObject":
            path = tmp_path / "out" / file["contentUrl"]
            assert file["contentSize"] == f"{path.stat().st_size} B"
    assert content["license"] == [image.licence for image in IMAGES[:2]]


def test_croissant_reads_the_rows_of_an_export(db: Database, tmp_path: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    write(db, "huggingface", tmp_path / "out")
    found = mlcroissant.Dataset(jsonld=str(tmp_path / "out" / "croissant.json"))
    rows = list(found.records("rows"))
    assert {row["rows/id"].decode() for row in rows} == held(db).keys()
    write(db, "open_images", tmp_path / "csv")
    found = mlcroissant.Dataset(jsonld=str(tmp_path / "csv" / "croissant.json"))
    stated = sum(len(i["absent"]) + len(i["verified"]) for i in held(db).values())
    assert len(list(found.records("human_labels"))) == stated


def test_croissant_of_a_database_reads_its_tables(db: Database, tmp_path: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    write(db, "croissant", tmp_path / "out")
    copy = shutil.copytree(db.root, tmp_path / "DB")
    shutil.copy(tmp_path / "out" / "croissant.json", copy)
    found = mlcroissant.Dataset(jsonld=str(copy / "croissant.json"))
    assert not found.metadata.ctx.issues.errors
    for name in ("images", "facts", "tags", "splits"):
        assert len(list(found.records(name))) == db.store.num_rows(name)
