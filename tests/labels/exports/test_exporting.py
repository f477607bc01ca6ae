from __future__ import annotations

import base64
import csv
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.labels.exports import readers
from tests.labels.exports.databases import LICENCES, Sample, build, held, picture, write
from tests.labels.exports.test_round_trip import CASES
from tests.labels.tiny import ANIMAL, CAR, DOG, TAXONOMY

from mlimages.database import Database
from mlimages.errors import DatabaseError, InputError, UsageError
from mlimages.labels.exports.exporting import EXPORTS
from mlimages.labels.exports.tencent import DICTIONARY
from mlimages.labels.exports.values import LABEL_MAP
from mlimages.labels.exports.view import View
from mlimages.labels.reading import ReadingBuilder
from mlimages.labels.sources import open_images, tencent
from mlimages.labels.streams import joined
from mlimages.schemas import DUPLICATES, LEAKS
from mlimages.taxonomy.categories import Taxonomy, released_taxonomy
from mlimages.taxonomy.sensitivity import sensitive_wnids
from mlimages.taxonomy.wordnet import PERSON

BY, ZERO = LICENCES[1], LICENCES[2]
IMAGES = [
    Sample(
        licence=BY if i % 3 == 0 else ZERO if i % 3 == 1 else None,
        author=f"author {i % 2}",
        url=i % 4 != 0,
        split="train" if i < 9 else "validation",
        size=(640, 480) if i < 5 else None,
        facts={
            "first": [(DOG, True, 0.9, "asserted"), (CAR, False, 1.0, "verified")],
            "second": [(ANIMAL, True, 1.0, "verified")] if i % 2 else [],
        },
    )
    for i in range(12)
]


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Database:
    return build(tmp_path_factory.mktemp("exporting") / "DB", IMAGES)


def read_image_of(format: str):  # type: ignore[no-untyped-def]
    return picture if EXPORTS[format].images != "never" else None


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_an_image_that_another_stands_for_is_not_exported(tmp_path: Path) -> None:
    db = build(tmp_path / "DB", IMAGES)
    with db.store.commit("test") as commit:
        merged = [{"row": 3, "kept": 0, "evidence": "bytes"}]
        commit.replace("duplicates", pa.Table.from_pylist(merged, schema=DUPLICATES))
        leaked = [{"row": 5, "outside": "x.jpg", "evidence": "bytes"}]
        commit.replace("leaks", pa.Table.from_pylist(leaked, schema=LEAKS))
    view = View(db.store, db.taxonomy, db.taxonomy.hierarchy("tencent"))
    rows = [row for block in view.blocks() for row in block.rows.tolist()]
    assert rows == [row for row in range(12) if row not in (3, 5)]


@pytest.mark.parametrize("format", EXPORTS)
def test_the_same_database_gives_the_same_bytes(format: str, db: Database, tmp_path: Path) -> None:
    for name in ("once", "twice"):
        write(db, format, tmp_path / name, read_image=read_image_of(format))
    once, twice = files_of(tmp_path / "once"), files_of(tmp_path / "twice")
    assert once == twice
    assert {"croissant.json", "ATTRIBUTION.md", "attribution.csv"} <= once.keys()


