"""Fetching part by part, or in tasks of several processes, comes to what one run comes to."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conftest import REPOSITORY
from tests.images.fetching.mixed import (
    SETTINGS,
    attempts,
    mixed_database,
    mixed_server,
    outcome,
)
from tests.images.fetching.worlds import QUICK

from mlimages.cli import run
from mlimages.database import Database
from mlimages.errors import DatabaseError, InputError, UsageError
from mlimages.execution.parts import Part
from mlimages.images.fetching import dividing
from mlimages.images.fetching.hosts import HostLimits
from mlimages.images.fetching.states import UrlState
from mlimages.images.fetching.storing import fetch_store
from mlimages.images.fetching.tasks import divided


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, dict, dict]:
    """States, bytes and attempts after a fetch by one process."""
    with mixed_server() as server:
        database = mixed_database(tmp_path_factory.mktemp("one") / "DB", server)
        database.fetch(SETTINGS)
    found = outcome(database)
    assert {UrlState.OK, UrlState.GONE, UrlState.PLACEHOLDER, UrlState.SERVER_ERROR} <= set(
        found[0].values()
    )
    return *found, attempts(database)


def test_parts_then_merged_come_to_the_same(tmp_path: Path, expected: tuple) -> None:
    with mixed_server() as server:
        database = mixed_database(tmp_path / "DB", server)
        for index in (2, 3, 1):
            assert database.parts.fetch(Part(index, 3), SETTINGS).tasks == 2
        assert not database.store.num_rows("shards/index")
        report = database.parts.merge_fetch(SETTINGS)
        assert report.fetched == database.store.num_rows("shards/index") > 0
        assert list((tmp_path / "DB" / "staging").iterdir()) == []
        # Placeholders are known once all is counted; what they hid is tried by another fetch.
        database.fetch(SETTINGS)
    assert outcome(database) == expected[:2]


def test_tasks_in_processes_come_to_the_same(
    tmp_path: Path, expected: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dividing, "TASK_IMAGES", 8)
    with mixed_server() as server:
        database = mixed_database(tmp_path / "DB", server)
        fetch_store(database.store, SETTINGS, workers=2, images_on=dividing.tasks_on("local"))
    assert outcome(database) == expected[:2]


def test_parts_by_commands_of_their_own_come_to_the_same(tmp_path: Path) -> None:
    with mixed_server() as server:
        here, there = (mixed_database(tmp_path / name, server) for name in ("here", "there"))
        options = ["--allow-private-addresses", "--ignore-robots", "--attempts", "1"]
        assert run(["fetch", str(here.root), *options]) == 0
        server.site.requests.clear()
        for part in ("1/2", "2/2"):
            line = [sys.executable, "-m", "mlimages", "fetch", str(there.root), "--part", part]
            subprocess.run([*line, *options], check=True, cwd=REPOSITORY)
        assert run(["fetch", str(there.root), "--merge", *options]) == 0
        assert run(["fetch", str(there.root), *options]) == 0
    assert outcome(there) == outcome(here)


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    with mixed_server() as server:
        database = mixed_database(tmp_path / "DB", server)
        database.parts.fetch(Part(1, 2), SETTINGS)
    with pytest.raises(DatabaseError, match=r"part 2/2 of fetch missing; run: .*--part 2/2"):
        database.parts.merge_fetch(SETTINGS)


def test_a_merge_killed_between_its_commits_counts_nothing_twice(
    tmp_path: Path, expected: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mixed_server() as server:
        database = mixed_database(tmp_path / "DB", server)
        for index in (1, 2):
            database.parts.fetch(Part(index, 2), SETTINGS)
        commit, calls = dividing.commit_batch, []

        def die(*arguments: object) -> None:
            commit(*arguments)  # type: ignore[arg-type]
            calls.append(arguments)
            if len(calls) == 3:
                raise KeyboardInterrupt

        monkeypatch.setattr(dividing, "commit_batch", die)
        with pytest.raises(KeyboardInterrupt):
            database.parts.merge_fetch(SETTINGS)
        monkeypatch.undo()
        database = Database.open(database.root)
        assert database.store.num_rows("shards/index") > 0
        database.parts.merge_fetch(SETTINGS)
        database.fetch(SETTINGS)
    assert outcome(database) == expected[:2]
    # Taking back what was a placeholder counts as another try of its address.
    sure = {key for key, state in expected[0].items() if state is not UrlState.PLACEHOLDER}
    found, once = attempts(database), expected[2]
    assert {key: found[key] for key in sure} == {key: once[key] for key in sure}


def test_an_interrupted_part_goes_on_with_its_next_block(
    tmp_path: Path, expected: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mixed_server() as server:
        database = mixed_database(tmp_path / "DB", server)
        fetch, calls = dividing.fetch_task, []

        def die(*arguments: object) -> object:
            calls.append(arguments)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return fetch(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(dividing, "fetch_task", die)
        with pytest.raises(KeyboardInterrupt):
            database.parts.fetch(Part(1, 1), SETTINGS)
        monkeypatch.undo()
        assert database.parts.fetch(Part(1, 1), SETTINGS).done_before == 2
        assert server.site.requests["/5.jpg"] == 1
        database.parts.merge_fetch(SETTINGS)
        database.fetch(SETTINGS)
    assert outcome(database) == expected[:2]


def test_an_image_fetched_meanwhile_keeps_its_bytes(tmp_path: Path, expected: tuple) -> None:
    with mixed_server() as server:
        database = mixed_database(tmp_path / "DB", server)
        database.parts.fetch(Part(1, 1), SETTINGS)
        database.fetch(SETTINGS)
        before = outcome(database)
        assert database.parts.merge_fetch(SETTINGS).fetched == 0
        assert outcome(database) == before


def test_a_hosts_limits_are_divided_among_those_who_ask_at_once() -> None:
    limits = HostLimits(connections=32, rate=10.0)
    settings = replace(QUICK, network=replace(QUICK.network, hosts=limits))
    assert divided(settings, 4).network.hosts.share() == (8.0, 2.5)
    assert divided(divided(settings, 2), 4).network.hosts.share() == (4.0, 1.25)
    with pytest.raises(InputError, match="33 tasks: share 32 requests a host"):
        divided(settings, 33)


def test_on_ray_the_number_of_tasks_has_to_be_said(tmp_path: Path) -> None:
    with mixed_server() as server:
        database = mixed_database(tmp_path / "DB", server)
    with pytest.raises(UsageError, match="--workers"):
        database.fetch(SETTINGS, engine="ray")
