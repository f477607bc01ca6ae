"""`mlimages shards`: every flipped byte is found, what is damaged is mended, order is restored."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from tests.images.databases import (
    SETTINGS,
    database_of,
    shard_files,
    shuffled,
    stored,
    write_photos,
)
from tests.images.ledger.stores import plain_rights
from tests.images.pictures import encode, smooth

from mlimages.cli import run
from mlimages.database import Database
from mlimages.errors import DatabaseError
from mlimages.images.packing.blocks import BlockSpec, pack_block
from mlimages.images.packing.inspecting import Fault, verify_shards
from mlimages.images.packing.repairing import repair_shards
from mlimages.images.packing.rewriting import canonical_places, rewrite_shards
from mlimages.images.packing.sealing import PackEntry, seal_shards
from mlimages.images.packing.settings import PackSettings, record
from mlimages.images.packing.staging import adopt, discard
from mlimages.images.verification import Verifier
from mlimages.schemas import DUPLICATES


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return write_photos(tmp_path / "photos", 20)


@pytest.fixture
def packed(tmp_path: Path, photos: list[Path]) -> Database:
    database = database_of(tmp_path / "DB", photos)
    database.pack(SETTINGS)
    return database


def shard_path(database: Database, number: int = 0) -> Path:
    return Path(str(database.root)) / "shards" / f"{number:06d}.tar"


def test_whole_shards_have_no_findings(packed: Database) -> None:
    report = verify_shards(packed.store)
    assert (report.images, report.shards, report.findings) == (20, len(shard_files(packed)), [])
    assert report.bytes == sum(map(len, shard_files(packed).values()))


def test_each_single_flipped_byte_is_found(packed: Database) -> None:
    path = shard_path(packed)
    whole = path.read_bytes()
    index = packed.store.table("shards/index").to_pylist()
    own = [record for record in index if record["shard"] == 0]
    choose = random.Random(0)
    places = {0, 99, 130, 150, 257, 511, 512, len(whole) - 1}  # of a header, and the very ends
    for image in own:
        end = image["offset"] + image["length"]
        places |= {image["offset"] - 512, image["offset"], end - 1, end}
    places |= {choose.randrange(len(whole)) for _ in range(60)}
    for place in sorted(place for place in places if place < len(whole)):
        path.write_bytes(whole[:place] + bytes((whole[place] ^ 0x10,)) + whole[place + 1 :])
        (finding,) = verify_shards(packed.store).findings
        assert finding.shard == 0
        inside = [r for r in own if r["offset"] <= place < r["offset"] + r["length"]]
        if inside:
            assert (finding.fault, finding.row) == (Fault.BYTES, inside[0]["row"])
            assert finding.id == f"n{inside[0]['row']:04d}"
        else:
            assert finding.fault in (Fault.HEADER, Fault.PADDING)
    path.write_bytes(whole)
    assert not verify_shards(packed.store).findings


def test_cut_missing_and_foreign_shards_are_told_apart(
    packed: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = shard_path(packed, 0).read_bytes()
    shard_path(packed, 0).write_bytes(whole[:2000])
    rows = packed.store.manifest.files["shards"][1].rows
    shard_path(packed, 1).unlink()
    shard_path(packed, 2).write_bytes(shard_path(packed, 2).read_bytes() + bytes(10240))
    report = verify_shards(packed.store)
    faults = {finding.fault: finding.shard for finding in report.findings}
    assert faults[Fault.CUT] == 0
    assert faults[Fault.MISSING] == 1
    assert faults[Fault.GAP] == 2
    cut = sum(finding.shard == 0 and finding.row >= 0 for finding in report.findings)
    assert (report.damaged_shards, report.damaged_images) == (3, cut + rows)
    capsys.readouterr()
    assert run(["shards", "verify", str(packed.root), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["damaged_images"] == cut + rows
    assert run(["shards", "verify", str(packed.root)]) == 1
    printed = capsys.readouterr().out
    assert "shard 000001: shard is missing" in printed
    assert "mend them with: mlimages shards repair DB" in printed


def damage(database: Database) -> None:
    """A flipped byte in an image, one in a header, a cut and a missing shard."""
    first = bytearray(shard_path(database, 0).read_bytes())
    first[700] ^= 1
    first[1] ^= 1
    shard_path(database, 0).write_bytes(first)
    shard_path(database, 1).write_bytes(shard_path(database, 1).read_bytes()[:1500])
    shard_path(database, 2).unlink()


def test_repair_makes_the_same_shards_again(
    packed: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(shard_files(packed).values())
    images = stored(packed)
    damage(packed)
    report = repair_shards(packed.store, workers=1)
    assert (report.shards, report.lost, report.indexed) == (3, 0, 0)
    assert report.mended
    assert report.kept
    assert sorted(shard_files(packed).values()) == before
    assert stored(packed) == images
    assert packed.check().passed
    assert not verify_shards(packed.store).findings
    capsys.readouterr()
    assert run(["shards", "repair", str(packed.root)]) == 0
    assert capsys.readouterr().out.startswith("0 damaged shards: 0 images kept")


def test_what_cannot_be_packed_again_is_named_or_left_to_fetch(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 20)
    builder_uris: list[str | Path] = list(photos)
    database = database_of(tmp_path / "DB", builder_uris)
    database.pack(SETTINGS)
    images = stored(database)
    damage(database)
    lost = {row for f in verify_shards(database.store).findings for row in [f.row] if row >= 0}
    assert lost
    for row in lost:
        photos[row].unlink()
    report = repair_shards(database.store)
    assert report.lost == len(lost)
    assert {reason for _, reason in report.first_lost} == {"missing file"}
    assert database.check().passed
    assert not verify_shards(database.store).findings
    assert stored(database) == {r: data for r, data in images.items() if r not in lost}
    assert database.pack().rejected == len(lost)


def test_a_lost_image_that_was_fetched_is_to_be_fetched_again(
    photos: list[Path], tmp_path: Path
) -> None:
    states = pytest.importorskip("mlimages.images.fetching.states")
    from mlimages.images.ledger.ledger import Ledger

    database = database_of(tmp_path / "DB", [f"https://example.org/{n}" for n in range(20)])
    arrive(database, photos, list(range(20)))
    with database.store.commit("test") as commit:
        rights = plain_rights(range(20))
        Ledger.open(database.store).commit_ok(commit, range(20), [0] * 20, rights)
    damage(database)
    lost = {f.row for f in verify_shards(database.store).findings if f.fault is Fault.BYTES}
    missing = database.store.table("shards/index")
    lost |= {r["row"] for r in missing.to_pylist() if r["shard"] == 2}
    report = repair_shards(database.store)
    assert (report.lost, report.to_fetch, report.mended) == (len(lost), len(lost), 0)
    assert database.check().passed
    ledger = Ledger.open(database.store)
    pending = {row for row in range(20) if ledger.state_of(row, 0) is states.UrlState.PENDING}
    assert pending == lost == set(range(20)) - set(stored(database))


@pytest.mark.parametrize("way", ["missing", "damaged", "empty"])
def test_a_lost_index_is_read_from_the_shards(packed: Database, way: str) -> None:
    before = packed.store.table("shards/index").sort_by("row")
    for entry in packed.store.entries("shards/index"):
        path = Path(str(packed.root)) / entry.path
        if way == "missing":
            path.unlink()
        elif way == "damaged":
            path.write_bytes(bytes(len(path.read_bytes())))
    if way == "empty":
        with packed.store.commit("test") as commit:
            commit.manifest.files.pop("shards/index")
    with pytest.raises(DatabaseError, match="mlimages shards repair DB"):
        verify_shards(packed.store)
    assert repair_shards(packed.store).indexed == 20
    assert packed.store.table("shards/index").sort_by("row").equals(before)
    assert packed.check().passed


def test_a_lost_index_and_a_damaged_header_lose_one_image_that_is_packed_again(
    packed: Database,
) -> None:
    images = stored(packed)
    for entry in packed.store.entries("shards/index"):
        (Path(str(packed.root)) / entry.path).unlink()
    data = bytearray(shard_path(packed, 0).read_bytes())
    data[3] ^= 1
    shard_path(packed, 0).write_bytes(data)
    assert repair_shards(packed.store).indexed == 19
    assert packed.check().passed
    assert packed.pack().packed == 1
    assert stored(packed) == images
    assert not verify_shards(packed.store).findings


def arrive(database: Database, photos: list[Path], order: list[int]) -> None:
    """Adopt images in some order, in shards of any rows, as fetching does."""
    entries = [PackEntry(row, f"n{row:04d}", [str(photos[row])]) for row in order]
    staging = Path(str(database.root)) / "staging"
    with Verifier(SETTINGS.images, workers=1) as verifier, database.store.writing("test"):
        for shard in seal_shards(entries, staging, verifier, shard_bytes=7000):
            with database.store.commit("test") as commit:
                record(commit, SETTINGS)
                adopt(commit, shard)
            discard([shard])


@pytest.mark.parametrize("seed", [1, 2])
def test_any_order_of_arrival_ends_in_the_same_shards(
    packed: Database, photos: list[Path], tmp_path: Path, seed: int
) -> None:
    other = database_of(tmp_path / "other", photos)
    arrive(other, photos, shuffled(20, seed))
    assert sorted(shard_files(other).values()) != sorted(shard_files(packed).values())
    report = rewrite_shards(other.store)
    assert (report.blocks, report.rewritten, report.images) == (3, 3, 20)
    files = shard_files(other)
    assert [files[n] for n in sorted(files)] == list(shard_files(packed).values())
    assert stored(other) == stored(packed)
    assert other.check().passed
    assert not verify_shards(other.store).findings
    again = rewrite_shards(other.store)
    assert (again.rewritten, again.kept) == (0, 3)
    assert shard_files(other) == files


def test_canonical_shards_stay_as_they_are(packed: Database) -> None:
    before = shard_files(packed)
    assert rewrite_shards(packed.store).rewritten == 0
    assert shard_files(packed) == before


def test_another_size_of_shards_is_that_of_a_database_packed_so(
    packed: Database, photos: list[Path], tmp_path: Path
) -> None:
    larger = replace(SETTINGS, shard_bytes=30_000)
    other = database_of(tmp_path / "other", photos)
    other.pack(larger)
    rewrite_shards(packed.store, shard_bytes=30_000)
    # A block whose one shard is the same in both sizes stays, under its old number.
    assert sorted(shard_files(packed).values()) == sorted(shard_files(other).values())
    assert packed.pack(larger).packed == 0


def test_images_that_another_stands_for_are_left_out_and_stay_out(
    packed: Database, tmp_path: Path
) -> None:
    import pyarrow as pa

    with packed.store.commit("test") as commit:
        merged = [{"row": row, "kept": 2, "evidence": "bytes"} for row in (9, 3)]
        commit.replace("duplicates", pa.Table.from_pylist(merged, schema=DUPLICATES))
    report = rewrite_shards(packed.store)
    assert (report.rewritten, report.left_out) == (2, 2)
    assert sorted(stored(packed)) == [row for row in range(20) if row not in (3, 9)]
    files = b"".join(shard_files(packed).values())
    assert b"n0003." not in files
    assert b"n0009." not in files
    again = packed.pack()
    assert (again.packed, again.left_out, again.already_packed) == (0, 2, 18)
    assert packed.check().passed


def test_rewriting_goes_on_where_it_was_interrupted(
    packed: Database, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlimages.images.packing import rewriting

    other = database_of(tmp_path / "other", photos)
    arrive(other, photos, shuffled(20, 5))
    original, calls = rewriting.adopt, []

    def interrupted(commit, shard):
        calls.append(shard)
        if shard.block == 1:
            raise KeyboardInterrupt
        return original(commit, shard)

    monkeypatch.setattr(rewriting, "adopt", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rewrite_shards(other.store)
    other = Database.open(other.root)
    assert other.check().passed
    assert stored(other) == stored(packed)
    monkeypatch.setattr(rewriting, "adopt", original)
    assert rewrite_shards(other.store).rewritten == 2
    files = shard_files(other)
    assert [files[n] for n in sorted(files)] == list(shard_files(packed).values())
    assert not list((tmp_path / "other" / "staging").iterdir())


def test_a_damaged_image_stops_rewriting_and_names_the_way_out(
    packed: Database, photos: list[Path], tmp_path: Path
) -> None:
    other = database_of(tmp_path / "other", photos)
    arrive(other, photos, shuffled(20, 5))
    data = bytearray(shard_path(other, 0).read_bytes())
    data[600] ^= 1
    shard_path(other, 0).write_bytes(data)
    with pytest.raises(DatabaseError, match=r"fails its checksum; .*mlimages shards repair DB"):
        rewrite_shards(other.store)
    assert repair_shards(other.store).mended == 1
    rewrite_shards(other.store)
    assert stored(other) == stored(packed)


def test_the_places_of_canonical_shards_are_those_that_packing_gives(tmp_path: Path) -> None:
    database = database_of(tmp_path / "DB", write_photos(tmp_path / "photos", 30))
    (first, *rest) = pack_block(
        BlockSpec(str(database.root), 0, PackSettings(shard_bytes=9000, block_rows=100))
    )
    shards = [first, *rest]
    lengths = [n for shard in shards for n in shard.index["length"].to_pylist()]
    import numpy as np

    pieces, offsets, sizes = canonical_places(np.array(lengths), 9000)
    assert offsets.tolist() == [n for shard in shards for n in shard.index["offset"].to_pylist()]
    assert np.bincount(pieces).tolist() == [shard.index.num_rows for shard in shards]
    assert sizes == [shard.size for shard in shards]
    assert canonical_places(np.array([], int), 9000)[2] == []


def test_without_shards_each_command_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / "photo"
    photo.write_bytes(encode(smooth(9, 9)))
    database = database_of(tmp_path / "DB", [photo])
    for command in ("repair", "rewrite"):
        assert run(["shards", command, str(database.root)]) == 1
        assert "has no shards; run: mlimages pack DB" in capsys.readouterr().err
    assert run(["shards", "verify", str(database.root)]) == 0
