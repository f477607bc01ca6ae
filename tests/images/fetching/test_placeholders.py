"""Pictures that stand for photos that are gone."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.image_server import serving
from tests.images.fetching.worlds import QUICK, assert_whole, database_of, photo, states

from mlimages.database import Database
from mlimages.images.fetching.placeholders import Placeholders, is_placeholder_address
from mlimages.images.fetching.states import UrlState
from mlimages.images.packing.settings import PackSettings

NOTHING = photo(999, side=24)


@pytest.mark.parametrize(
    ("address", "known"),
    [
        ("https://s.yimg.com/pw/images/en-us/photo_unavailable.png", True),
        ("https://live.staticflickr.com/photo_unavailable_l.gif", True),
        ("https://i.imgur.com/removed.png", True),
        ("https://example.org/static/image-not-found.jpg", True),
        ("https://live.staticflickr.com/65535/4911_77_o.jpg", False),
        ("https://example.org/removed.png", False),
        ("https://notflickr.org.evil/photo.jpg", False),
        ("http://[broken", False),
    ],
)
def test_known_targets_of_redirects(address: str, known: bool) -> None:
    assert is_placeholder_address(address) is known


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 6)), max_size=80))
def test_bytes_are_a_placeholder_of_a_host_from_so_many_addresses_on(
    sightings: list[tuple[str, int]],
) -> None:
    table, seen = Placeholders(1000, copies=4), Counter[tuple[str, int]]()
    anywhere = Counter[int]()
    for host, content in sightings:
        found = table.see(host, hashlib.md5(bytes([content])).hexdigest())
        seen[host, content] += 1
        anywhere[content] += 1
        # The first sighting at a second host may count as its second: see the class.
        extra = anywhere[content] > seen[host, content]
        assert found in {seen[host, content] >= 4, seen[host, content] + extra >= 4}


def test_counts_outlive_the_process() -> None:
    first, digest = Placeholders(10, copies=3), hashlib.md5(b"x").hexdigest()
    assert [first.see("a", digest) for _ in range(2)] == [False, False]
    second = Placeholders(10, copies=3)
    second.remember([digest])
    second.add(first.table())
    assert second.see("a", digest)
    assert second.known() == [("a", digest)]


def test_the_same_bytes_from_many_addresses_of_a_host_are_taken_back(tmp_path: Path) -> None:
    """Also where they were sealed and committed long before there were enough."""
    files = {f"/{number}.jpg": photo(number) for number in range(20)}
    files |= {f"/gone-{number}.jpg": NOTHING for number in range(12)}
    paths = sorted(files, key=lambda path: hashlib.md5(path.encode()).digest())
    with serving(files) as server:
        server.site.add("/thumbnail.jpg", photo(500))
        uris = [[server.url(path)] for path in paths]
        first_gone = next(row for row, path in enumerate(paths) if "gone" in path)
        uris[first_gone].append(server.url("/thumbnail.jpg"))
        database = database_of(tmp_path / "DB", uris, partition_rows=8)
        settings = replace(QUICK, placeholder_copies=5, concurrency=1)
        report = database.fetch(settings, pack=PackSettings(shard_bytes=1024))
    expected = {row: files[path] for row, path in enumerate(paths) if "gone" not in path}
    expected[first_gone] = photo(500)
    assert_whole(database, expected)
    told = states(database)
    rows = [row for row, path in enumerate(paths) if "gone" in path]
    assert [told[row, 0] for row in rows] == [UrlState.PLACEHOLDER] * 12
    assert report.fetched >= len(expected)


def test_a_second_run_takes_back_what_the_first_one_took(tmp_path: Path) -> None:
    paths = [f"/{number}.jpg" for number in range(8)]
    with serving(dict.fromkeys(paths, NOTHING), dict.fromkeys(paths[3:], "status:500")) as server:
        database = database_of(tmp_path / "DB", [[server.url(path)] for path in paths])
        settings = replace(QUICK, placeholder_copies=6, attempts=1)
        assert database.fetch(settings).ledger.images.packed == 3
        server.site.faults.clear()
        report = Database.open(database.root).fetch(replace(settings, retry=True))
    assert report.ledger.images.packed == 0
    assert set(states(database).values()) == {UrlState.PLACEHOLDER}
    assert_whole(database, {})


def test_a_redirect_to_a_known_placeholder_is_none(tmp_path: Path) -> None:
    files = {"/a.jpg": photo(1), "/photo_unavailable.png": NOTHING, "/image-not-found.png": NOTHING}
    with serving(files, {"/a.jpg": "redirect:/image-not-found.png"}) as server:
        database = database_of(tmp_path / "DB", [[server.url("/a.jpg")]])
        database.fetch(QUICK)
    assert states(database) == {(0, 0): UrlState.PLACEHOLDER}
    assert_whole(database, {})
