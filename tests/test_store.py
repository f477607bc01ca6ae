"""The store: commits are whole or not at all, and readers keep their generation."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from mlimages import storage
from mlimages.errors import DatabaseError, StorageError
from mlimages.schemas import IMAGES, SPLITS
from mlimages.store import Store


def splits(*rows: int) -> pa.Table:
    return pa.table({"row": list(rows), "split": ["train"] * len(rows)}, schema=SPLITS)


def make(root: Path, *rows: int) -> Store:
    store = Store.create(root)
    with store.commit("test") as commit:
        commit.replace("splits", splits(*rows))
    return store


def files(root: Path) -> set[str]:
    return {path.name for path in root.rglob("*") if path.is_file()} - {".lock"}


def test_a_commit_is_read_back(tmp_path: Path) -> None:
    make(tmp_path / "db", 1, 2)
    store = Store.open(tmp_path / "db")
    assert store.table("splits")["row"].to_pylist() == [1, 2]
    assert store.table("facts").num_rows == 0


def test_appending_keeps_earlier_rows_in_order(tmp_path: Path) -> None:
    store = make(tmp_path / "db", 1)
    for row in (2, 3):
        with store.commit("test") as commit:
            commit.append("splits", splits(row))
    assert Store.open(tmp_path / "db").table("splits")["row"].to_pylist() == [1, 2, 3]


def images(*rows: int) -> pa.Table:
    empty = {"sources": [["s"]] * len(rows), "uris": [[]] * len(rows)}
    columns = {"row": list(rows), "id": [str(row) for row in rows], **empty}
    return pa.Table.from_pylist(pa.table(columns).to_pylist(), schema=IMAGES)


def test_tables_of_images_are_cut_into_partitions(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "db", partition_rows=3)
    with store.commit("test") as commit:
        commit.append("images", images(0, 1, 2, 3, 4, 5, 6))
        commit.append("images", images(7))
    store = Store.open(tmp_path / "db")
    assert store.partitions() == [0, 1, 2]
    assert store.table("images", ["row"], partition=1)["row"].to_pylist() == [3, 4, 5]
    assert store.table("images")["row"].to_pylist() == list(range(8))
    assert [entry.rows for entry in store.entries("images", 2)] == [1, 1]


def test_one_partition_is_replaced_without_the_others(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "db", partition_rows=2)
    with store.commit("test") as commit:
        commit.append("images", images(0, 1, 2, 3))
    before = {entry.path for entry in store.entries("images", 0)}
    with store.commit("test") as commit:
        commit.replace("images", images(2), partition=1)
        assert commit.table("images", ["row"], partition=1)["row"].to_pylist() == [2]
    assert store.table("images")["row"].to_pylist() == [0, 1, 2]
    assert {entry.path for entry in store.entries("images", 0)} == before


def test_a_failed_commit_leaves_the_old_generation_and_no_new_files(tmp_path: Path) -> None:
    store = make(tmp_path / "db", 1)
    before = files(tmp_path / "db")

    def fail() -> None:
        with store.commit("test") as commit:
            commit.replace("splits", splits(9))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert files(tmp_path / "db") == before
    assert Store.open(tmp_path / "db").table("splits")["row"].to_pylist() == [1]


def test_a_reader_keeps_its_generation_while_writers_commit(tmp_path: Path) -> None:
    make(tmp_path / "db", 1)
    reader = Store.open(tmp_path / "db")
    for row in (2, 3, 4):
        with Store.open(tmp_path / "db").commit("test") as commit:
            commit.replace("splits", splits(row))
    assert reader.table("splits")["row"].to_pylist() == [1]


def test_replaced_files_are_swept_when_their_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlimages.store.RETIRED_FILES_STAY", 0.0)
    store = make(tmp_path / "db", 1)
    for row in (2, 3):
        with store.commit("test") as commit:
            commit.replace("splits", splits(row))
    with store.commit("test"):
        pass
    assert files(tmp_path / "db") == {"database.json", "splits-000003-000.parquet"}


def test_files_with_other_names_are_never_removed(tmp_path: Path) -> None:
    store = make(tmp_path / "db", 1)
    others = ["mine.parquet", "notes.partial", "shards/mine.tar", "deep/splits-000001-000.parquet"]
    for name in others:
        (tmp_path / "db" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "db" / name).write_bytes(b"mine")
    with store.commit("test") as commit:
        commit.append("splits", splits(2))
    assert all((tmp_path / "db" / name).exists() for name in others)


def test_an_interruption_right_after_the_commit_keeps_the_new_generation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make(tmp_path / "db", 1)
    real = storage.sync

    def interrupted(path: Path) -> None:
        real(path)
        if path == tmp_path / "db" and Store.open(path).manifest.generation == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(storage, "sync", interrupted)

    def commit() -> None:
        with store.commit("test") as commit:
            commit.replace("splits", splits(2))

    with pytest.raises(KeyboardInterrupt):
        commit()
    assert Store.open(tmp_path / "db").table("splits")["row"].to_pylist() == [2]
    assert Store.open(tmp_path / "db").damaged_files() == []


def test_a_database_that_lost_its_manifest_is_not_taken_for_an_empty_folder(
    tmp_path: Path,
) -> None:
    store = make(tmp_path / "db", 1)
    with store.commit("test") as commit:
        commit.append("splits", splits(2))
    (tmp_path / "db" / "database.json").unlink()
    with pytest.raises(DatabaseError, match="not empty"):
        Store.create(tmp_path / "db")


def test_of_two_creators_the_second_is_refused(tmp_path: Path) -> None:
    first, second = Store.create(tmp_path / "db"), Store.create(tmp_path / "db")
    with first.commit("test") as commit:
        commit.replace("splits", splits(1))
    with pytest.raises(DatabaseError, match="a database already"), second.commit("test"):
        pass


def test_files_of_killed_commands_are_swept_by_the_next_commit(tmp_path: Path) -> None:
    store = make(tmp_path / "db", 1)
    (tmp_path / "db" / "facts").mkdir()
    (tmp_path / "db" / "images").mkdir()
    (tmp_path / "db" / "facts/000099-00000-000.parquet").write_bytes(b"left")
    (tmp_path / "db" / "images/000002-00000-000.parquet.partial").write_bytes(b"left")
    with store.commit("test") as commit:
        commit.append("splits", splits(2))
    assert {name.split("-")[0] for name in files(tmp_path / "db")} == {"splits", "database.json"}


def test_a_second_writer_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    store = make(tmp_path / "db", 1)
    code = textwrap.dedent(
        f"""
        from mlimages.store import Store
        from mlimages.errors import DatabaseError
        try:
            with Store.open({str(tmp_path / "db")!r}).commit("second"):
                pass
        except DatabaseError as error:
            print(error)
        """
    )
    with store.commit("the first writer"):
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "locked by process" in run.stdout
    assert "the first writer" in run.stdout


def test_a_full_disk_leaves_the_old_generation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make(tmp_path / "db", 1)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mlimages.store.pq.write_table", full)
    with pytest.raises(StorageError, match="no space left"), store.commit("test") as commit:
        commit.replace("splits", splits(2))
    assert Store.open(tmp_path / "db").table("splits")["row"].to_pylist() == [1]
    assert not list((tmp_path / "db").glob("*.partial"))


def test_damage_is_found_and_named(tmp_path: Path) -> None:
    store = make(tmp_path / "db", 1, 2, 3)
    (entry,) = store.manifest.files["splits"]
    path = tmp_path / "db" / entry.path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    assert store.damaged_files() == [(entry.path, "checksum differs")]
    path.write_bytes(content[:-1])
    with pytest.raises(DatabaseError, match="size differs"):
        store.table("splits")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ("\x00\xff", "damaged"),
        (
            '{"generation": 1, "format_version": 3, "files": {"x": [{"path": 5}]}, "info": {}}',
            "damaged",
        ),
        ('{"generation": 1, "format_version": 99, "files": {}, "info": {}}', "format version 99"),
        (
            '{"generation": 1, "format_version": 1, "files": {}, "info": {}}',
            "format version 1, this",
        ),
    ],
)
def test_a_damaged_manifest_is_one_clear_error(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "database.json").write_text(content)
    with pytest.raises(DatabaseError, match=message):
        Store.open(tmp_path)


def test_a_manifest_cannot_name_files_outside(tmp_path: Path) -> None:
    make(tmp_path / "db", 1)
    path = tmp_path / "db" / "database.json"
    manifest = json.loads(path.read_text())
    manifest["files"]["splits"][0]["path"] = "../secret.parquet"
    path.write_text(json.dumps(manifest))
    with pytest.raises(DatabaseError, match="outside"):
        Store.open(tmp_path / "db")


def test_a_folder_with_other_files_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(DatabaseError, match="not empty"):
        Store.create(tmp_path)
    with pytest.raises(DatabaseError, match="not a database"):
        Store.open(tmp_path)


def test_threads_write_partitions_of_one_commit(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "db", partition_rows=2)
    with store.commit("test") as commit, ThreadPoolExecutor(4) as pool:
        for partition in pool.map(
            lambda k: commit.replace("images", images(2 * k), k) or k, range(9)
        ):
            assert partition >= 0
    assert [entry.partition for entry in store.entries("images")] == list(range(9))
    assert store.table("images")["row"].to_pylist() == list(range(0, 18, 2))


def test_rows_are_read_by_a_condition(tmp_path: Path) -> None:
    store = make(tmp_path / "db", 1, 2, 3)
    assert store.table("splits", where=pc.field("row") > 2)["row"].to_pylist() == [3]
    assert store.table("facts", ["category"], where=pc.field("row") > 2).column_names == [
        "category"
    ]
