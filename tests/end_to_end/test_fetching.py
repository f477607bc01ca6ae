"""Real photos, packed, served, and fetched back into another database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.image_server import Site, serving
from tests.images.fetching.worlds import database_of

from mlimages.cli import run
from mlimages.database import Database


@pytest.mark.parametrize(
    "most", [100, pytest.param(3000, marks=pytest.mark.slow)], ids=["some", "all"]
)
def test_real_photos_come_back_as_they_were_packed(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], most: int
) -> None:
    photos = sorted((shared_data / "caltech101").rglob("*.jpg"))
    photos += sorted((shared_data / "imagenet-sample").glob("*.JPEG"))
    photos += sorted((shared_data / "coco128" / "images").glob("*.jpg"))
    photos = photos[:: max(1, len(photos) // most)]
    packed = database_of(tmp_path / "packed", [[str(path)] for path in photos])
    assert run(["pack", str(packed.root)]) == 0
    packed = Database.open(packed.root)
    site, reader = Site(), packed.reader()
    bytes_of = {row: reader.read(row) for row in range(len(photos))}
    for row, data in bytes_of.items():
        site.add(f"/{row}.jpg", data)
    hosts = [f"127.0.0.{number}" for number in range(1, 9)]
    with serving(addresses=hosts, site=site) as server:
        uris = [[server.url(f"/{row}.jpg", hosts[row % 8])] for row in bytes_of]
        fetched = database_of(tmp_path / "fetched", uris)
        capsys.readouterr()
        assert run(["fetch", str(fetched.root), "--allow-private-addresses", "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
    fetched = Database.open(fetched.root)
    reader = fetched.reader()
    assert {row: reader.read(row) for row in bytes_of} == bytes_of
    assert fetched.check().passed
    rate = report["fetched"] / report["seconds"]
    print(f"{report['fetched']} photos, {report['bytes']} bytes, {rate:.0f} a second")
