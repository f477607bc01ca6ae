"""Two Ray nodes on this machine end with what one process makes, also when a node is killed.

The nodes are raylets of their own, each with its own workers and object store, as on two machines.
"""

from __future__ import annotations

import importlib.util
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.conftest import missing
from tests.execution import functions
from tests.images.databases import SETTINGS, database_of, shard_files, write_photos
from tests.images.fetching.mixed import SETTINGS as SETTINGS_OF_FETCH
from tests.images.fetching.mixed import mixed_database, mixed_server, outcome
from tests.tiny import make_tiny_data

from mlimages.cli import run as run_command
from mlimages.database import Database
from mlimages.errors import ExecutionError, InputError
from mlimages.execution.parts import Part
from mlimages.execution.run import run
from mlimages.images.fetching import dividing
from mlimages.labels.predicted_rows import ROWS_KEY

STORE_BYTES = 80 << 20


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head with one processor; tests add nodes."""
    if importlib.util.find_spec("ray") is None:
        missing("Ray is not installed: pip install 'mlimages[ray]'")
    # So that workers find the modules of the tests, as they find a user's that are installed.
    before = os.environ.get("PYTHONPATH")
    root = str(Path(__file__).resolve().parent.parent.parent)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [root, before]))
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    options = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": STORE_BYTES}
    found = Cluster(initialize_head=True, head_node_args=options)
    yield found
    found.shutdown()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture
def second(cluster: Any) -> Iterator[Any]:
    """A second node with one processor."""
    node = cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
    yield node
    if node in cluster.worker_nodes:
        cluster.remove_node(node)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """60 photos, of which one is damaged and one is not there."""
    found = write_photos(tmp_path / "photos", 60)
    found[11].write_bytes(b"no photo")
    return [*found, tmp_path / "nowhere"]


def kill_when(node: Any, ready: Callable[[], bool]) -> threading.Thread:
    """SIGKILL a node as soon as something is so; its workers die with it."""

    def watch() -> None:
        end = time.monotonic() + 60
        while not ready() and time.monotonic() < end:
            time.sleep(0.02)
        node.kill_raylet(check_alive=False)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def assert_same(ours: Database, theirs: Database) -> None:
    """The same ids, states (packed, or why not) and bytes an image, and the same shards."""
    assert ours.check().passed
    assert ours.hash() == theirs.hash()
    assert shard_files(ours) == shard_files(theirs)
    for name in ("shards/index", "rejects"):
        columns = [(column, "ascending") for column in ours.store.table(name).column_names]
        assert ours.store.table(name).sort_by(columns) == theirs.store.table(name).sort_by(columns)


def in_order(database: Database) -> list[bytes]:
    """The shards, by number."""
    return [data for _, data in sorted(shard_files(database).items())]


def test_results_come_once_and_in_order_from_two_nodes(cluster: Any, second: Any) -> None:
    results = run(functions.process_id, range(8), engine="ray", address=cluster.address)
    tasks, pids = zip(*results, strict=True)
    assert sorted(tasks) == list(range(8))
    assert len(set(pids)) == 2
    ordered = run(
        functions.slow_first, range(6), engine="ray", address=cluster.address, ordered=True
    )
    assert [result for _, result in ordered] == list(range(6))


def test_errors_of_a_task_are_those_of_the_function(cluster: Any) -> None:
    with pytest.raises(InputError, match="three: is not wanted; leave it out"):
        list(run(functions.refuse_three, range(6), engine="ray", address=cluster.address))


@pytest.mark.slow
def test_a_task_that_always_ends_its_worker_is_named(cluster: Any) -> None:
    with pytest.raises(ExecutionError, match="task 2: lost 4 times"):
        list(run(functions.die, range(4), engine="ray", address=cluster.address))


def test_an_address_without_a_cluster_is_an_error_at_once(
    cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = database_of(tmp_path / "DB", write_photos(tmp_path / "photos", 1))
    line = ["pack", str(database.root), "--engine", "ray", "--address", "127.0.0.1:1"]
    assert run_command(line) == 1
    assert "Ray cluster 127.0.0.1:1: cannot be reached" in capsys.readouterr().err


def test_packing_while_a_node_is_killed_gives_the_same_shards(
    cluster: Any, second: Any, photos: list[Path], tmp_path: Path
) -> None:
    here, there = (database_of(tmp_path / name, photos) for name in ("here", "there"))
    here.pack(SETTINGS, workers=1)
    adopted = there.root / "shards"
    seen: list[int] = []

    def some_are_adopted() -> bool:
        seen.append(len(list(adopted.glob("*.tar"))))
        return seen[-1] > 0

    killer = kill_when(second, some_are_adopted)
    report = there.pack(SETTINGS, engine="ray", address=cluster.address, workers=2)
    killer.join()
    assert (report.packed, report.rejected) == (59, 2)
    assert 0 < seen[-1] < report.shards, "the node was not killed while it worked"
    assert_same(there, here)
    assert there.hash(engine="ray", address=cluster.address) == here.hash()


def test_fetching_while_a_node_is_killed_comes_to_the_same(
    cluster: Any, second: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dividing, "TASK_IMAGES", 8)
    with mixed_server() as server:
        here = mixed_database(tmp_path / "here", server)
        here.fetch(SETTINGS_OF_FETCH)
    with mixed_server(latency=0.1) as server:
        there = mixed_database(tmp_path / "there", server)
        seen: list[int] = []

        def some_are_committed() -> bool:
            seen.append(len(list((there.root / "shards").glob("*.tar"))))
            return seen[-1] > 0

        killer = kill_when(second, some_are_committed)
        there.fetch(SETTINGS_OF_FETCH, engine="ray", address=cluster.address, workers=2)
        killer.join()
    shards = len(there.store.entries("shards"))
    assert 0 < seen[-1] < shards, "the node was not killed while it worked"
    assert outcome(there) == outcome(here)
    # In the canonical order the shards are the same, whatever order they were fetched in.
    for database in (here, there):
        assert run_command(["shards", "rewrite", str(database.root)]) == 0
    here, there = Database.open(here.root), Database.open(there.root)
    assert in_order(here) == in_order(there)


@pytest.mark.slow
def test_hashing_and_parts_on_a_cluster_give_what_one_process_gives(
    cluster: Any, second: Any, photos: list[Path], tmp_path: Path
) -> None:
    here, there = (database_of(tmp_path / name, photos) for name in ("here", "there"))
    here.pack(SETTINGS, workers=1)
    for index in (2, 1):
        there.parts.pack(Part(index, 2), SETTINGS, engine="ray", address=cluster.address)
    there.parts.merge_pack()
    assert_same(there, here)
    assert there.hash(engine="ray", address=cluster.address) == here.hash()


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(6))
def test_packing_survives_the_loss_of_a_node_at_any_moment(
    moment: int, cluster: Any, second: Any, photos: list[Path], tmp_path: Path
) -> None:
    here, there = (database_of(tmp_path / name, photos) for name in ("here", "there"))
    here.pack(SETTINGS, workers=1)
    end = time.monotonic() + 1.5 * moment
    killer = kill_when(second, lambda: time.monotonic() > end)
    there.pack(SETTINGS, engine="ray", address=cluster.address, workers=2)
    killer.join()
    assert_same(there, here)


@pytest.mark.slow
def test_predicting_on_a_cluster_gives_what_one_process_gives(
    cluster: Any, second: Any, tmp_path: Path
) -> None:
    data = make_tiny_data(tmp_path / "tiny", images_a_class=2)
    root = str(tmp_path / "DB")
    for command in (["import", "table", str(data.table), root], ["complete", root], ["pack", root]):
        assert run_command(command) == 0
    line = ["predict", "untrained:efficientnet-lite0", root, "--minimum-probability", "0.0005"]
    here, there = tmp_path / "here.parquet", tmp_path / "there.parquet"
    assert run_command([*line, "--out", str(here)]) == 0
    on_ray = ["--engine", "ray", "--address", cluster.address]
    assert run_command([*line, "--out", str(there), *on_ray]) == 0
    ours, theirs = pq.read_table(there), pq.read_table(here)
    assert ours.schema.metadata[ROWS_KEY] == theirs.schema.metadata[ROWS_KEY]
    for name in ("row", "category", "probability"):
        assert np.allclose(ours[name], theirs[name], rtol=0, atol=1e-6)
