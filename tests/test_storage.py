"""Files appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlimages.errors import InputError, StorageError
from mlimages.storage import atomic_directory, atomic_file, write_text


def test_a_failed_write_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "old")

    def fail() -> None:
        with atomic_file(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_is_one_line_with_the_place_and_the_free_bytes(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match=r"file: no space left \([\d,]+ bytes free\)"),
        atomic_file(tmp_path / "file"),
    ):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_directory_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_directory(tmp_path / "folder") as temporary:
            (temporary / "a").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_directory_is_never_overwritten(tmp_path: Path) -> None:
    with atomic_directory(tmp_path / "folder") as temporary:
        (temporary / "a").write_text("whole")
    with pytest.raises(InputError, match="exists already"), atomic_directory(tmp_path / "folder"):
        pass
    assert (tmp_path / "folder" / "a").read_text() == "whole"
