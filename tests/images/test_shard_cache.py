"""The cache of remote shards: right bytes, bounded, shared, and careful with others' files."""

from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tests.images.packed import whole_index, write_photos

from mlimages.errors import DatabaseError, InputError
from mlimages.images.packing import pack_shards
from mlimages.images.shard_cache import ShardCache
from mlimages.images.shards import ShardReader

BLOCK = 64
CONTENT = np.random.default_rng(0).integers(0, 256, 10_000, dtype=np.uint8).tobytes()


class Counted:
    """A remote file that counts its reads."""

    def __init__(self) -> None:
        self.reads = 0

    def read(self, offset: int, length: int) -> bytes:
        self.reads += 1
        return CONTENT[offset : offset + length]


def blocks(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*-0*") if path.is_file()]


def read_all(folder: Path) -> bool:
    cache, file = ShardCache(folder, 2e-6, BLOCK), Counted()
    wanted = np.random.default_rng().integers(0, 9_900, 300)
    return all(cache.read("a", file, int(o), 90) == CONTENT[o : o + 90] for o in wanted)


def test_reads_give_the_file_s_bytes_and_fetch_each_block_once(tmp_path: Path) -> None:
    cache, file = ShardCache(tmp_path, 1e-3, BLOCK), Counted()
    for offset, length in ((0, 10), (60, 10), (5, 200), (9_990, 50), (64, 64), (128, 0)):
        assert cache.read("a", file, offset, length) == CONTENT[offset : offset + length]
    before = file.reads
    assert cache.read("a", file, 3, 190) == CONTENT[3:193]
    assert file.reads == before
    again = ShardCache(tmp_path, 1e-3, BLOCK)  # another process, or the next run
    assert again.read("a", file, 3, 100) == CONTENT[3:103]
    assert file.reads == before
    again.read("b", file, 3, 1)
    assert file.reads == before + 1


def test_the_limit_holds_and_what_was_used_last_stays(tmp_path: Path) -> None:
    cache, file = ShardCache(tmp_path, 20 * BLOCK / 1e9, BLOCK), Counted()
    for block in range(100):
        cache.read("a", file, block * BLOCK, BLOCK)
        cache.read("a", file, 0, 1)
        assert sum(path.stat().st_size for path in blocks(tmp_path)) <= 20 * BLOCK
    assert file.reads == 100  # block 0 was never removed


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    cache, file = ShardCache(tmp_path, 20 * BLOCK / 1e9, BLOCK), Counted()
    others = [tmp_path / "photo.jpg", tmp_path / "mlimages-shard-blocks" / "notes-000001.txt"]
    for path in others:
        path.write_bytes(bytes(100_000))
    link = tmp_path / "mlimages-shard-blocks" / f"{'0' * 32}-000000"
    link.symlink_to(others[0])
    for block in range(100):
        cache.read("a", file, block * BLOCK, BLOCK)
    assert all(path.stat().st_size == 100_000 for path in others)
    assert link.is_symlink()


def test_processes_share_a_folder_that_is_too_small_for_them(tmp_path: Path) -> None:
    with ProcessPoolExecutor(3) as pool:
        assert all(pool.map(read_all, [tmp_path] * 6))


def test_a_cache_may_be_sent_to_another_process(tmp_path: Path) -> None:
    cache, file = ShardCache(tmp_path, 1e-3, BLOCK), Counted()
    cache.read("a", file, 0, 10)
    assert pickle.loads(pickle.dumps(cache)).read("a", file, 0, 10) == CONTENT[:10]
    assert file.reads == 1


def test_a_limit_below_a_few_blocks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too small"):
        ShardCache(tmp_path, 1e-3)


def test_remote_shards_are_read_through_the_cache_and_damage_in_it_is_repaired(
    tmp_path: Path,
) -> None:
    from upath import UPath

    shards = list(pack_shards(write_photos(tmp_path / "photos", 6), tmp_path / "shards"))
    index = whole_index(shards)
    local = ShardReader(tmp_path / "shards", index)
    remote_folder = UPath("memory://cached-shards")
    for path in (tmp_path / "shards").glob("*.tar"):
        (remote_folder / path.name).write_bytes(path.read_bytes())
    cache = ShardCache(tmp_path / "cache", 0.01, 512)
    remote = ShardReader(remote_folder, index, cache)
    assert remote.remote
    rows = local.rows.tolist()
    assert [remote.read(row) for row in rows] == [local.read(row) for row in rows]
    for path in blocks(tmp_path / "cache"):
        path.write_bytes(bytes(path.stat().st_size))
    assert [remote.read(row) for row in rows] == [local.read(row) for row in rows]
    for path in remote_folder.iterdir():
        path.write_bytes(bytes(20_000))
    for path in blocks(tmp_path / "cache"):
        path.unlink()
    with pytest.raises(DatabaseError, match="fails its checksum"):
        remote.read(rows[0])
