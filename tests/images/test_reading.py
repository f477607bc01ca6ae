from __future__ import annotations

import io
import os
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlimages.images import reading
from mlimages.images.reading import open_uri, tar_uri
from mlimages.images.rejection import UnreadableError
from mlimages.labels.sources.files import DamagedTarError, tar_members


def reason(uri: str) -> str:
    with pytest.raises(UnreadableError) as caught:
        open_uri(uri)
    assert caught.value.thing.startswith(uri[:20])
    return str(caught.value.reason)


def make_tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def test_a_local_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a photo::with odd name.jpg"
    path.write_bytes(b"bytes")
    assert open_uri(str(path)) == b"bytes"


def test_every_member_of_a_real_synset_tar_is_read(shared_data: Path) -> None:
    path = sorted((shared_data / "tiny-imagenet" / "train").glob("*.tar"))[0]
    with tarfile.open(path) as archive:
        for entry in archive:
            data = archive.extractfile(entry)
            assert data is not None
            assert open_uri(tar_uri(entry.name, path)) == data.read()


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a::b.jpg", "café.jpg"])
def test_member_names_are_only_compared(tmp_path: Path, name: str) -> None:
    path = make_tar(tmp_path / "x.tar", {name: b"inside"})
    assert open_uri(tar_uri(name, path)) == b"inside"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.tar"]


def test_an_archive_may_have_colons_in_its_path(tmp_path: Path) -> None:
    (tmp_path / "a::b").mkdir()
    path = make_tar(tmp_path / "a::b" / "x::y.tar", {"c::d.jpg": b"inside"})
    assert open_uri(tar_uri("c::d.jpg", path)) == b"inside"


@pytest.mark.parametrize("error", [ValueError, OverflowError, RecursionError])
def test_whatever_tarfile_raises_is_a_damaged_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(self: tarfile.TarFile) -> None:
        raise error("damaged")

    path = make_tar(tmp_path / "x.tar", {"a": b"1"})
    monkeypatch.setattr(tarfile.TarFile, "next", fail)
    assert reason(tar_uri("a", path)) == "damaged archive"
    with pytest.raises(DamagedTarError):
        list(tar_members(path))


@pytest.mark.parametrize("address", ["http://example.org/a.jpg", "HTTPS://example.org/a.jpg"])
def test_web_addresses_are_not_fetched(address: str) -> None:
    assert reason(address) == "not fetched"


@pytest.mark.parametrize("address", ["ftp://example.org/a.jpg", "s3://bucket/a.jpg", "tar://a.jpg"])
def test_other_addresses_are_unknown(address: str) -> None:
    assert reason(address) == "unknown kind of address"


def test_what_cannot_be_read_has_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    os.mkfifo(tmp_path / "pipe")
    assert reason(str(tmp_path / "nowhere.jpg")) == "missing file"
    assert reason(str(tmp_path / "file" / "inside.jpg")) == "missing file"
    assert reason(str(tmp_path)) == "unreadable"
    assert reason(str(tmp_path / "pipe")) == "unreadable"
    assert reason("/a\0b.jpg") == "unreadable"
    assert reason("/" + "a" * 5000) == "unreadable"
    monkeypatch.setattr(reading, "MAXIMUM_BYTES", 9)
    assert reason(str(tmp_path / "file")) == "too many bytes"


def test_what_is_wrong_with_an_archive_has_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_tar(tmp_path / "x.tar", {"a.jpg": b"0123456789"})
    assert reason(tar_uri("b.jpg", path)) == "missing in archive"
    assert reason(tar_uri("a.jpg", tmp_path / "y.tar")) == "missing file"
    assert reason(tar_uri("a.jpg", tmp_path)) == "unreadable"
    (tmp_path / "text.tar").write_text("no archive at all " * 99)
    assert reason(tar_uri("a.jpg", tmp_path / "text.tar")) == "damaged archive"
    (tmp_path / "empty.tar").write_bytes(b"")
    assert reason(tar_uri("a.jpg", tmp_path / "empty.tar")) == "damaged archive"
    make_tar(tmp_path / "x.tar.gz", {"a.jpg": b"x"}, "w:gz")
    assert reason(tar_uri("a.jpg", tmp_path / "x.tar.gz")) == "damaged archive"
    monkeypatch.setattr(reading, "MAXIMUM_BYTES", 9)
    assert reason(tar_uri("a.jpg", path)) == "too many bytes"


