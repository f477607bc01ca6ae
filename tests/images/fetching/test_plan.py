"""What is told before a fetch, without asking anybody."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.image_server import serving
from tests.images.fetching.worlds import QUICK, database_of, photo

from mlimages.cli import run
from mlimages.database import Database
from mlimages.images.fetching.hosts import HostLimits
from mlimages.images.fetching.plan import TYPICAL_BYTES


def test_bytes_hours_and_hosts_before_anything_is_fetched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uris = [[f"http://one.test/{row}", f"http://two.test/{row}"] for row in range(30)]
    uris += [[f"http://two.test/only-{row}"] for row in range(10)]
    uris += [[str(tmp_path / "local.jpg")]]
    sizes = [1000 if row < 20 else None for row in range(41)]
    database = database_of(tmp_path / "DB", uris, partition_rows=16, bytes=sizes)
    plan = database.plan_fetch(QUICK)
    assert (plan.images, plan.addresses, plan.num_hosts) == (40, 70, 2)
    assert (plan.bytes, plan.bytes_known, plan.typical_bytes) == (40 * 1000, 20, 1000)
    assert [(host.host, host.images) for host in plan.hosts] == [("one.test", 30), ("two.test", 10)]
    capsys.readouterr()
    assert run(["fetch", str(database.root), "--plan", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 40
    assert not database.store.num_rows("ledger")


def test_a_slow_host_decides_how_long_it_takes(tmp_path: Path) -> None:
    database = database_of(tmp_path / "DB", [[f"http://one.test/{row}"] for row in range(36)])
    hosts = HostLimits(rate=0.01)
    slow = database.plan_fetch(replace(QUICK, network=replace(QUICK.network, hosts=hosts)))
    assert slow.hours == pytest.approx(1.0)
    assert slow.bytes == 36 * TYPICAL_BYTES
    assert database.plan_fetch(QUICK).hours < 0.01


def test_what_was_fetched_is_not_planned_and_tells_the_size_of_the_rest(tmp_path: Path) -> None:
    files = {f"/{row}.jpg": photo(row) for row in range(8)}
    faults = {"/0.jpg": "status:500", "/1.jpg": "status:404"}
    with serving(files, faults) as server:
        database = database_of(tmp_path / "DB", [[server.url(path)] for path in files])
        database.fetch(replace(QUICK, attempts=1))
    database = Database.open(database.root)
    assert database.plan_fetch(replace(QUICK, attempts=1)).images == 0
    plan = database.plan_fetch(replace(QUICK, retry=True))
    assert plan.images == 1
    sizes = [len(data) for path, data in files.items() if path not in faults]
    assert plan.bytes == round(sum(sizes) / len(sizes))
