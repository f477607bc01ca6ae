"""A database in an object store: commits, locks, sweeping and reading by ranges."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from tests.object_store import served_bucket
from tests.tiny import make_tiny_data

from mlimages.cli import run
from mlimages.database import Database
from mlimages.errors import DatabaseError, InputError, StorageError
from mlimages.images.packing.settings import PackSettings
from mlimages.labels.sources import imagenet, table
from mlimages.schemas import SPLITS
from mlimages.storage import located
from mlimages.store import Store
from mlimages.taxonomy.categories import released_taxonomy


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with served_bucket() as address:
        yield address


def splits(*rows: int) -> pa.Table:
    return pa.table({"row": list(rows), "split": ["train"] * len(rows)}, schema=SPLITS)


def make(root: str, *rows: int) -> Store:
    store = Store.create(root)
    with store.commit("test") as commit:
        commit.replace("splits", splits(*rows))
    return store


def names(root: str) -> set[str]:
    return {path.name for path in located(root).rglob("*") if path.is_file()}


def test_a_commit_is_read_back(bucket: str) -> None:
    make(f"{bucket}/read-back", 1, 2)
    assert Store.open(f"{bucket}/read-back").table("splits")["row"].to_pylist() == [1, 2]
    assert ".lock" not in names(f"{bucket}/read-back")


def test_a_failed_commit_leaves_the_old_generation_and_no_new_files(bucket: str) -> None:
    store = make(f"{bucket}/failed", 1)
    before = names(f"{bucket}/failed")

    def fail() -> None:
        with store.commit("test") as commit:
            commit.replace("splits", splits(9))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert names(f"{bucket}/failed") == before
    assert Store.open(f"{bucket}/failed").table("splits")["row"].to_pylist() == [1]


def test_replaced_objects_are_swept_when_their_time_is_over(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlimages.store.RETIRED_FILES_STAY", 0.0)
    store = make(f"{bucket}/swept", 1)
    for row in (2, 3):
        with store.commit("test") as commit:
            commit.replace("splits", splits(row))
    with store.commit("test"):
        pass
    assert names(f"{bucket}/swept") == {"database.json", "splits-000003-000.parquet"}


def test_a_second_writer_is_told_who_holds_the_lock(bucket: str) -> None:
    store = make(f"{bucket}/locked", 1)
    with store.commit("the first writer"):  # noqa: SIM117
        with pytest.raises(DatabaseError, match=r"locked by process \d+ on .*the first writer"):
            with Store.open(f"{bucket}/locked").commit("second"):
                pass


def test_the_lock_of_a_dead_process_is_taken_over_and_that_of_another_machine_is_not(
    bucket: str,
) -> None:
    store = make(f"{bucket}/dead", 1)
    run = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid(), os.uname().nodename)"],
        capture_output=True,
        text=True,
        check=True,
    )
    process, host = run.stdout.split()
    lock = located(f"{bucket}/dead/.lock")
    lock.write_text(f"process {process} on {host} (import) token")
    with store.commit("test") as commit:
        commit.append("splits", splits(2))
    lock.write_text(f"process {process} on elsewhere (import) token")
    with pytest.raises(DatabaseError, match=r"elsewhere .*remove s3://"), store.commit("test"):
        pass
    assert Store.open(f"{bucket}/dead").table("splits").num_rows == 2


def test_a_writer_whose_lock_was_removed_by_hand_does_not_commit_over_another(bucket: str) -> None:
    store = make(f"{bucket}/stolen", 1)

    def commit_slowly() -> None:
        with store.commit("slow") as commit:
            commit.replace("splits", splits(9))
            located(f"{bucket}/stolen/.lock").unlink()
            with Store.open(f"{bucket}/stolen").commit("fast") as other:
                other.replace("splits", splits(5))

    with pytest.raises(DatabaseError, match="taken its lock"):
        commit_slowly()
    assert Store.open(f"{bucket}/stolen").table("splits")["row"].to_pylist() == [5]


def test_the_chain_runs_in_an_object_store(bucket: str, tmp_path: Path) -> None:
    data = make_tiny_data(tmp_path, images_a_class=3)
    taxonomy = released_taxonomy()
    readings = [imagenet.read(data.imagenet, taxonomy), table.read(data.table, taxonomy)]
    databases = []
    for root in (f"{bucket}/chain", str(tmp_path / "chain")):
        db, _ = Database.create_from(root, taxonomy, readings[0])
        db.add(readings[1])
        db.complete()
        report = db.pack(PackSettings(shard_bytes=20_000))
        assert (report.packed, report.rejected) == (24, 0)
        databases.append(Database.open(root))
    there, here = databases
    assert there.check().passed
    assert there.statistics() == here.statistics()
    assert there.explain("n02084071_0").lines() == here.explain("n02084071_0").lines()
    for row in (0, 23):
        assert there.reader().read(row) == here.reader().read(row)


def test_the_commands_take_a_database_in_an_object_store(
    bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_tiny_data(tmp_path, images_a_class=3)
    db = f"{bucket}/commands"
    for line in (
        f"import imagenet {data.imagenet} {db}",
        f"import table {data.table} {db}",
        f"complete {db}",
        f"pack {db}",
        f"statistics {db}",
        f"explain {db} n02084071_0",
        f"split {db} --validation 0.2",
        f"export tencent {db} {tmp_path / 'out'}",
        f"hash {db}",
        f"check {db}",
    ):
        assert run(line.split()) == 0, capsys.readouterr().err
    assert "24" in capsys.readouterr().out


def test_what_a_service_refuses_is_one_line(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatabaseError, match="no such folder"):
        Database.open(f"{bucket}/nothing")
    with pytest.raises((DatabaseError, StorageError)):
        Database.open("s3://no-such-bucket/db")
    with pytest.raises(InputError, match="cannot be opened"):
        Database.open("nosuchscheme://somewhere/db")