def test_a_piece_of_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a::1+2::b"
    path.write_bytes(b"0123456789")
    assert open_uri(f"range://2+3::{path}") == b"234"
    assert open_uri(f"range://0+10::{path}") == b"0123456789"


def test_what_is_wrong_with_a_piece_has_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    assert reason(f"range://8+3::{path}") == "damaged archive"
    assert reason(f"range://99+1::{path}") == "damaged archive"
    assert reason(f"range://0+1::{tmp_path / 'nowhere'}") == "missing file"
    assert reason(f"range://0+1::{tmp_path}") == "unreadable"
    for wrong in (f"range://-1+3::{path}", f"range://1::{path}", "range://0+1::relative"):
        assert reason(wrong) == "unknown kind of address"
    assert reason(f"range://0+{10**17}::{path}") == "too many bytes"


def test_a_cut_archive_still_gives_its_whole_members(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "x.tar", {"a": b"1" * 900, "b": b"2" * 900, "c": b"3" * 900})
    path.write_bytes(path.read_bytes()[: 512 + 1024 + 512 + 700])
    assert open_uri(tar_uri("a", path)) == b"1" * 900
    assert reason(tar_uri("b", path)) == "damaged archive"
    assert reason(tar_uri("c", path)) == "damaged archive"


def test_a_damaged_header_inside_is_not_taken_for_the_end(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "x.tar", {"a": b"1" * 900, "b": b"2" * 900})
    data = bytearray(path.read_bytes())
    data[512 + 1024 + 148] ^= 0x7F  # checksum of the second header
    path.write_bytes(data)
    assert open_uri(tar_uri("a", path)) == b"1" * 900
    assert reason(tar_uri("b", path)) == "damaged archive"


def test_links_and_folders_of_an_archive_are_no_images(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name, kind in (("link", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE), ("f", b"5")):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            archive.addfile(entry)
    for name in ("link", "hard", "f"):
        assert reason(tar_uri(name, tmp_path / "x.tar")) == "missing in archive"


def test_an_archive_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = {f"{i}.jpg": bytes([i]) * 10 for i in range(50)}
    path = make_tar(tmp_path / "x.tar", members)
    listed = []
    original = reading._list_archive
    monkeypatch.setattr(reading, "_list_archive", lambda p: listed.append(p) or original(p))
    for name, data in members.items():
        assert open_uri(tar_uri(name, path)) == data
    assert len(listed) == 1


def test_a_replaced_archive_is_listed_again(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "x.tar", {"a": b"old", "b": b"b"})
    assert open_uri(tar_uri("a", path)) == b"old"
    make_tar(path, {"z": b"z" * 20_000, "a": b"new"})
    assert open_uri(tar_uri("a", path)) == b"new"


def test_threads_read_more_archives_than_are_kept_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_ARCHIVES", reading._Archives(2))
    for number in range(8):
        members = {str(i): f"{number} {i}".encode() for i in range(20)}
        make_tar(tmp_path / f"{number}.tar", members)
    wanted = [(number, i) for i in range(20) for number in range(8)] * 3

    def read(place: tuple[int, int]) -> bytes:
        return open_uri(tar_uri(str(place[1]), tmp_path / f"{place[0]}.tar"))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(read, wanted))
    assert found == [f"{number} {i}".encode() for number, i in wanted]


def test_a_forked_process_reads_although_another_thread_held_the_lock(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "x.tar", {"a": b"bytes"})
    open_uri(tar_uri("a", path))
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with reading._ARCHIVES._lock:
            held.set()
            release.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        os._exit(0 if open_uri(tar_uri("a", path)) == b"bytes" else 1)
    _, status = os.waitpid(child, 0)
    release.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 0
