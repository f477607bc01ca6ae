"""Dropping what has opted out since it was fetched."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.image_server import Server, serving
from tests.images.fetching.worlds import QUICK, assert_whole, database_of, photo, states

from mlimages.cli import run
from mlimages.database import Database
from mlimages.images.fetching.states import UrlState

FILES = {f"/{row}.jpg": photo(row) for row in range(12)}
NO_AI = "header:X-Robots-Tag: noai"


def fetched(server: Server, root: Path) -> Database:
    database = database_of(root, [[server.url(path)] for path in FILES], partition_rows=5)
    assert database.fetch(QUICK).fetched == len(FILES)
    return Database.open(root)


def test_what_opted_out_since_is_dropped_and_never_fetched_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(FILES) as server:
        database = fetched(server, tmp_path / "DB")
        server.site.faults |= {
            "/1.jpg": NO_AI,
            "/7.jpg": "header:TDM-Reservation: 1",
            "/9.jpg": "status:404",
        }
        server.site.add("/robots.txt", b"User-agent: mlimages\nDisallow: /3.jpg\n")
        capsys.readouterr()
        root = str(database.root)
        assert run(["recheck", root, "--allow-private-addresses", "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        assert (report["checked"], report["dropped"], report["resting"]) == (12, 3, 0)
        kept = {row: FILES[f"/{row}.jpg"] for row in range(12) if row not in (1, 3, 7)}
        assert_whole(database, kept)  # what is gone from the web was had lawfully, and stays
        told = states(database)
        assert [told[row, 0] for row in (1, 3, 7)] == [
            UrlState.OPTED_OUT,
            UrlState.ROBOTS,
            UrlState.OPTED_OUT,
        ]
        server.site.requests.clear()
        Database.open(root).fetch(replace(QUICK, retry=True))
        assert not server.site.requests
        assert_whole(database, kept)


def test_only_heads_are_asked_for(tmp_path: Path) -> None:
    with serving(FILES) as server:
        database = fetched(server, tmp_path / "DB")
        server.site.keep_heads = True
        database.recheck(QUICK)
        methods = {head.split(" ")[0] for head in server.site.heads if ".jpg" in head}
    assert methods == {"HEAD"}


def test_a_recheck_that_was_interrupted_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlimages.images.fetching import recheck

    with serving(FILES, {}) as server:
        database = fetched(server, tmp_path / "DB")
        server.site.faults["/11.jpg"] = NO_AI
        server.site.requests.clear()
        commit, calls = recheck._commit, []

        def interrupted(*arguments: object) -> None:
            if len(calls) == 2:
                raise KeyboardInterrupt
            calls.append(1)
            commit(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(recheck, "_commit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            database.recheck(QUICK)
        monkeypatch.setattr(recheck, "_commit", commit)
        report = Database.open(database.root).recheck(QUICK)
        assert (report.checked, report.dropped) == (2, 1)
        assert Database.open(database.root).recheck(QUICK).checked == 11
