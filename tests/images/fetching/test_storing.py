"""Fetching into a database: what is kept, what is not, and what each address's state is then."""

from __future__ import annotations

import hashlib
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from tests.image_server import serving
from tests.images.fetching.worlds import QUICK, assert_whole, database_of, photo, states

from mlimages.database import Database
from mlimages.images.fetching.states import UrlState
from mlimages.images.packing.settings import PackSettings
from mlimages.images.reading import tar_uri
from mlimages.images.settings import ImageSettings


@pytest.fixture(scope="module")
def photos() -> dict[int, bytes]:
    return {seed: photo(seed) for seed in range(40)}


def test_all_images_of_a_list_are_fetched_with_their_rights(
    tmp_path: Path, photos: dict[int, bytes]
) -> None:
    files = {f"/{row}.jpg": data for row, data in photos.items()}
    with serving(files) as server:
        uris = [[server.url(f"/{row}.jpg")] for row in photos]
        database = database_of(tmp_path / "DB", uris, licence=["CC0"] * 40, author=["Ann"] * 40)
        report = database.fetch(QUICK, pack=PackSettings(shard_bytes=20_000))
    assert (
        report.fetched,
        report.ledger.images.packed,
        report.ledger.images.waiting,
        report.ledger.images.retryable,
    ) == (40, 40, 0, 0)
    assert report.bytes == sum(map(len, photos.values()))
    assert_whole(database, photos)
    assert len(database.store.manifest.files["shards"]) > 2
    assert set(states(database).values()) == {UrlState.OK}
    for record in database.store.table("rights").to_pylist():
        assert record["md5"] == hashlib.md5(photos[record["row"]]).hexdigest()
        assert record["uri"] == record["final_uri"] == uris[record["row"]][0]
        assert (record["bytes"], record["address"]) == (len(photos[record["row"]]), "127.0.0.1")
        assert (record["licence"], record["author"]) == ("CC0", "Ann")


def test_a_header_check_keeps_the_same_bytes(tmp_path: Path, photos: dict[int, bytes]) -> None:
    files = {f"/{row}.jpg": data for row, data in photos.items()}
    with serving(files) as server:
        database = database_of(tmp_path / "DB", [[server.url(path)] for path in files])
        database.fetch(QUICK, pack=PackSettings(ImageSettings(check="header")))
    assert_whole(database, photos)


def test_candidates_are_tried_in_order_and_the_winner_is_recorded(tmp_path: Path) -> None:
    local, archive = tmp_path / "local.jpg", tmp_path / "archive.tar"
    local.write_bytes(photo(100))
    with tarfile.open(archive, "w") as tar:
        tar.add(local, "member.jpg")
    with serving({"/small.jpg": photo(1), "/late.jpg": photo(2)}) as server:
        gone, page = server.url("/gone.jpg"), server.url("/page.jpg")
        server.site.add("/page.jpg", b"<html>no</html>")
        uris = [
            [gone, server.url("/small.jpg"), server.url("/late.jpg")],
            [gone + "?1", str(local)],
            [page, tar_uri("member.jpg", archive), server.url("/late.jpg")],
            [str(tmp_path / "missing.jpg"), server.url("/late.jpg?3")],
            [gone + "?2", page + "?2"],
        ]
        server.site.add("/late.jpg?3", photo(3))
        server.site.add("/page.jpg?2", b"<html>no</html>")
        database = database_of(tmp_path / "DB", uris)
        report = database.fetch(QUICK)
    assert report.fetched == 4
    assert_whole(database, {0: photo(1), 1: photo(100), 2: photo(100), 3: photo(3)})
    assert states(database) == {
        (0, 0): UrlState.GONE,
        (0, 1): UrlState.OK,
        (0, 2): UrlState.PENDING,
        (1, 0): UrlState.GONE,
        (2, 0): UrlState.NOT_AN_IMAGE,
        (2, 2): UrlState.PENDING,
        (3, 1): UrlState.OK,
        (4, 0): UrlState.GONE,
        (4, 1): UrlState.NOT_AN_IMAGE,
    }
    won = {r["row"]: r["uri"] for r in database.store.table("rights").to_pylist()}
    assert won == {0: uris[0][1], 1: uris[1][1], 2: uris[2][1], 3: uris[3][1]}
    assert (report.ledger.images.waiting, report.ledger.images.retryable) == (0, 0)


