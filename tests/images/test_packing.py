from __future__ import annotations

import os
import re
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.images.packed import (
    PackedShard,
    assert_archive_equals_index,
    pack_shards,
    reasons,
    whole_index,
    write_photos,
)
from tests.images.pictures import encode, smooth

from mlimages.errors import InputError
from mlimages.images.packing.sealing import PackEntry
from mlimages.images.reading import open_uri, tar_uri
from mlimages.images.shards import ShardReader
from mlimages.images.stripping import strip_metadata
from mlimages.schemas import REJECTS, SHARD_INDEX

WEBDATASET_NAME = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$")


def member_names(path: Path) -> list[str]:
    with tarfile.open(path) as archive:
        return archive.getnames()


def test_real_photos_of_tars_and_folders_are_packed_without_their_metadata(
    shared_data: Path, tmp_path: Path
) -> None:
    tars = sorted((shared_data / "tiny-imagenet" / "train").glob("*.tar"))[:3]
    uris = [tar_uri(name, path) for path in tars for name in member_names(path)]
    for folder in ("coco128/images", "voc2012/VOCdevkit/VOC2012/JPEGImages", "tencent/images"):
        uris += [str(path) for path in sorted((shared_data / folder).iterdir())[:40]]
    entries = [PackEntry(row + 7, f"image-{row}", [uri]) for row, uri in enumerate(uris)]
    shards = list(pack_shards(entries, tmp_path, 3, shard_bytes=4_000_000))
    assert len(shards) > 2
    assert [shard.number for shard in shards] == list(range(3, 3 + len(shards)))
    index = whole_index(shards)
    assert index.schema == SHARD_INDEX
    assert index["row"].to_pylist() == [entry.row for entry in entries]
    assert sum(shard.rejects.num_rows for shard in shards) == 0
    reader = ShardReader(tmp_path, index)
    for entry in entries:
        assert reader.read(entry.row) == strip_metadata(open_uri(entry.uris[0]))
    for shard in shards:
        assert_archive_equals_index(shard)
        assert shard.path is not None
        assert shard.path.stat().st_size < 4_000_000 + tarfile.RECORDSIZE