@pytest.mark.parametrize("format", EXPORTS)
def test_an_interrupted_export_leaves_nothing(format: str, db: Database, tmp_path: Path) -> None:
    from mlimages.labels.exports.view import View

    class Interrupted(View):
        def _blocks_of(self, partition: int):  # type: ignore[no-untyped-def]
            yield from super()._blocks_of(partition)
            if partition == 1:
                raise KeyboardInterrupt

    from mlimages.labels.exports.exporting import export

    hierarchy = TAXONOMY.hierarchy("tencent")
    view = Interrupted(db.store, TAXONOMY, hierarchy, read_image=read_image_of(format))
    with pytest.raises(KeyboardInterrupt):
        export(view, format, tmp_path / "out", {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", sorted(EXPORTS.keys() - {"fiftyone"}))
def test_no_path_of_this_machine_is_published(format: str, tmp_path: Path) -> None:
    builder = ReadingBuilder("first", "table")
    for i, uri in enumerate(["/secret/home/a.jpg", "tar://a.jpg::/secret/home/b.tar"]):
        place = builder.add_image("list:1", uri, f"photo{i}")
        assert place is not None
        builder.add_fact(place, DOG)
    db = Database.create_from(tmp_path / "DB", TAXONOMY, builder.build())[0]
    db.complete()
    report = write(db, format, tmp_path / "out", read_image=read_image_of(format))
    for path, content in files_of(tmp_path / "out").items():
        assert b"/secret" not in content, path
    if format != "croissant":
        assert ("2 paths on this machine (never published)", 2) in report.not_carried


def test_what_is_not_carried_is_counted_on_this_database(db: Database, tmp_path: Path) -> None:
    report = write(db, "tencent", tmp_path / "out")
    said = held(db)
    facts = [fact for image in said.values() for fact in image["facts"]]
    counted = dict(report.not_carried)
    derived = sum(reason != 0 for image in said.values() for reason in image["reasons"].values())
    assert counted["12 absences that a source states"] == sum(not fact[3] for fact in facts) == 12
    assert counted[f"the rules that gave {derived} tags"] == derived > 0
    assert counted[f"the sources of {len(facts)} facts"] == len(facts)
    assert counted["the kinds of 18 facts that are not plainly asserted"] == 18
    assert counted["the licences of 8 images"] == sum(bool(i["licence"]) for i in said.values())
    assert counted["the sizes of 5 images"] == 5
    assert (report.images, report.tags) == (12, sum(len(i["tags"]) for i in said.values()))


def test_a_format_that_carries_all_of_it_reports_little(db: Database, tmp_path: Path) -> None:
    assert write(db, "croissant", tmp_path / "a").not_carried == []
    assert write(db, "webdataset", tmp_path / "b").not_carried == []


def test_the_report_counts_the_files_that_are_there(db: Database, tmp_path: Path) -> None:
    report = write(db, "coco", tmp_path / "out", read_image=picture)
    found = files_of(tmp_path / "out")
    assert (report.files, report.bytes) == (len(found), sum(map(len, found.values())))
    assert sum(name.startswith("images/") for name in found) == 12


def test_one_split_alone(db: Database, tmp_path: Path) -> None:
    report = write(db, "webdataset", tmp_path / "out", split="validation")
    found = readers.read_webdataset(tmp_path / "out")
    assert report.images == len(found) == 3
    assert {image["split"] for image in found.values()} == {"validation"}


@pytest.mark.parametrize("format", ["huggingface", "webdataset", "tfrecord"])
def test_full_shards_are_followed_by_more(format: str, db: Database, tmp_path: Path) -> None:
    case = next(case for case in CASES.values() if case.format == format)
    write(db, format, tmp_path / "out", read_image=picture, shard_bytes=200)
    shards = list((tmp_path / "out").rglob("train-*"))
    assert len(shards) >= 2
    assert case.read(tmp_path / "out").keys() == held(db).keys()


def test_images_without_bytes_are_counted(db: Database, tmp_path: Path) -> None:
    def some(row: int):  # type: ignore[no-untyped-def]
        return picture(row) if row % 2 else None

    for format in ("tfrecord", "webdataset", "coco", "huggingface"):
        report = write(db, format, tmp_path / format, read_image=some)
        assert ("6 images whose bytes are not packed", 6) in report.not_carried
    assert len(readers.read_tfrecord(tmp_path / "tfrecord")) == 6


def test_ids_that_a_url_does_not_give_are_counted(tmp_path: Path) -> None:
    builder = ReadingBuilder("first", "table")
    place = builder.add_image("list:1", "https://example.org/x/photo.jpg", "0a1b2c3d")
    assert place is not None
    builder.add_fact(place, DOG)
    db = Database.create_from(tmp_path / "DB", TAXONOMY, builder.build())[0]
    db.complete()
    report = write(db, "tencent", tmp_path / "out")
    assert ("ids of 1 images that their URL does not give", 1) in report.not_carried


def test_errors_name_the_way_out(db: Database, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="exists already"):
        write(db, "coco", tmp_path / "there")
    with pytest.raises(InputError, match="no such split; did you mean 'train'"):
        write(db, "coco", tmp_path / "out", split="trian")
    with pytest.raises(UsageError, match="--sparse: coco does not use it"):
        write(db, "coco", tmp_path / "out", sparse=True)
    with pytest.raises(InputError, match="did you mean 'coco'"):
        db.export("cocoa", tmp_path / "out")
    with pytest.raises(UsageError, match="--with-images: tencent"):
        db.export("tencent", tmp_path / "out", with_images=True)
    with pytest.raises(InputError, match="none of its images is packed"):
        db.export("tfrecord", tmp_path / "out")
    with pytest.raises(InputError, match="shard size"):
        write(db, "webdataset", tmp_path / "out", shard_bytes=0)
    assert not (tmp_path / "out").exists()


def test_all_tags_need_a_completed_database(tmp_path: Path) -> None:
    builder = ReadingBuilder("first", "table")
    place = builder.add_image("list:1", None, "photo")
    assert place is not None
    builder.add_fact(place, DOG)
    db = Database.create_from(tmp_path / "DB", TAXONOMY, builder.build())[0]
    with pytest.raises(DatabaseError, match="has no tags; run: mlimages complete"):
        db.export("coco", tmp_path / "out")
    assert db.export("coco", tmp_path / "out", tags="asserted").tags == 1


def test_the_released_lists_come_back_but_for_order_and_spelling(
    shared_data: Path, tmp_path: Path
) -> None:
    released = shared_data / "tencent" / "train_urls_tiny.txt"
    taxonomy = released_taxonomy()
    reading = tencent.read(released, taxonomy)
    db = Database.create_from(tmp_path / "DB", taxonomy, reading)[0]
    db.export("tencent", tmp_path / "out", tags="asserted")
    written = tmp_path / "out" / "train_urls_from_openimages.txt"

    def lines(path: Path) -> list[tuple[str, set[tuple[int, float]]]]:
        rows = [line.split("\t") for line in path.read_text().splitlines()]
        return [
            (url, {(int(i), float(c)) for i, c in (pair.split(":") for pair in pairs)})
            for url, *pairs in rows
        ]

    assert lines(written) == lines(released)
    dictionary = shared_data / "tencent" / DICTIONARY
    assert (tmp_path / "out" / DICTIONARY).read_bytes() == dictionary.read_bytes()


def test_single_label_images_are_listed_as_in_the_release(tmp_path: Path) -> None:
    builder = ReadingBuilder("imagenet", "imagenet", single_label=True)
    place = builder.add_image("x", "/photos/n02084071/n02084071_7.JPEG", "n02084071_7")
    assert place is not None
    builder.add_fact(place, DOG)
    db = Database.create_from(tmp_path / "DB", TAXONOMY, builder.build())[0]
    write(db, "tencent", tmp_path / "out", tags="asserted")
    text = (tmp_path / "out" / "train_image_id_from_imagenet.txt").read_text()
    assert text == f"n02084071/n02084071_7.JPEG\t{DOG}:1\n"


def test_attribution_has_a_line_for_each_image_that_needs_one(db: Database, tmp_path: Path) -> None:
    report = write(db, "croissant", tmp_path / "out")
    with open(tmp_path / "out" / "attribution.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    needing = {name: image for name, image in held(db).items() if image["licence"] == BY}
    assert {row["ImageID"]: row["Author"] for row in rows} == {
        name: image["author"] for name, image in needing.items()
    }
    assert report.attributed == len(rows) == 4
    summary = (tmp_path / "out" / "ATTRIBUTION.md").read_text()
    assert f"| {BY} | 4 | 2 |" in summary
    assert f"| {ZERO} | 4 | 2 |" in summary
    assert "| none stated | 4 | 2 |" in summary
    assert f"| first | {BY} | 4 |" in summary


def test_sensitive_categories_stay_in_published_data(tmp_path: Path) -> None:
    key = min(sensitive_wnids() - {PERSON})
    taxonomy = Taxonomy.from_keys([PERSON, key], [-1, 0])
    builder = ReadingBuilder("first", "table")
    place = builder.add_image("list:1", None, "photo")
    assert place is not None
    builder.add_fact(place, 1)
    db = Database.create_from(tmp_path / "DB", taxonomy, builder.build())[0]
    db.complete()
    db.export("webdataset", tmp_path / "out")
    assert readers.read_webdataset(tmp_path / "out")["photo"]["tags"].keys() == {PERSON, key}
    metadata = json.loads((tmp_path / "out" / "croissant.json").read_text())
    assert "1 categories of persons" in metadata["rai:personalSensitiveInformation"]


def test_parquet_row_groups_with_bytes_stay_small(db: Database, tmp_path: Path) -> None:
    write(db, "huggingface", tmp_path / "out", read_image=picture)
    for path in (tmp_path / "out" / "data").glob("*.parquet"):
        file = pq.ParquetFile(path)
        assert max(file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)) <= 256


DETAILS = {
    "title": "A dog",
    "landing_url": "https://example.org/dog",
    "bytes": 321,
    "md5": "00112233445566778899aabbccddeeff",
    "rotation": 90.0,
}


@pytest.fixture(scope="module")
def detailed(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """An image of which a source says all that Open Images does."""
    builder = ReadingBuilder("first", "table")
    place = builder.add_image(
        "list:1", "https://example.org/dog.jpg", "dog", licence=BY, author="Ann", **DETAILS
    )
    assert place is not None
    builder.add_fact(place, DOG)
    root = tmp_path_factory.mktemp("detailed") / "DB"
    db = Database.create_from(root, TAXONOMY, builder.build())[0]
    db.complete()
    return db


def test_open_images_files_hold_the_original_s_details(detailed: Database, tmp_path: Path) -> None:
    detailed.export("open_images", tmp_path / "out")
    path = tmp_path / "out" / "train-images-with-labels-with-rotation.csv"
    with open(path, newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["Title"], row["OriginalLandingURL"]) == ("A dog", "https://example.org/dog")
    assert (row["OriginalSize"], row["Rotation"]) == ("321", "90.0")
    assert base64.b64decode(row["OriginalMD5"]).hex() == DETAILS["md5"]
    taxonomy_map = tmp_path / "out" / LABEL_MAP
    reading = joined(open_images.read(tmp_path / "out", TAXONOMY, label_map=taxonomy_map))
    (image,) = reading.images.to_pylist()
    assert {name: image[name] for name in DETAILS} == DETAILS


def test_formats_with_room_hold_the_original_s_details(detailed: Database, tmp_path: Path) -> None:
    assert dict(detailed.export("tencent", tmp_path / "lists").not_carried)["md5 of 1 images"] == 1
    detailed.export("huggingface", tmp_path / "parquet")
    (path,) = (tmp_path / "parquet" / "data").glob("*.parquet")
    (row,) = pq.read_table(path).to_pylist()
    assert {name: row[name] for name in DETAILS} == DETAILS
    detailed.export("webdataset", tmp_path / "tars")
    (path,) = (tmp_path / "tars").glob("*.tar")
    with tarfile.open(path) as archive:
        sample = json.load(archive.extractfile("dog.json"))  # type: ignore[arg-type]
    assert {name: sample[name] for name in DETAILS} == DETAILS
    (line,) = (tmp_path / "tars" / "attribution.csv").read_text().splitlines()[1:]
    assert "https://example.org/dog,A dog,Ann" in line


def test_splits_that_hugging_face_cannot_name_are_counted(tmp_path: Path) -> None:
    db = build(tmp_path / "DB", [Sample(split="odd / split", facts={"first": []})])
    report = write(db, "huggingface", tmp_path / "out")
    assert ("the exact split names of 1 images", 1) in report.not_carried
    assert (tmp_path / "out" / "data" / "odd___split-00000.parquet").is_file()
