from __future__ import annotations

import os
import pickle
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.images.packed import pack_shards
from tests.images.pictures import encode, smooth

from mlimages.errors import DatabaseError
from mlimages.images.decoding import decode
from mlimages.images.files import OpenFiles
from mlimages.images.packing.sealing import PackEntry
from mlimages.images.shards import ShardReader
from mlimages.schemas import SHARD_INDEX

ROWS = [5, 2, 900, 7, 8, 3, 40, 41, 42, 1]


@pytest.fixture
def packed(tmp_path: Path) -> tuple[Path, pa.Table, dict[int, bytes]]:
    """A directory of several small shards, rows out of order and with gaps."""
    stored = {row: encode(smooth(60, 40, seed=row), quality=92) for row in ROWS}
    for row, data in stored.items():
        (tmp_path / f"{row}.jpg").write_bytes(data)
    entries = [PackEntry(row, f"id-{row}", [str(tmp_path / f"{row}.jpg")]) for row in ROWS]
    shards = list(pack_shards(entries, tmp_path / "shards", shard_bytes=8000))
    assert len(shards) > 2
    return tmp_path / "shards", pa.concat_tables([shard.index for shard in shards]), stored


def test_images_are_found_by_row_in_any_order(packed) -> None:
    directory, index, stored = packed
    reader = ShardReader(directory, index)
    assert reader.rows.tolist() == sorted(ROWS)
    assert len(reader) == len(ROWS)
    for row, data in stored.items():
        assert row in reader
        assert np.int32(row) in reader
        assert reader.read(row) == data
        np.testing.assert_array_equal(reader.image(row), decode(data))
        assert reader.image(row, minimum_side=20).shape == (20, 30, 3)
        assert reader.image(row, 20).shape == (20, 30, 3)


@pytest.mark.parametrize("row", [0, 6, 901, -1, 10**12])
def test_other_rows_are_not_there(packed, row: int) -> None:
    reader = ShardReader(*packed[:2])
    assert row not in reader
    assert "5" not in reader
    with pytest.raises(KeyError):
        reader.read(row)


def test_an_empty_index_holds_nothing(tmp_path: Path) -> None:
    reader = ShardReader(tmp_path, SHARD_INDEX.empty_table())
    assert len(reader) == 0
    assert 0 not in reader


def test_a_row_in_two_places_is_refused(packed) -> None:
    directory, index, _ = packed
    with pytest.raises(DatabaseError, match="row 5 is in two places"):
        ShardReader(directory, pa.concat_tables([index, index.slice(0, 1)]))


def test_a_changed_byte_names_shard_and_image(packed) -> None:
    directory, index, _ = packed
    place = index.to_pylist()[0]
    path = directory / f"{place['shard']:06d}.tar"
    data = bytearray(path.read_bytes())
    data[place["offset"] + 100] ^= 1
    path.write_bytes(data)
    reader = ShardReader(directory, index)
    with pytest.raises(DatabaseError) as caught:
        reader.read(5)
    assert caught.value.thing == str(path)
    assert caught.value.cause == "image id-5 (row 5) fails its checksum"
    assert "restore" in caught.value.action
    assert reader.read(2)


def test_a_cut_shard_names_the_image(packed) -> None:
    directory, index, _ = packed
    place = index.to_pylist()[-1]
    path = directory / f"{place['shard']:06d}.tar"
    os.truncate(path, place["offset"] + 10)
    with pytest.raises(DatabaseError, match=r"image id-1 \(row 1\) is cut short"):
        ShardReader(directory, index).read(1)


def test_a_shard_cut_before_the_image_names_the_row(packed) -> None:
    directory, index, _ = packed
    place = index.to_pylist()[-1]
    path = directory / f"{place['shard']:06d}.tar"
    os.truncate(path, 0)
    with pytest.raises(DatabaseError, match="the image of row 1 is cut short"):
        ShardReader(directory, index).read(1)


def test_a_missing_shard_is_named(packed) -> None:
    directory, index, _ = packed
    (directory / "000000.tar").unlink()
    with pytest.raises(DatabaseError, match=r"000000\.tar: shard is missing"):
        ShardReader(directory, index).read(5)


def test_a_pickled_reader_opens_its_files_anew(packed) -> None:
    directory, index, stored = packed
    reader = ShardReader(directory, index)
    reader.read(5)
    again = pickle.loads(pickle.dumps(reader))
    assert {row: again.read(row) for row in ROWS} == stored


def test_threads_may_use_one_reader_with_few_open_files(packed) -> None:
    directory, index, stored = packed
    reader = ShardReader(directory, index)
    reader._files = OpenFiles(limit=1)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(reader.read, ROWS * 100)) == [stored[row] for row in ROWS * 100]


def test_only_a_limited_number_of_files_stays_open(packed) -> None:
    directory, index, _ = packed
    reader = ShardReader(directory, index)
    reader._files = OpenFiles(limit=2)
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0
    for row in ROWS:
        reader.read(row)
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_a_forked_process_goes_on_reading(packed) -> None:
    directory, index, stored = packed
    reader = ShardReader(directory, index)
    reader.read(5)
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with reader._files._lock:
            held.set()
            release.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        os._exit(0 if all(reader.read(row) == stored[row] for row in ROWS) else 1)
    _, status = os.waitpid(child, 0)
    release.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 0
    assert reader.read(900) == stored[900]


def test_finding_an_image_copies_nothing_of_a_large_index() -> None:
    count = 500_000
    columns = {
        field.name: pa.array(np.arange(count), type=field.type, safe=False) for field in SHARD_INDEX
    }
    reader = ShardReader("shards", pa.table(columns, schema=SHARD_INDEX))
    rows = np.arange(100, 200, dtype=np.int64)
    tracemalloc.start()
    try:
        assert 77 in reader
        assert reader.places(rows)[1].tolist() == rows.tolist()
        assert tracemalloc.get_traced_memory()[1] < count
    finally:
        tracemalloc.stop()
