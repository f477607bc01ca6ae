"""The same fetch by several workers, or part by part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.image_server import Server, serving
from tests.images.fetching.worlds import QUICK, assert_whole, database_of, photo, states

from mlimages.cli import run
from mlimages.database import Database
from mlimages.errors import DatabaseError
from mlimages.execution.parts import Part
from mlimages.images.fetching.dividing import fetch_on
from mlimages.images.fetching.states import UrlState
from mlimages.images.packing.settings import PackSettings

COUNT = 40
NOTHING = photo(999, side=24)
FILES = {f"/{row}.jpg": NOTHING if row % 7 == 3 else photo(row) for row in range(COUNT)}
FAULTS = {"/4.jpg": "status:404", "/5.jpg": "status:500*1", "/20.jpg": "reset*2"}
PACK = PackSettings(shard_bytes=20_000, block_rows=6)
SETTINGS = replace(QUICK, placeholder_copies=5)
EXPECTED = {row: FILES[f"/{row}.jpg"] for row in range(COUNT) if row != 4 and row % 7 != 3}


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(FILES, FAULTS) as server:
        yield server


def empty(server: Server, root: Path) -> Database:
    return database_of(root, [[server.url(path)] for path in FILES], partition_rows=16)


def assert_expected(database: Database) -> None:
    assert_whole(database, EXPECTED)
    told = states(database)
    assert told[4, 0] is UrlState.GONE
    assert {told[row, 0] for row in range(3, COUNT, 7)} == {UrlState.PLACEHOLDER}


def test_local_workers_give_what_one_process_gives(server: Server, tmp_path: Path) -> None:
    database = empty(server, tmp_path / "DB")
    report = fetch_on(database.store, SETTINGS, PACK, engine="local", workers=2)
    assert not list((tmp_path / "DB" / "staging").iterdir())
    assert report.ledger.images.packed == len(EXPECTED)
    assert_expected(database)
    assert server.site.requests["/5.jpg"] == 2


def test_parts_are_merged_into_what_one_run_gives(server: Server, tmp_path: Path) -> None:
    database = empty(server, tmp_path / "DB")
    for part in ("1/3", "2/3"):
        database.fetch_part(Part.parse(part), SETTINGS, pack=PACK)
    with pytest.raises(DatabaseError, match="3/3 of fetch missing"):
        database.merge_fetch_parts(SETTINGS)
    database.fetch_part(Part.parse("3/3"), SETTINGS, pack=PACK)
    asked = sum(server.site.requests.values())
    again = database.fetch_part(Part.parse("3/3"), SETTINGS, pack=PACK)
    assert (again.tasks, again.done_before) == (2, 2)
    report = database.merge_fetch_parts(SETTINGS)
    assert sum(server.site.requests.values()) == asked
    assert report.ledger.images.packed == len(EXPECTED)
    assert_expected(database)


def test_a_merge_that_was_interrupted_goes_on(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlimages.images.fetching import dividing

    database = empty(server, tmp_path / "DB")
    database.fetch_part(Part.parse("1/1"), SETTINGS, pack=PACK)
    commit, calls = dividing.commit_batch, []

    def interrupted(*arguments: object) -> None:
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(1)
        commit(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(dividing, "commit_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        database.merge_fetch_parts(SETTINGS)
    monkeypatch.setattr(dividing, "commit_batch", commit)
    Database.open(database.root).merge_fetch_parts(SETTINGS)
    assert_expected(database)


def test_parts_by_the_command_line(server: Server, tmp_path: Path) -> None:
    database = empty(server, tmp_path / "DB")
    options = ["--allow-private-addresses", "--placeholder-copies", "5"]
    for part in ("1/2", "2/2"):
        assert run(["fetch", str(database.root), "--part", part, *options]) == 0
    assert run(["fetch", str(database.root), "--merge", *options]) == 0
    assert_expected(database)
