from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from tests.images.databases import SETTINGS, database_of, shard_files, stored, write_photos
from tests.images.pictures import encode, smooth

from mlimages.database import Database
from mlimages.errors import DatabaseError, InputError
from mlimages.images.packing.blocks import BlockSpec, pack_block
from mlimages.images.packing.packing import pack_store
from mlimages.images.packing.settings import PackSettings, recorded
from mlimages.images.packing.staging import adopt, discard, load_shard
from mlimages.images.settings import ImageSettings


def test_no_shard_holds_images_of_two_blocks_and_rows_are_in_order(tmp_path: Path) -> None:
    database = database_of(tmp_path / "DB", write_photos(tmp_path / "photos", 37))
    report = database.pack(SETTINGS)
    assert (report.packed, report.rejected, report.images) == (37, 0, 37)
    index = database.store.table("shards/index").to_pylist()
    for shard in {record["shard"] for record in index}:
        rows = [record["row"] for record in index if record["shard"] == shard]
        assert len({row // 8 for row in rows}) == 1
        assert rows == sorted(rows)
    ordered = sorted(index, key=lambda record: (record["shard"], record["offset"]))
    assert [record["row"] for record in ordered] == list(range(37))
    assert database.check().passed
    assert not list((tmp_path / "DB" / "staging").iterdir())


def test_the_shards_do_not_depend_on_who_packs_which_block_when(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 37)
    here = database_of(tmp_path / "here", photos)
    here.pack(SETTINGS)

    there = database_of(tmp_path / "there", photos)

    def elsewhere(specs: list[BlockSpec]):
        specs = pickle.loads(pickle.dumps(specs))
        packed = {spec.block: pack_block(spec) for spec in reversed(specs)}
        return [shard for block in sorted(packed) for shard in packed[block]]

    assert pack_store(there.store, SETTINGS, blocks=elsewhere).packed == 37
    assert shard_files(there) == shard_files(here)
    assert there.store.table("shards/index").equals(here.store.table("shards/index"))
    assert there.check().passed


def test_described_shards_are_adopted_later_and_only_once(tmp_path: Path) -> None:
    photos = [*write_photos(tmp_path / "photos", 11), tmp_path / "nowhere"]
    here = database_of(tmp_path / "here", photos)
    here.pack(SETTINGS)
    there = database_of(tmp_path / "there", photos)
    folder = tmp_path / "there" / "staging" / "1-of-1"
    names = []
    for block in (0, 1):
        spec = BlockSpec(str(there.root), block, SETTINGS, staging="staging/1-of-1")
        names += [shard.save(folder) for shard in pack_block(spec)]
    shards = [load_shard(folder, name) for name in names]
    for _ in range(2):  # as if the first run had been killed between commit and clearing up
        with there.store.commit("pack") as commit:
            for shard in shards:
                adopt(commit, shard)
    assert shard_files(there) == shard_files(here)
    assert there.check().passed
    discard(shards)
    assert not [path for path in folder.iterdir() if path.suffix == ".tar"]


def test_a_damaged_description_is_an_error_that_names_it(tmp_path: Path) -> None:
    database = database_of(tmp_path / "DB", write_photos(tmp_path / "photos", 3))
    (shard,) = pack_block(BlockSpec(str(database.root), 0, SETTINGS))
    assert shard.path is not None
    name = shard.save(shard.path.parent)
    Path(str(shard.path)).write_bytes(b"short")
    with pytest.raises(DatabaseError, match="its tar was cut"):
        load_shard(shard.path.parent, name)


def test_packing_again_takes_only_what_is_not_packed(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 20)
    missing = tmp_path / "later"
    database = database_of(tmp_path / "DB", [*photos, missing, "https://example.org/a.jpg"])
    report = database.pack(SETTINGS)
    assert (report.packed, report.rejected, report.to_fetch) == (20, 1, 1)
    before = shard_files(database)
    again = database.pack()
    assert (again.packed, again.already_packed, again.rejected) == (0, 20, 1)
    missing.write_bytes(encode(smooth(30, 30)))
    database_of(tmp_path / "DB", write_photos(tmp_path / "more", 4), start=22)
    database = Database.open(tmp_path / "DB")
    report = database.pack()
    assert (report.packed, report.already_packed, report.rejected) == (5, 20, 0)
    assert report.images == 26
    files = shard_files(database)
    assert {number: files[number] for number in before} == before
    assert database.check().passed


def test_the_form_of_the_images_is_recorded_and_cannot_change(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 4)
    database = database_of(tmp_path / "DB", [*photos, tmp_path / "wide"])
    (tmp_path / "wide").write_bytes(encode(smooth(300, 5)))
    settings = replace(SETTINGS, images=ImageSettings(resize="shorter", side=20))
    report = database.pack(settings)
    assert report.first_rejects == [(str(tmp_path / "wide"), "too elongated")]
    assert recorded(Database.open(tmp_path / "DB").store) == settings
    with pytest.raises(DatabaseError, match="was packed with side 20, not 21; leave the option"):
        database.pack(replace(settings, images=ImageSettings(resize="shorter", side=21)))
    with pytest.raises(DatabaseError, match="mlimages shards rewrite DB"):
        database.pack(replace(settings, shard_bytes=9999))
    # Limits decide only what gets in: they may be loosened.
    looser = replace(settings.images, maximum_aspect=100.0)
    assert database.pack(replace(settings, images=looser)).packed == 1
    reader = database.reader()
    assert {min(reader.image(row).shape[:2]) for row in reader.rows.tolist()} == {20}


def test_metadata_is_dropped_unless_it_is_asked_for(tmp_path: Path) -> None:
    photo = tmp_path / "photo"
    photo.write_bytes(encode(smooth(30, 30), comment=b"SECRET"))
    for keep in (False, True):
        database = database_of(tmp_path / f"DB{keep}", [photo])
        database.pack(PackSettings(ImageSettings(strip_metadata=not keep)))
        assert (b"SECRET" in stored(database)[0]) is keep


def test_the_index_of_many_shards_becomes_one_file_a_partition(tmp_path: Path) -> None:
    database = database_of(tmp_path / "DB", write_photos(tmp_path / "photos", 30))
    database.pack(PackSettings(shard_bytes=1024, block_rows=8))
    assert len(shard_files(database)) == 30
    assert [len(database.store.entries("shards/index", p)) for p in (0, 1, 2)] == [1, 1, 1]
    assert database.store.table("shards/index")["row"].to_pylist() == list(range(30))


@pytest.mark.parametrize(
    "values", [{"shard_bytes": 10}, {"block_rows": 0}, {"images": {"side": 3}}]
)
def test_settings_out_of_range_are_refused(values: dict) -> None:
    with pytest.raises(InputError):
        PackSettings.from_dict({"images": {}, **values})


def test_hugging_face_datasets_reads_shards_of_one_format(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    database = database_of(tmp_path / "DB", write_photos(tmp_path / "photos", 10))
    database.pack(replace(SETTINGS, images=ImageSettings(format="jpeg")))
    files = sorted(map(str, (tmp_path / "DB" / "shards").glob("*.tar")))
    loaded = datasets.load_dataset(
        "webdataset", data_files=files, split="train", streaming=True, cache_dir=str(tmp_path)
    )
    samples = {sample["__key__"]: sample["jpg"] for sample in loaded}
    assert sorted(samples) == [f"n{row:04d}" for row in range(10)]
    reader = database.reader()
    assert all(
        image.size[::-1] == reader.image(int(key[1:])).shape[:2] for key, image in samples.items()
    )


def test_webdataset_reads_the_shards(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    database = database_of(tmp_path / "DB", write_photos(tmp_path / "photos", 10))
    database.pack(SETTINGS)
    files = sorted(map(str, (tmp_path / "DB" / "shards").glob("*.tar")))
    samples = list(webdataset.WebDataset(files, shardshuffle=False))
    found = {int(s["__key__"][1:]): s.get("jpg") or s.get("png") for s in samples}
    assert found == stored(database)


def test_rejects_say_which_image_and_why_also_elsewhere(tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_bytes(b"text")
    database = database_of(tmp_path / "DB", [bad, *write_photos(tmp_path / "photos", 2)])
    (shard,) = pack_block(BlockSpec(str(database.root), 0, SETTINGS))
    assert shard.rejects.select(["location", "reason", "row"]).to_pylist() == [
        {"location": str(bad), "reason": "not an image", "row": 0}
    ]
    assert isinstance(shard.index, pa.Table)
    assert shard.index["row"].to_pylist() == [1, 2]