def test_a_shard_is_what_tarfile_would_write(tmp_path: Path) -> None:
    entries = write_photos(tmp_path / "photos", 5)
    (shard,) = pack_shards(entries, tmp_path / "shards")
    with tarfile.open(tmp_path / "other.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        for entry in entries:
            info = tarfile.TarInfo(entry.id + ".jpg")
            info.size, info.mode = os.path.getsize(entry.uris[0]), 0o644
            with open(entry.uris[0], "rb") as file:
                archive.addfile(info, file)
    assert shard.path is not None
    assert shard.path.read_bytes() == (tmp_path / "other.tar").read_bytes()


def test_a_shard_is_a_webdataset_shard(tmp_path: Path) -> None:
    entries = write_photos(tmp_path / "photos", 4)
    for name, format_name in (("a.jpg", "PNG"), ("b", "WEBP"), ("c.png", "GIF")):
        (tmp_path / name).write_bytes(encode(smooth(20, 20), format_name))
        entries.append(PackEntry(len(entries), f"z_{len(entries)}", [str(tmp_path / name)]))
    (shard,) = pack_shards(entries, tmp_path)
    assert shard.path is not None
    with tarfile.open(shard.path) as archive:
        members = archive.getmembers()
    names = [member.name for member in members]
    assert names == sorted(names)
    split = [WEBDATASET_NAME.match(name) for name in names]
    assert [match and match[1] for match in split] == [entry.id for entry in entries]
    # The extension follows the content, not the name it came with.
    assert [match and match[2] for match in split] == ["jpg"] * 4 + ["png", "webp", "gif"]
    for member in members:
        assert member.isreg()
        assert (member.mtime, member.uid, member.gid, member.uname) == (0, 0, 0, "")
        assert member.mode == 0o644


def test_webdataset_itself_reads_a_shard(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    entries = write_photos(tmp_path / "photos", 6)
    (shard,) = pack_shards(entries, tmp_path)
    samples = list(webdataset.WebDataset(str(shard.path), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == [entry.id for entry in entries]
    assert [sample["jpg"] for sample in samples] == [open_uri(e.uris[0]) for e in entries]


def test_every_broken_image_is_named_with_its_reason(tmp_path: Path) -> None:
    good = encode(smooth(40, 40))
    contents = {
        "empty": b"",
        "not an image": b"hello, I am a text file\n" * 50,
        "truncated": good[: len(good) // 2],
        "unsupported format": encode(smooth(40, 40), "BMP"),
        "damaged": b"\x89PNG\r\n\x1a\n" + b"text" * 9,
    }
    entries = write_photos(tmp_path / "photos", 3)
    expected = {}
    for name, data in contents.items():
        path = tmp_path / f"{name}.jpg"
        path.write_bytes(data)
        expected[len(entries)] = (str(path), name)
        entries.append(PackEntry(len(entries), f"x{len(entries)}", [str(path)], source="list"))
    for uri, name in (
        (str(tmp_path / "nowhere.jpg"), "missing file"),
        ("https://example.org/a.jpg", "not fetched"),
        (tar_uri("a.jpg", tmp_path / "no.tar"), "missing file"),
    ):
        expected[len(entries)] = (uri, name)
        entries.append(PackEntry(len(entries), f"x{len(entries)}", [uri], source="list"))
    expected[len(entries)] = ("nothing", "missing file")
    entries.append(PackEntry(len(entries), "nothing", [], source="list"))

    (shard,) = pack_shards(reversed(entries), tmp_path / "shards")
    assert reasons([shard]) == expected
    assert shard.rejects.schema == REJECTS
    assert set(shard.rejects["stage"].to_pylist()) == {"pack"}
    assert set(shard.rejects["source"].to_pylist()) == {"list"}
    assert shard.index["row"].to_pylist() == [2, 1, 0]


def test_the_first_usable_place_is_taken(tmp_path: Path) -> None:
    (entry,) = write_photos(tmp_path / "photos", 1)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    uris = ["http://example.org/a.jpg", str(broken), *entry.uris]
    (shard,) = pack_shards([PackEntry(0, "a", uris)], tmp_path)
    assert shard.index.num_rows == 1
    (shard,) = pack_shards([PackEntry(0, "a", uris[:2])], tmp_path)
    assert reasons([shard]) == {0: (str(broken), "not an image")}


def test_only_rejects_give_no_shard(tmp_path: Path) -> None:
    entries = [PackEntry(row, f"a{row}", ["http://example.org/"]) for row in range(9000)]
    (shard,) = pack_shards(entries, tmp_path / "shards")
    assert shard.path is None
    assert shard.index.num_rows == 0
    assert shard.rejects["row"].to_pylist() == list(range(9000))
    assert not (tmp_path / "shards").exists()


def test_no_entries_give_nothing(tmp_path: Path) -> None:
    assert list(pack_shards([], tmp_path)) == []


@pytest.mark.parametrize("workers", [1, 5])
def test_the_result_does_not_depend_on_workers_or_interruptions(
    tmp_path: Path, workers: int
) -> None:
    entries = write_photos(tmp_path / "photos", 30)
    entries[7] = PackEntry(7, "lost", [str(tmp_path / "nowhere")])
    once = list(pack_shards(entries, tmp_path / "once", shard_bytes=9000, workers=2))
    assert len(once) > 3
    again: list[PackedShard] = []
    while True:  # one shard a run, as if each run had been killed after its first commit
        done = {row for shard in again for row in shard.index["row"].to_pylist()}
        done |= set(reasons(again))
        rest = [entry for entry in entries if entry.row not in done]
        run = pack_shards(rest, tmp_path / "again", len(again), shard_bytes=9000, workers=workers)
        shard = next(run, None)
        run.close()
        if shard is None:
            break
        again.append(shard)
    assert whole_index(once).equals(whole_index(again))
    assert reasons(once) == reasons(again)
    for one, other in zip(once, again, strict=True):
        assert one.path is not None
        assert other.path is not None
        assert one.path.read_bytes() == other.path.read_bytes()


def test_an_image_larger_than_a_shard_has_one_of_its_own(tmp_path: Path) -> None:
    shards = list(pack_shards(write_photos(tmp_path / "p", 3), tmp_path, shard_bytes=1024))
    assert [shard.index.num_rows for shard in shards] == [1, 1, 1]


@pytest.mark.parametrize("unsafe", ["", "../a", "A", "a.b", "a/b", "a" * 65, "ä", "a\n"])
def test_unsafe_ids_are_refused(tmp_path: Path, unsafe: str) -> None:
    entries = write_photos(tmp_path / "photos", 2)
    entries.append(PackEntry(2, unsafe, entries[0].uris))
    with pytest.raises(InputError, match="not a safe image id"):
        list(pack_shards(entries, tmp_path / "shards"))
    assert not list(tmp_path.glob("shards/*"))


def test_an_id_used_twice_is_refused(tmp_path: Path) -> None:
    (entry,) = write_photos(tmp_path / "photos", 1)
    with pytest.raises(InputError, match="two images have this id"):
        list(pack_shards([entry, PackEntry(1, entry.id, entry.uris)], tmp_path / "shards"))
    assert list((tmp_path / "shards").iterdir()) == []


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kinds=st.lists(st.sampled_from(["JPEG", "PNG", "broken", "missing"]), max_size=25),
    shard_bytes=st.integers(1024, 30_000),
    workers=st.integers(1, 4),
)
def test_packed_and_rejected_are_always_all_entries(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[str], shard_bytes: int, workers: int
) -> None:
    folder = tmp_path_factory.mktemp("pack")
    entries = []
    for row, kind in enumerate(kinds):
        path = folder / f"{row}"
        if kind == "broken":
            path.write_bytes(b"broken")
        elif kind != "missing":
            path.write_bytes(encode(smooth(10 + row, 12, seed=row), kind))
        entries.append(PackEntry(row, f"i{row}", [str(path)]))
    shards = list(pack_shards(entries, folder / "s", shard_bytes=shard_bytes, workers=workers))
    good = [row for row, kind in enumerate(kinds) if kind in ("JPEG", "PNG")]
    rejected = set(reasons(shards))
    assert rejected == set(range(len(kinds))) - set(good)
    if shards:
        index = whole_index(shards)
        assert index["row"].to_pylist() == good
        reader = ShardReader(folder / "s", index)
        for row in good:
            assert reader.read(row) == (folder / f"{row}").read_bytes()
    for shard in shards:
        if shard.path is not None:
            assert_archive_equals_index(shard)
            assert set(shard.index["shard"].to_pylist()) == {shard.number}
