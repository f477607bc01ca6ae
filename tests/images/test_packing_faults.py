from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import REPOSITORY
from tests.images.packed import PackedShard, assert_archive_equals_index, pack_shards, write_photos

from mlimages.errors import StorageError
from mlimages.images.packing import sealing, staging


def pack_into(sealed: list[PackedShard], *arguments, **options) -> None:
    """Pack while keeping the shards sealed before an exception."""
    for shard in pack_shards(*arguments, **options):
        sealed.append(shard)


class FullDisk:
    """A file on a disk that takes a few more bytes."""

    def __init__(self, file, room: int) -> None:
        self.file, self.room = file, room

    def write(self, data: bytes) -> int:
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.file.write(data)

    def __enter__(self):
        return self

    def close(self) -> None:
        self.file.close()

    def __exit__(self, *error: object) -> None:
        self.close()


def test_a_full_disk_leaves_sealed_shards_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = write_photos(tmp_path / "photos", 30)
    room = iter([1 << 30, 5000])

    def open_on_full_disk(path: Path, mode: str, buffering: int) -> FullDisk:
        return FullDisk(path.open(mode, buffering), next(room))

    monkeypatch.setattr(staging, "open", open_on_full_disk, raising=False)
    run = pack_shards(entries, tmp_path / "shards", shard_bytes=12_000)
    next(run)
    with pytest.raises(StorageError, match="no space left"):
        next(run)
    assert [path.name for path in (tmp_path / "shards").iterdir()] == ["000000.tar"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A mounted file system of 200 kB; needs the right to mount."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a small file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_small_file_system_that_fills_up(small_disk: Path, tmp_path: Path) -> None:
    entries = write_photos(tmp_path / "photos", 120, side=160)
    sealed: list[PackedShard] = []
    with pytest.raises(StorageError, match="no space left"):
        pack_into(sealed, entries, small_disk / "shards", shard_bytes=60_000)
    assert sealed
    assert sorted((small_disk / "shards").iterdir()) == [shard.path for shard in sealed]
    for shard in sealed:
        assert_archive_equals_index(shard)


def test_an_interruption_inside_a_shard_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = write_photos(tmp_path / "photos", 30)
    original = sealing._next_good
    given = iter(range(30))

    def interrupted(*arguments):
        if next(given) == 20:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(sealing, "_next_good", interrupted)
    sealed: list[PackedShard] = []
    with pytest.raises(KeyboardInterrupt):
        pack_into(sealed, entries, tmp_path / "shards", shard_bytes=12_000)
    assert sealed
    assert sorted((tmp_path / "shards").iterdir()) == [shard.path for shard in sealed]


def test_ctrl_c_leaves_nothing_half_written(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    write_photos(photos, 4)
    code = (
        "import sys, itertools, glob, signal\n"
        # A shell's background jobs inherit that Ctrl-C is ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from mlimages.images.packing.sealing import PackEntry\n"
        "from tests.images.packed import pack_shards\n"
        "from pathlib import Path\n"
        "places = itertools.cycle(sorted(glob.glob(sys.argv[1] + '/*')))\n"
        "entries = (PackEntry(row, f'a{row}', [next(places)]) for row in range(10**9))\n"
        "for shard in pack_shards(entries, Path(sys.argv[2]), shard_bytes=200_000):\n"
        "    print(shard.path, flush=True)\n"
    )
    command = [sys.executable, "-c", code, str(photos), str(tmp_path / "shards")]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY
    )
    assert process.stdout is not None
    first = [process.stdout.readline(), process.stdout.readline()]
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=30)
    assert process.returncode != 0
    printed = {Path(line.strip()) for line in [*first, *rest.splitlines()] if line.strip()}
    left = set((tmp_path / "shards").iterdir())
    assert not [path for path in left if path.suffix != ".tar"]
    assert printed <= left
    for path in left:
        with tarfile.open(path) as archive:
            assert len(archive.getmembers()) > 5
