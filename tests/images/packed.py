"""Packing a few generated photos, and checks on the result, for the tests of this folder."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path

import pyarrow as pa
from tests.images.pictures import encode, smooth

from mlimages.images.decoding import probe
from mlimages.images.packing import PackedShard, PackEntry


def write_photos(folder: Path, count: int, side: int = 48) -> list[PackEntry]:
    folder.mkdir(exist_ok=True)
    entries = []
    for row in range(count):
        path = folder / f"{row}.jpg"
        path.write_bytes(encode(smooth(side, side, seed=row), quality=90))
        entries.append(PackEntry(row, f"photo-{row:04d}", [str(path)]))
    return entries


def whole_index(shards: list[PackedShard]) -> pa.Table:
    return pa.concat_tables([shard.index for shard in shards])


def reasons(shards: list[PackedShard]) -> dict[int, tuple[str, str]]:
    return {
        record["row"]: (record["location"], record["reason"])
        for shard in shards
        for record in shard.rejects.to_pylist()
    }


def assert_archive_equals_index(shard: PackedShard) -> None:
    assert shard.path is not None
    data = shard.path.read_bytes()
    with tarfile.open(shard.path) as archive:
        members = archive.getmembers()
    assert [(m.offset_data, m.size) for m in members] == list(
        zip(
            shard.index["offset"].to_pylist(),
            shard.index["length"].to_pylist(),
            strict=True,
        )
    )
    for record in shard.index.to_pylist():
        image = data[record["offset"] : record["offset"] + record["length"]]
        assert zlib.crc32(image) == record["crc32"]
        info = probe(image)
        assert (info.width, info.height) == (record["width"], record["height"])
        assert record["shard"] == shard.number == int(shard.path.stem)
