from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from tests.images.ledger.stores import add_to_index, plain_rights, url_store
from tests.labels.tiny import TAXONOMY

from mlimages.cli import run
from mlimages.database import Database
from mlimages.images.fetching.states import UrlState
from mlimages.images.ledger import Ledger
from mlimages.images.ledger.candidates import find_candidates, is_kept
from mlimages.images.ledger.report import report_ledger
from mlimages.labels.reading import ReadingBuilder
from mlimages.labels.statistics.summary import TRAINABLE_ABOVE
from mlimages.schemas import DUPLICATES, IMAGES
from mlimages.store import Store

PLACES = [
    ["http://a.org/0"],  # packed
    ["http://a.org/1", "http://B.org:81/1"],  # one gone, the other not tried
    ["http://user@a.org/2"],  # to be retried
    ["https://a.org/3?x=/", "http://b.org:81/3"],  # both gone
    ["/local/4.jpg"],  # without a URL
    ["http://b.org:81/5"],  # a copy of the first
    ["/local/6.jpg", "HTTP://c.org#x"],  # packed from this machine
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = url_store(tmp_path / "DB", PLACES, partition_rows=3)
    with store.writing("test"):
        ledger = Ledger.open(store)
        ledger.record(1, 0, UrlState.GONE, 404)
        with store.commit("test") as commit:
            ledger.commit_ok(commit, [0], [0], plain_rights([0]))
            add_to_index(commit, [0, 6])
            copies = [{"row": 5, "kept": 0, "evidence": "md5"}]
            commit.append("duplicates", pa.Table.from_pylist(copies, schema=DUPLICATES))
        ledger.record(2, 0, UrlState.TIMEOUT)
        ledger.record_many([3, 3], [0, 1], [UrlState.GONE, UrlState.GONE], [404, 410])
        ledger.close()
    return store


def test_counts_reconcile_by_state_host_and_image(store: Store) -> None:
    report = report_ledger(Ledger.open(Store.open(store.root)))
    by_state = {state.state: state.urls for state in report.states}
    assert by_state == {"gone": 3, "pending": 3, "ok": 1, "timeout": 1}
    assert report.urls == sum(by_state.values()) == 8
    assert report.in_journal == 3
    images = report.images
    assert (images.packed, images.waiting, images.retryable, images.lost) == (2, 1, 1, 1)
    assert (images.without_url, images.left_out, images.images) == (1, 1, 7)
    hosts = {h.host: (h.urls, h.ok, h.pending, h.failures) for h in report.by_host}
    assert hosts == {
        "a.org": (4, 1, 0, {"gone": 2, "timeout": 1}),
        "b.org:81": (3, 0, 2, {"gone": 1}),
        "c.org": (1, 0, 1, {}),
    }
    assert [host.host for host in report.worst] == ["a.org", "b.org:81"]
    assert report.statuses == {404: 2, 410: 1}
    told = {state.state: state for state in report.states}
    assert told["timeout"].retryable
    assert not told["gone"].retryable
    assert told["gone"].advice == UrlState.GONE.advice


def test_the_command_prints_the_report(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ledger", str(store.root), "--hosts", "1"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("8 URLs of 3 hosts")
    assert UrlState.TIMEOUT.advice in text
    assert "404: 2, 410: 1" in text
    assert "c.org" not in text
    assert run(["ledger", str(store.root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ledger"]["images"]["lost"] == 1


def test_hosts_are_kept_until_the_images_change(store: Store) -> None:
    assert [is_kept(store, number) for number in store.partitions("images")] == [True] * 3
    kept = store.table("hosts").to_pylist()
    assert kept == find_candidates(store.table("images", ["row", "uris"])).to_pylist()
    assert {record["host"] for record in kept} == {"a.org", "b.org:81", "c.org"}
    with store.commit("test") as commit:
        images = commit.table("images", partition=1).to_pylist()
        images[1]["uris"].append("http://d.org/4")
        commit.replace("images", pa.Table.from_pylist(images, schema=IMAGES), 1)
    assert not is_kept(store, 1)
    ledger = Ledger.open(store)
    assert len(ledger) == 9
    assert ledger.state_of(4, 1) is UrlState.PENDING
    assert ledger.state_of(3, 1) is UrlState.GONE  # what is known of the others stays


@pytest.mark.parametrize("place", [(4, 0), (0, 1), (7, 0), (-1, 0), (10**6, 0)])
def test_what_is_no_candidate_has_no_state(store: Store, place: tuple[int, int]) -> None:
    with store.writing("test"):
        ledger = Ledger.open(store)
        with pytest.raises(KeyError):
            ledger.state_of(*place)
        with pytest.raises(KeyError):
            ledger.record(*place, UrlState.DNS)
        with pytest.raises(KeyError):
            ledger.record_many([0, place[0]], [0, place[1]], [UrlState.DNS] * 2)
        with pytest.raises(KeyError), store.commit("test") as commit:
            ledger.commit_ok(commit, [place[0]], [place[1]])
        assert ledger.journalled == 3


@pytest.mark.parametrize("state", [UrlState.OK, UrlState.REMOVED])
def test_ok_and_removed_are_never_journalled(store: Store, state: UrlState) -> None:
    with store.writing("test"):
        ledger = Ledger.open(store)
        with pytest.raises(ValueError, match="not recorded"):
            ledger.record(1, 0, state)
        with pytest.raises(ValueError, match="not recorded"):
            ledger.record_many([1], [0], [state])


def test_attempts_stop_at_255_and_limit_what_is_tried(store: Store) -> None:
    with store.writing("test"):
        ledger = Ledger.open(store)
        retried = [UrlState.TIMEOUT]
        assert sum(map(len, ledger.to_try(retried, most_attempts=2))) == 2
        for _ in range(300):
            ledger.record(2, 0, UrlState.TIMEOUT)
        assert sum(map(len, ledger.to_try(retried, most_attempts=2))) == 1
        ledger.fold()
    assert Ledger.open(store).partitions()[0].attempts.max() == 255


def test_survivors_name_the_categories_that_fell_below_the_threshold(tmp_path: Path) -> None:
    builder = ReadingBuilder("s", "table")
    few, many = TRAINABLE_ABOVE + 1, TRAINABLE_ABOVE + 3
    leaves = [len(TAXONOMY) - 1, len(TAXONOMY) - 2]
    for number in range(few + many):
        image = builder.add_image(f"i{number}", f"http://a.org/{number}", f"i{number}")
        builder.add_fact(image or 0, leaves[number >= few])
    db = Database.create(tmp_path / "DB", TAXONOMY, partition_rows=64)
    db.add(builder.build())
    db.complete()
    lost = {0, few, few + 1}
    with db.store.commit("test") as commit:
        add_to_index(commit, sorted(set(range(few + many)) - lost))
    survivors = db.survivors(include_sensitive=True)
    assert (survivors.listed, survivors.packed) == (few + many, few + many - 3)
    key = TAXONOMY.categories[leaves[0]].key
    assert [(c.key, c.listed, c.packed) for c in survivors.fell] == [(key, few, few - 1)]
    assert survivors.trainable_listed == survivors.trainable_packed + 1
    for packed in (False, True):
        categories = db.select(packed=packed).categories
        sizes = {TAXONOMY.categories[c].key: n for c, n in Counter(categories.tolist()).items()}
        of = {c.key: c.packed if packed else c.listed for c in survivors.categories}
        assert of == sizes
    assert run(["ledger", str(tmp_path / "DB"), "--categories"]) == 0
