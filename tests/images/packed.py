"""Packing a few generated photos, and checks on the result, for the tests of this folder."""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from tests.images.pictures import encode, smooth

from mlimages.images.decoding import probe
from mlimages.images.packing.sealing import PackEntry, seal_shards
from mlimages.images.packing.staging import SealedShard
from mlimages.images.packing.writer import SHARD_BYTES, shard_name
from mlimages.images.settings import ImageSettings
from mlimages.images.verification import Verifier


@dataclass(frozen=True)
class PackedShard:
    """A sealed shard under a number, as a database would have adopted it."""

    path: Path | None
    number: int
    index: pa.Table
    rejects: pa.Table
    sealed: SealedShard


def pack_shards(
    entries: Iterable[PackEntry],
    directory: Path,
    first_number: int = 0,
    *,
    shard_bytes: int = SHARD_BYTES,
    workers: int = 1,
    settings: ImageSettings | None = None,
) -> Generator[PackedShard, None, None]:
    """Seal shards in a folder, and number them as they come."""
    with Verifier(settings, workers=workers) as verifier:
        shards = seal_shards(entries, directory, verifier, shard_bytes=shard_bytes)
        with closing(shards):
            for number, sealed in enumerate(shards, start=first_number):
                yield _numbered(sealed, number)


def _numbered(sealed: SealedShard, number: int) -> PackedShard:
    if sealed.path is None:
        return PackedShard(None, number, sealed.index, sealed.rejects, sealed)
    path = Path(sealed.path).with_name(shard_name(number))
    Path(sealed.path).rename(path)
    numbers = pa.array([number] * sealed.index.num_rows, pa.int32())
    index = sealed.index.set_column(1, sealed.index.schema.field("shard"), numbers)
    return PackedShard(path, number, index, sealed.rejects, sealed)


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
    assert len(data) == shard.sealed.size
    assert hashlib.sha256(data).hexdigest() == shard.sealed.sha256
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
