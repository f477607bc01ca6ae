"""Images stored more than once: found by bytes or MD5, merged with all facts, undone exactly."""

from __future__ import annotations

import json
import shutil
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.conftest import missing
from tests.tiny import make_tiny_data

from mlimages import schemas
from mlimages.cli import run
from mlimages.database import Database
from mlimages.images.duplicates import find_duplicates, merge_duplicates, report_duplicates
from mlimages.schemas import DUPLICATES, FACTS, SHARD_INDEX
from mlimages.store import Store

COLUMNS = ["row", "kept", "evidence"]
DOG, CAT, BOAT = "n02084071", "n02121620", "n02858304"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Two photos a class; a dog is stored under cat too, and a boat once more."""
    data = make_tiny_data(tmp_path / "tiny", images_a_class=2)
    dog, boat = data.imagenet / DOG / f"{DOG}_0.JPEG", data.imagenet / BOAT / f"{BOAT}_1.JPEG"
    shutil.copy(dog, data.imagenet / CAT / f"{CAT}_7.JPEG")
    shutil.copy(boat, data.imagenet / BOAT / f"{BOAT}_8.JPEG")
    db = tmp_path / "DB"
    assert run(["import", "imagenet", str(data.imagenet), str(db)]) == 0
    assert run(["complete", str(db)]) == 0
    assert run(["pack", str(db)]) == 0
    return db


def facts_of(db: Path) -> list[tuple]:
    rows = Database.open(db).store.table("facts").to_pylist()
    return sorted(tuple(record.values()) for record in rows)


def test_copies_under_two_synsets_become_one_image_with_both(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = facts_of(database)
    capsys.readouterr()
    assert run(["duplicates", str(database), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["images"], report["images_left"], report["merged_away"]) == (10, 8, 2)
    assert report["by_evidence"] == {"md5": 0, "bytes": 2, "perceptual": 0}
    assert report["facts_added"] == 1  # the cat; that a boat is a boat is known
    assert [f"{DOG}_0".lower(), f"{CAT}_7".lower()] in report["first_groups"]
    assert run(["statistics", str(database)]) == 1  # its tags are older than its facts
    assert "mlimages complete" in capsys.readouterr().err

    assert run(["complete", str(database)]) == 0
    db = Database.open(database)
    keys = {tag.key: tag.reason for tag in db.explain(f"{DOG}_0".lower()).tags}
    assert keys[DOG] == keys[CAT] == "asserted"
    selected = db.select()
    assert len(selected) == 8
    away = db.store.table("duplicates")["row"].to_pylist()
    assert not set(away) & set(selected.rows.tolist())
    counted = db.statistics()
    assert (counted.images, counted.duplicates) == (8, 2)
    checked = db.check()
    assert checked.passed
    line = "8 images + 2 that another stands for = 10"
    assert ("duplicates", True, line) in checked.checks
    added = [fact for fact in facts_of(database) if fact not in before]
    assert [fact[5] for fact in added] == ["duplicate"]
    assert sorted(set(facts_of(database)) - set(added)) == before


def test_an_image_that_stands_for_another_and_is_one_itself_fails_the_check(
    database: Path,
) -> None:
    db = Database.open(database)
    with db.store.commit("test") as commit:
        chain = [{"row": 1, "kept": 0}, {"row": 2, "kept": 1}]
        commit.replace("duplicates", pa.Table.from_pylist(chain, schema=DUPLICATES))
    assert [name for name, good, _ in db.check().checks if not good] == ["duplicates"]


def test_merging_again_changes_nothing_and_undoing_restores_all(database: Path) -> None:
    before = facts_of(database)
    assert run(["duplicates", str(database)]) == 0
    once = facts_of(database)
    assert run(["duplicates", str(database)]) == 0
    assert facts_of(database) == once != before
    assert run(["duplicates", str(database), "--undo"]) == 0
    assert facts_of(database) == before
    assert run(["complete", str(database)]) == 0
    assert len(Database.open(database).select()) == 10


class Bytes:
    """A reader of bytes that are at hand."""

    def __init__(self, contents: dict[int, bytes]) -> None:
        self.contents = contents
        self.rows = np.array(sorted(contents))

    def read(self, row: int) -> bytes:
        return self.contents[row]


def stored(
    root: Path, contents: dict[int, bytes], images: list[dict], facts: list[tuple] = ()
) -> Store:
    """A database of given bytes, in partitions of two images."""
    store = Store.create(root, partition_rows=2)
    index = [
        {
            "row": row,
            "shard": 0,
            "offset": 0,
            "length": len(data),
            "crc32": zlib.crc32(data),
            "width": 10,
            "height": 10,
        }
        for row, data in contents.items()
    ]
    records = [{"uris": [], "sources": ["s"], "id": f"i{i}", **r} for i, r in enumerate(images)]
    with store.commit("test") as commit:
        rows = [{"row": row, **record} for row, record in enumerate(records)]
        commit.append("images", pa.Table.from_pylist(rows, schema=schemas.TABLES["images"]))
        commit.append("shards/index", pa.Table.from_pylist(index, schema=SHARD_INDEX))
        said = [dict(zip(FACTS.names, fact, strict=True)) for fact in facts]
        commit.append("facts", pa.Table.from_pylist(said, schema=FACTS))
    return store


def test_equal_length_and_checksum_are_not_enough(tmp_path: Path) -> None:
    # CRC-32 does not change when its own polynomial is added to a message.
    one = np.zeros(64, np.uint8)
    other = one.copy()
    other[20:25] = np.frombuffer((0x1DB710641).to_bytes(5, "little"), np.uint8)
    contents = {0: one.tobytes(), 1: other.tobytes(), 2: one.tobytes()}
    assert zlib.crc32(contents[0]) == zlib.crc32(contents[1])
    store = stored(tmp_path / "DB", contents, [{}, {}, {}])
    found, _ = find_duplicates(store, Bytes(contents))  # type: ignore[arg-type]
    assert found.select(COLUMNS).to_pylist() == [{"row": 2, "kept": 0, "evidence": "bytes"}]


def test_the_largest_then_the_most_annotated_then_the_first_is_kept(tmp_path: Path) -> None:
    contents = dict.fromkeys(range(3), b"one") | dict.fromkeys(range(3, 6), b"two")
    images = [{}, {}, {"sources": ["s", "t"]}, {}, {}, {}]
    store = stored(tmp_path / "DB", contents, images)
    with store.commit("test") as commit:
        index = commit.table("shards/index").to_pylist()
        index[4]["width"] = 20
        commit.replace("shards/index", pa.Table.from_pylist(index, schema=SHARD_INDEX))
    found, _ = find_duplicates(store, Bytes(contents))  # type: ignore[arg-type]
    assert {r["row"]: r["kept"] for r in found.to_pylist()} == {0: 2, 1: 2, 3: 4, 5: 4}


def test_facts_of_all_copies_are_united_across_partitions(tmp_path: Path) -> None:
    facts = [
        (0, 5, "s", True, 0.5, "machine"),
        (3, 5, "s", True, 0.9, "machine"),  # the kept image says so already
        (3, 6, "s", True, 0.7, "verified"),
        (5, 6, "s", True, 0.8, "verified"),  # the more confident copy
        (5, 7, "t", False, 1.0, "verified"),
    ]
    store = stored(tmp_path / "DB", dict.fromkeys(range(6), b""), [{} for _ in range(6)], facts)
    merged = [{"row": row, "kept": 0, "evidence": "bytes"} for row in (3, 5)]
    table = pa.Table.from_pylist(merged, schema=DUPLICATES)
    with store.commit("test") as commit:
        assert merge_duplicates(commit, table) == 2
    rows = store.table("facts").to_pylist()
    added = [tuple(record.values()) for record in rows if record["kind"] == "duplicate"]
    assert added == [
        (0, 6, "s", True, pytest.approx(0.8), "duplicate"),
        (0, 7, "t", False, 1.0, "duplicate"),
    ]
    assert len(rows) == len(facts) + 2
    report = report_duplicates(store, table, 2)
    assert (report.groups, report.images_left) == (1, 4)
    assert report.first_groups == [["i0", "i3", "i5"]]


def test_md5_of_the_sources_is_enough(tmp_path: Path) -> None:
    images = [
        {"md5": "a", "bytes": 9},
        {"md5": "b", "bytes": 9},
        {"md5": None},
        {"md5": "a", "bytes": 9},
        {"md5": "b", "bytes": 8},
        {"md5": None},
    ]
    found, _ = find_duplicates(stored(tmp_path / "DB", {}, images), None)
    assert found.select(COLUMNS).to_pylist() == [{"row": 3, "kept": 0, "evidence": "md5"}]


def test_without_copies_nothing_is_merged(tmp_path: Path, shared_data: Path) -> None:
    folder = shared_data / "voc2012" / "VOCdevkit"
    if not folder.is_dir():
        missing("no VOC photos")
    db = tmp_path / "DB"
    for line in (f"import voc {folder} {db}", f"pack {db}", f"duplicates {db}"):
        assert run(line.split()) == 0
    assert Database.open(db).store.num_rows("duplicates") == 0
