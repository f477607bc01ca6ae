"""Hosts that misbehave, through the command line: each address ends in its named state."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from tests.faults.test_full_disk import fill, small_disk
from tests.image_server import serving
from tests.images.fetching.worlds import QUICK, assert_whole, database_of, photo, states
from tests.images.pictures import encode, smooth

from mlimages.cli import run
from mlimages.database import Database
from mlimages.images.fetching import client
from mlimages.images.fetching.addresses import why_blocked
from mlimages.images.fetching.states import UrlState

__all__ = ["small_disk"]


def bomb() -> bytes:
    """A PNG of 60,000 x 60,000 grey pixels in a few kilobytes."""
    side = 60_000
    rows = zlib.compress(bytes(1 + side) * 400, 9)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_each_fault_ends_in_its_named_state(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = encode(smooth(400, 300, seed=1), quality=95)
    cases: dict[str, tuple[bytes, str | None, UrlState]] = {
        "/good.jpg": (whole, None, UrlState.OK),
        "/stalls.jpg": (whole, "stall_body", UrlState.TOO_SLOW),
        "/silent.jpg": (whole, "stall_head", UrlState.TOO_SLOW),
        "/endless.jpg": (whole, "endless", UrlState.TOO_LARGE),
        "/huge.jpg": (whole, "huge_length", UrlState.TOO_LARGE),
        "/bomb.png": (bomb(), None, UrlState.TOO_MANY_PIXELS),
        "/file.jpg": (whole, "redirect:file:///etc/passwd", UrlState.BAD_URL),
        "/cut.jpg": (whole[: len(whole) // 2], None, UrlState.TRUNCATED),
        "/dropped.jpg": (whole, "cut", UrlState.CONNECTION_LOST),
        "/page.jpg": (whole, "html", UrlState.NOT_AN_IMAGE),
        "/opted-out.jpg": (whole, "header:X-Robots-Tag: noai", UrlState.OPTED_OUT),
        "/robots/forbidden.jpg": (whole, None, UrlState.ROBOTS),
        "/gone.jpg": (whole, "status:410", UrlState.GONE),
    }
    files = {path: data for path, (data, _, _) in cases.items()}
    faults = {path: fault for path, (_, fault, _) in cases.items() if fault}
    with serving(files, faults) as server:
        server.site.add("/robots.txt", b"User-agent: *\nDisallow: /robots/\n")
        database = database_of(tmp_path / "DB", [[server.url(path)] for path in files])
        options = ["--allow-private-addresses", "--attempts", "1", "--seconds-an-image", "5"]
        capsys.readouterr()
        assert run(["fetch", str(database.root), *options, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert list(states(database).values()) == [state for _, _, state in cases.values()]
    assert sum(entry["urls"] for entry in report["ledger"]["states"]) == len(cases)
    assert {entry["state"] for entry in report["ledger"]["states"]} >= {"too large", "opted out"}
    assert_whole(database, {0: whole})


@pytest.mark.parametrize(
    "target", ["http://169.254.169.254/latest", "http://10.0.0.1/a.jpg", "http://[::1]/a.jpg"]
)
def test_a_redirect_to_a_private_address_is_not_followed(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server's own address counts as public here, and nothing else changes.
    monkeypatch.setattr(client, "why_blocked", _but_for_the_server)
    with serving({"/a.jpg": photo(1)}, {"/a.jpg": f"redirect:{target}"}) as server:
        database = database_of(tmp_path / "DB", [[server.url("/a.jpg")]])
        network = replace(QUICK.network, allow_private_addresses=False)
        database.fetch(replace(QUICK, network=network))
        assert server.site.requests["/a.jpg"] == 1
    assert states(database) == {(0, 0): UrlState.BLOCKED_ADDRESS}


def _but_for_the_server(host: str) -> str | None:
    return None if host == "127.0.0.1" else why_blocked(host)


def test_without_leave_no_private_address_is_asked(tmp_path: Path) -> None:
    with serving({"/a.jpg": photo(1)}) as server:
        database = database_of(tmp_path / "DB", [[server.url("/a.jpg")]])
        assert run(["fetch", str(database.root)]) == 0
        assert not server.site.requests
    assert states(database)[0, 0] in (UrlState.BLOCKED_ADDRESS, UrlState.BAD_URL)


def test_a_full_disk_is_one_line_and_what_was_committed_stays(
    tmp_path: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {f"/{row}.jpg": encode(smooth(200, 200, seed=row), quality=95) for row in range(60)}
    with serving(files) as server:
        root = small_disk / "DB"
        database = database_of(root, [[server.url(path)] for path in files])
        filler = fill(small_disk, leave=sum(map(len, files.values())) // 3)
        options = ["--allow-private-addresses"]
        capsys.readouterr()
        assert run(["fetch", str(root), *options]) == 1
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert "no space left" in error
        assert "free some space" in error
        assert Database.open(root).check().passed
        filler.unlink()
        assert run(["fetch", str(root), *options]) == 0
    assert_whole(database, dict(enumerate(files.values())))