def test_bytes_that_are_not_those_of_the_source_are_changed(tmp_path: Path) -> None:
    files = {f"/{number}.jpg": photo(number) for number in range(5)}
    with serving(files) as server:
        uris = [[server.url(path)] for path in files]
        uris[2].append(server.url("/4.jpg"))  # a thumbnail, say: the original's MD5 is not of it
        right = [hashlib.md5(data).hexdigest() for data in files.values()]
        md5 = [right[0].upper(), right[0], right[0], None, None]
        sizes = [len(files["/0.jpg"]), None, None, len(files["/3.jpg"]) + 1, None]
        database = database_of(tmp_path / "DB", uris, md5=md5, bytes=sizes)
        database.fetch(QUICK)
    changed = {key for key, state in states(database).items() if state is UrlState.CHANGED}
    assert changed == {(1, 0), (2, 0), (3, 0)}
    assert_whole(database, {0: files["/0.jpg"], 2: files["/4.jpg"], 4: files["/4.jpg"]})


def test_a_failure_that_passes_is_tried_again_and_one_that_does_not_is_not(tmp_path: Path) -> None:
    kinds = {
        "busy": ("status:500*2", UrlState.OK, 3),
        "reset": ("reset*1", UrlState.OK, 2),
        "cut": ("cut*2", UrlState.OK, 3),
        "gone": ("status:404", UrlState.GONE, 1),
        "forbidden": ("status:403", UrlState.UNAUTHORISED, 1),
        "broken": ("status:500", UrlState.SERVER_ERROR, 3),
    }
    files = {f"/{kind}.jpg": photo(number) for number, kind in enumerate(kinds)}
    faults = {f"/{kind}.jpg": fault for kind, (fault, _, _) in kinds.items()}
    with serving(files, faults) as server:
        database = database_of(tmp_path / "DB", [[server.url(path)] for path in files])
        report = database.fetch(QUICK)
        asked = {kind: server.site.requests[f"/{kind}.jpg"] for kind in kinds}
        assert asked == {kind: times for kind, (_, _, times) in kinds.items()}
        assert report.ledger.images.retryable == 1
        # Its attempts are used up: only --retry asks for it again, and for nothing else.
        database.fetch(QUICK)
        assert server.site.requests["/broken.jpg"] == 3
        server.site.faults.clear()
        report = database.fetch(replace(QUICK, retry=True))
        assert (report.fetched, server.site.requests["/gone.jpg"]) == (1, 1)
        assert server.site.requests["/broken.jpg"] == 4
    expected = [state for _, state, _ in kinds.values()]
    expected[-1] = UrlState.OK
    assert list(states(database).values()) == expected


def test_a_host_that_asks_to_be_left_alone_is_asked_again_when_it_said(tmp_path: Path) -> None:
    files = {f"/{number}.jpg": photo(number) for number in range(30)}
    with serving(files, {"/0.jpg": "retry_after:503,1*1"}) as server:
        network = replace(QUICK.network, patience=0.1)
        database = database_of(tmp_path / "DB", [[server.url(path)] for path in files])
        report = database.fetch(replace(QUICK, network=network))
        assert server.site.requests["/0.jpg"] == 2
    assert report.fetched == 30
    assert_whole(database, dict(enumerate(files.values())))


def test_what_is_fetched_is_not_fetched_again_and_new_images_are(tmp_path: Path) -> None:
    files = {f"/{number}.jpg": photo(number) for number in range(6)}
    with serving(files) as server:
        database = database_of(tmp_path / "DB", [[server.url(path)] for path in files])
        database.fetch(QUICK)
        again = Database.open(database.root).fetch(QUICK)
        assert (again.fetched, set(server.site.requests.values())) == (0, {1})
