"""CSV, TSV and Parquet tables."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.labels.sources.writing import column, line_rejects, rejects, tags, write
from tests.labels.tiny import CAR, DOG, KEYS, PERSON, ROAD, TAXONOMY, VEHICLE

from mlimages.errors import InputError
from mlimages.labels.sources.table import read
from mlimages.taxonomy.categories import released_taxonomy
from mlimages.taxonomy.mapping import packaged_label_map


def facts(reading) -> set[tuple]:
    ids = column(reading, "id")
    return {
        (ids[row["image"]], row["category"], row["present"], row["confidence"])
        for row in reading.facts.to_pylist()
    }


def test_a_row_an_image_with_keys_indices_and_names(tmp_path: Path) -> None:
    text = f"Path,Tags,split,License,author\na.jpg,{KEYS[DOG]} 8 car,val,CC0,Ann\n/b.jpg,,,,\n"
    reading = read(write(tmp_path / "mine.csv", text), TAXONOMY)
    assert tags(reading) == {"a": {DOG, ROAD, CAR}, "b": set()}
    assert column(reading, "uri") == [str(tmp_path / "a.jpg"), "/b.jpg"]
    assert column(reading, "split") == ["val", "train"]
    assert column(reading, "licence") == ["CC0", None]
    assert column(reading, "author") == ["Ann", None]
    assert reading.source == "mine"


def test_a_row_a_pair_with_confidence_and_absence(tmp_path: Path) -> None:
    rows = "a,car,0.5,\na,dog,0,\nb,road,,no\nb,person,1,yes\na,vehicle,25e-2,\n"
    reading = read(write(tmp_path / "t.csv", "id,tag,confidence,present\n" + rows), TAXONOMY)
    assert facts(reading) == {
        ("a", CAR, True, 0.5),
        ("a", DOG, False, 1.0),
        ("a", VEHICLE, True, 0.25),
        ("b", ROAD, False, 1.0),
        ("b", PERSON, True, 1.0),
    }
    assert reading.read == 2
    assert column(reading, "uri") == [None, None]


def test_names_with_spaces_need_another_separator(tmp_path: Path) -> None:
    taxonomy = released_taxonomy()
    text = "id\ttags\na\tdomestic dog; sports car\n"
    reading = read(write(tmp_path / "t.tsv", text), taxonomy, separator=";")
    assert tags(reading) == {"a": {taxonomy.index("n02084071"), taxonomy.index("n04285008")}}


def test_parquet_with_lists_of_tags(tmp_path: Path) -> None:
    table = pa.table({"id": ["a", "b", None], "tags": [["dog", "8"], None, ["dog"]]})
    pq.write_table(table, tmp_path / "t.parquet")
    reading = read(tmp_path / "t.parquet", TAXONOMY)
    assert tags(reading) == {"a": {DOG, ROAD}, "b": set()}
    assert rejects(reading, tmp_path) == {"t.parquet: row 3": "neither an id nor a place"}


def test_columns_that_are_not_used_are_not_read(tmp_path: Path) -> None:
    taken = pa.array([10**15, 10**15], pa.timestamp("s"))  # Python's years end at 9999
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"taken": taken, "Tags": ["car", "dog"], "id": ["a", "b"]}), path)
    assert tags(read(path, TAXONOMY)) == {"a": {CAR}, "b": {DOG}}
    pq.write_table(pa.table({"id": taken, "tags": ["car", "dog"]}), path)
    with pytest.raises(InputError, match="row 1"):
        read(path, TAXONOMY)


@pytest.mark.parametrize(
    ("stance", "reason"),
    [
        ("0,yes", "contradicts confidence '0'"),
        ("0.0,1", "contradicts"),
        ("1e-60,", "is 0 as float32"),
        ("1e-60,no", "is 0 as float32"),
    ],
)
def test_a_stance_that_says_two_things_is_refused(tmp_path: Path, stance: str, reason: str) -> None:
    text = f"id,tag,confidence,present\na,car,{stance}\na,dog,0e5,no\n"
    reading = read(write(tmp_path / "t.csv", text), TAXONOMY)
    assert facts(reading) == {("a", DOG, False, 1.0)}
    assert reason in line_rejects(reading, tmp_path)["t.csv:2"]


@pytest.mark.parametrize("column_name", ["path", "url"])
def test_a_zero_byte_in_a_place_is_a_reject(tmp_path: Path, column_name: str) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({column_name: ["/a\0b.jpg"], "tags": ["car"]}), path)
    assert "zero byte" in rejects(read(path, TAXONOMY), tmp_path)["t.parquet: row 1"]


def test_labels_of_a_map(tmp_path: Path) -> None:
    text = "id,tags\na,person dog\nb,unicorn\n"
    reading = read(write(tmp_path / "t.csv", text), TAXONOMY, label_map="voc")
    assert tags(reading) == {"a": {PERSON, DOG}}
    assert "unicorn" in rejects(reading, tmp_path)["t.csv:3"]
    with pytest.raises(InputError, match="packaged"):
        read(tmp_path / "t.csv", TAXONOMY, label_map="missing")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"bad", "1 columns, not 3"),
        (b"bad,dog,1,extra", "4 columns, not 3"),
        (b"", "empty line"),
        (b",dog,1", "neither an id nor a place"),
        (b"caf\xe9,dog,1", "UTF-8"),
        (b"bad,zebra,1", "zebra"),
        (b"bad,,1", "no tag"),
        (b"bad,dog,nan", "confidence"),
        (b"bad,dog,-1", "confidence"),
        (b"bad,dog,1.1", "confidence"),
        (b"bad,dog,high", "confidence"),
        (b'"bad\n,dog,1', "columns, not 3"),
    ],
)
def test_a_broken_row_is_a_reject_with_its_line(tmp_path: Path, row: bytes, reason: str) -> None:
    file = write(tmp_path / "t.csv", b"id,tag,confidence\ngood,dog,1\n" + row + b"\n")
    reading = read(file, TAXONOMY)
    assert tags(reading) == {"good": {DOG}}
    found = rejects(reading, tmp_path)
    assert list(found) == ["t.csv:3"]
    assert reason in found["t.csv:3"]
    assert reading.read == 2


def test_a_broken_tag_leaves_the_image_its_others(tmp_path: Path) -> None:
    reading = read(write(tmp_path / "t.csv", "id,tags\na,dog zebra\n"), TAXONOMY)
    assert tags(reading) == {"a": {DOG}}
    assert reading.rejects.num_rows == 0
    assert "zebra" in line_rejects(reading, tmp_path)["t.csv:2"]


def test_an_image_in_two_rows_is_a_reject_where_a_row_is_an_image(tmp_path: Path) -> None:
    reading = read(write(tmp_path / "t.csv", "id,tags\na,dog\na,car\n"), TAXONOMY)
    assert tags(reading) == {"a": {DOG}}
    assert rejects(reading, tmp_path) == {"t.csv:3": "image a was listed before"}


@pytest.mark.parametrize("uri", ["ftp://host/a.jpg", "relative/a.jpg", "tar://no-archive"])
def test_places_of_other_kinds_are_rejects(tmp_path: Path, uri: str) -> None:
    good = "tar://m.jpg::/a.tar"
    text = f"uri,tags\n{uri},dog\nhttps://host/b.jpg,dog\n{good},dog\n"
    reading = read(write(tmp_path / "t.csv", text), TAXONOMY)
    assert column(reading, "uri") == ["https://host/b.jpg", good]
    assert list(rejects(reading, tmp_path)) == ["t.csv:2"]


def test_quoted_cells_may_hold_commas_and_breaks(tmp_path: Path) -> None:
    text = 'id,author,tags\na,"Ann,\nBob",dog\nb,Eve,zebra\n'
    reading = read(write(tmp_path / "t.csv", text), TAXONOMY)
    assert column(reading, "author") == ["Ann,\nBob"]
    assert list(rejects(reading, tmp_path)) == ["t.csv:4"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.csv", "", "empty"),
        ("t.csv", "id,colour\na,red\n", "no column tags or tag"),
        ("t.csv", "tags\ndog\n", "no column id"),
        ("t.csv", "id,id,tags\n", "two columns"),
        ("t.xlsx", "PK", "Parquet"),
        ("t.parquet", "not parquet", "not Parquet"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_clear_error(
    tmp_path: Path, name: str, content: str, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        read(write(tmp_path / name, content), TAXONOMY)


def test_a_missing_table_or_folder_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "missing.csv", TAXONOMY)
    with pytest.raises(InputError, match="no such folder"):
        read(write(tmp_path / "t.csv", "id,tags\n"), TAXONOMY, images=tmp_path / "missing")


def test_a_damaged_parquet_file_is_one_clear_error(tmp_path: Path) -> None:
    table = pa.table({"id": [str(i) for i in range(5000)], "tags": ["dog"] * 5000})
    pq.write_table(table, tmp_path / "t.parquet", compression="zstd")
    data = bytearray((tmp_path / "t.parquet").read_bytes())
    data[40:200] = bytes(160)
    (tmp_path / "t.parquet").write_bytes(bytes(data))
    with pytest.raises(InputError, match="intact"):
        read(tmp_path / "t.parquet", TAXONOMY)


def test_the_tags_of_voc2012(shared_data: Path) -> None:
    file = shared_data / "voc2012" / "image_tags.csv"
    reading = read(file, released_taxonomy(), label_map="voc")
    assert (reading.images.num_rows, reading.rejects.num_rows) == (11998, 0)
    assert reading.line_rejects.num_rows == 0
    lines = [line.split(",") for line in file.read_text().splitlines()[1:]]
    labels = packaged_label_map("voc").resolve(released_taxonomy()).categories
    assert tags(reading) == {
        name: {labels[tag][0] for tag in found.split()} for name, found in lines
    }


def test_rows_of_an_image_in_several_chunks_all_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlimages.database import Database
    from mlimages.labels.sources import table

    monkeypatch.setattr(table, "CHUNK_IMAGES", 2)
    rows = [f"Odd {n}.jpg,{tag}\n" for tag in ("dog", "car") for n in range(5)]
    file = write(tmp_path / "t.csv", "path,tag\n" + "".join(rows))
    report = Database.create(tmp_path / "DB", TAXONOMY).add(read(file, TAXONOMY))
    assert (report.new_images, report.facts, report.rejected) == (5, 10, 0)
