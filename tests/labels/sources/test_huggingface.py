"""Hugging Face's imagefolder."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.labels.sources.writing import column, line_rejects, rejects, tags, write
from tests.labels.tiny import CAR, CAT, DOG, KEYS, PERSON, ROAD, TAXONOMY

from mlimages.errors import InputError, UsageError
from mlimages.labels.sources.huggingface import read


def test_tables_of_three_kinds_in_folders_of_splits(tmp_path: Path) -> None:
    write(tmp_path / "train" / "metadata.csv", "file_name,label\na.jpg,dog\nsub/b.jpg,car\n")
    lines = '{"file_name": "c.jpg", "tags": ["dog", "car"]}\n{"file_name": "d.jpg"}\n'
    write(tmp_path / "validation" / "metadata.jsonl", lines)
    (tmp_path / "test").mkdir()
    table = pa.table({"file_name": ["e.jpg"], "labels": [["road"]]})
    pq.write_table(table, tmp_path / "test" / "metadata.parquet")
    reading = read(tmp_path, TAXONOMY)
    assert tags(reading) == {"e": {ROAD}, "a": {DOG}, "b": {CAR}, "c": {DOG, CAR}, "d": set()}
    places = dict(zip(column(reading, "id"), column(reading, "uri"), strict=True))
    assert places["b"] == str(tmp_path / "train" / "sub" / "b.jpg")
    splits = dict(zip(column(reading, "id"), column(reading, "split"), strict=True))
    assert splits == {
        "e": "test", "a": "train", "b": "train", "c": "validation", "d": "validation"
    }  # fmt: skip


def test_class_numbers_need_their_names(tmp_path: Path) -> None:
    write(tmp_path / "metadata.csv", "file_name,label\na.jpg,1\nb.jpg,2\n")
    names = write(tmp_path / "names.txt", "person\ncar\n")
    without = rejects(read(tmp_path, TAXONOMY), tmp_path)
    assert all("--classes" in reason for reason in without.values())
    assert len(without) == 2
    reading = read(tmp_path, TAXONOMY, classes=names)
    assert tags(reading) == {"a": {CAR}}
    assert rejects(reading, tmp_path) == {"metadata.csv:3": "class 2 is unknown, there are 2"}


def test_another_column_and_a_label_map(tmp_path: Path) -> None:
    write(tmp_path / "metadata.csv", "file_name,Objects,label\na.jpg,person;dog,ignored\n")
    reading = read(tmp_path, TAXONOMY, field="Objects", separator=";", label_map="voc")
    assert tags(reading) == {"a": {PERSON, DOG}}
    with pytest.raises(InputError, match="no column things"):
        read(tmp_path, TAXONOMY, field="things")


def test_broken_lines_of_json_are_rejects(tmp_path: Path) -> None:
    good = f'{{"file_name": "a.jpg", "tags": ["{KEYS[DOG]}", "unicorn"]}}'
    deep = '{"file_name": "b.jpg", "tags": ' + "[" * 100_000 + "]" * 100_000 + "}"
    nan = '{"file_name": "c.jpg", "confidence": NaN}'
    lines = [good, deep, nan, "[1]", "{", "", '{"tags": ["car"]}']
    file = write(tmp_path / "metadata.jsonl", "\n".join(lines) + "\n")
    reading = read(file, TAXONOMY)
    assert tags(reading) == {"a": {DOG}}
    found = rejects(reading, tmp_path)
    assert "nested too deep" in found["metadata.jsonl:2"]
    assert "NaN" in found["metadata.jsonl:3"]
    assert found["metadata.jsonl:4"] == "not a JSON object"
    assert "not JSON" in found["metadata.jsonl:5"]
    assert found["metadata.jsonl:6"] == "empty line"
    assert found["metadata.jsonl:7"] == "neither an id nor a place"
    assert "unicorn" in line_rejects(reading, tmp_path)["metadata.jsonl:1"]


def test_a_folder_without_metadata_is_one_clear_error(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg")
    with pytest.raises(InputError, match="metadata"):
        read(tmp_path, TAXONOMY)


def parquet(path: Path, columns: dict, names: list[str], kind: str = "Sequence") -> Path:
    feature: dict = {"names": names, "_type": "ClassLabel"}
    if kind == "Sequence":
        feature = {"feature": feature, "_type": kind}
    features = {"info": {"features": {"labels" if kind == "Sequence" else "label": feature}}}
    table = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps(features)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def test_parquet_of_named_classes_with_what_is_wrong_in_it(tmp_path: Path) -> None:
    columns = {
        "id": ["a", "b", "c", None, "e", "f"],
        "labels": [[0, 9], [1, 2], [9], [0], [0, 1], [3]],
        "confidences": [[0.5, 1.0], [float("nan"), 0.25], [1.0], [1.0], [1.0], [1.0]],
        "absent": [[1], [], [], [], [], []],
        "uris": [["https://h/a.jpg", "https://h/b.jpg"], ["/etc/passwd"], None, None, None, None],
        "width": [7, None, None, None, None, None],
    }
    columns["width"] = pa.array(columns["width"], pa.int32())  # type: ignore[assignment]
    file = parquet(tmp_path / "test-00000-of-00001.parquet", columns, ["dog", "car", "cat", "7"])
    reading = read(tmp_path, TAXONOMY)
    assert tags(reading) == {"a": {DOG}, "b": {CAT}, "f": set()}
    assert column(reading, "split") == ["test"] * 3
    assert column(reading, "uri") == ["https://h/a.jpg", None, None]
    assert column(reading, "more_uris") == [["https://h/b.jpg"], None, None]
    assert column(reading, "width") == [7, None, None]
    absent = [fact["category"] for fact in reading.facts.to_pylist() if not fact["present"]]
    assert absent == [CAR]
    assert rejects(reading, tmp_path) == {
        f"{file.name}: row 3": "class 9 is unknown, there are 4",
        f"{file.name}: row 4": "has no id",
        f"{file.name}: row 5": "2 labels, 1 confidences, 2 reasons",
    }
    named = [reject["reason"] for reject in reading.line_rejects.to_pylist()]
    assert named == [
        "class 9 is unknown, there are 4",
        "confidence nan is not above 0 and at most 1",
        "a place that is no public address",
        "1 images: it has no category",
    ]


def test_parquet_with_one_class_an_image_by_a_label_map(tmp_path: Path) -> None:
    table = {"id": ["a", "b"], "label": [1, 0]}
    file = parquet(tmp_path / "train.parquet", table, ["tv", "dog"], kind="single")
    write(tmp_path / "label-map.tsv", f"label\twnid\trelation\tnote\ndog\t{KEYS[CAR]}\texact\t\n")
    assert tags(read(file, TAXONOMY, label_map=tmp_path / "label-map.tsv")) == {
        "a": {CAR}, "b": set()
    }  # fmt: skip
    assert tags(read(tmp_path, TAXONOMY)) == {"a": {CAR}, "b": set()}
    with pytest.raises(UsageError, match="--classes"):
        read(tmp_path, TAXONOMY, classes=tmp_path / "names.txt")
    parquet(tmp_path / "z.parquet", table, ["dog", "tv"], kind="single")
    with pytest.raises(InputError, match="other classes"):
        read(tmp_path, TAXONOMY)


@pytest.mark.parametrize("missing", ["id", "labels"])
def test_parquet_without_a_column_that_it_needs(tmp_path: Path, missing: str) -> None:
    table = {"id": ["a"], "labels": [[0]]}
    del table[missing]
    parquet(tmp_path / "a.parquet", table, ["dog"])
    with pytest.raises(InputError, match=f"has no column {missing}"):
        read(tmp_path, TAXONOMY)
