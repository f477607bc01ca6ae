"""Archives are downloaded on from where they stopped, checked, unpacked and counted."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mlimages.cli import run
from mlimages.errors import InputError
from mlimages.transfer.datasets import preparing
from mlimages.transfer.datasets.preparing import Archive, Benchmark, download, prepare


def archive_of(names: list[str]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(name)
            archive.addfile(info, io.BytesIO(name.encode()))
    return content.getvalue()


CONTENT = archive_of(["photos/a/1.jpg", "photos/a/2.jpg", "photos/b/1.jpg"])
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(BaseHTTPRequestHandler):
    """Serves CONTENT, breaking off after `limit` bytes; remembers which bytes were asked for."""

    limit = len(CONTENT)
    asked: list[int]

    def do_GET(self) -> None:
        start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
        self.asked.append(start)
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : start + self.limit])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Server.asked, Server.limit = [], len(CONTENT)
    serving = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{serving.server_port}/photos.tar"
    serving.shutdown()
    serving.server_close()


@pytest.fixture
def benchmark(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Benchmark((Archive(server, MD5),), {"photos/*": 3}, "photos", "caltech256")
    monkeypatch.setitem(preparing.BENCHMARKS, "tiny", one)


def test_a_download_goes_on_where_it_stopped(server: str, tmp_path: Path) -> None:
    Server.limit = 4000
    path = tmp_path / "photos.tar"
    attempts = -(-len(CONTENT) // 4000)
    for _ in range(attempts - 1):
        with pytest.raises(InputError, match=r"bytes early.*run again"):
            download(server, path, MD5)
        assert not path.exists()
    download(server, path, MD5)
    assert path.read_bytes() == CONTENT
    assert Server.asked == list(range(0, len(CONTENT), 4000))


def test_a_damaged_download_is_not_kept(server: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not the published file"):
        download(server, tmp_path / "photos.tar", "0" * 32)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("benchmark")
def test_it_is_unpacked_and_counted_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", "prepare", "tiny", "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "3 files in photos/*" in text
    assert f"--data {tmp_path / 'data' / 'photos'}" in text
    assert run(["data", "prepare", "tiny", "--out", str(tmp_path)]) == 0
    assert Server.asked == [0]
    (tmp_path / "data" / "photos" / "b" / "1.jpg").unlink()
    assert run(["data", "prepare", "tiny", "--out", str(tmp_path)]) == 1
    assert "photos: holds 2 files, not 3; unpack" in capsys.readouterr().err


@pytest.mark.usefixtures("benchmark")
def test_archives_or_data_may_be_brought(tmp_path: Path) -> None:
    brought = tmp_path / "brought"
    brought.mkdir()
    with pytest.raises(InputError, match=r"photos.tar: no such file; get it from http"):
        prepare("tiny", tmp_path / "out", brought)
    (brought / "photos.tar").write_bytes(CONTENT[:-1])
    with pytest.raises(InputError, match="is not the published file"):
        prepare("tiny", tmp_path / "out", brought)
    (brought / "photos.tar").write_bytes(CONTENT)
    assert prepare("tiny", tmp_path / "out", brought).data.endswith("data/photos")
    unpacked = prepare("tiny", tmp_path / "other", tmp_path / "out" / "data")
    assert Path(unpacked.data) == tmp_path / "out" / "data" / "photos"
    assert not (tmp_path / "other").exists()
    assert Server.asked == []


def test_what_has_to_be_asked_for_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"image-net.org; then name it with --source"):
        prepare("imagenet", tmp_path)
    with pytest.raises(InputError, match="did you mean 'voc2007'"):
        prepare("voc2077", tmp_path)


def test_without_a_network_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be reached .* --source"):
        download("http://127.0.0.1:9/photos.tar", tmp_path / "photos.tar", MD5)


def test_members_that_lead_outside_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "evil.tar"
    file.write_bytes(archive_of(["../outside.jpg"]))
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match="cannot be unpacked"):
        preparing.unpack(file, tmp_path / "in")
    assert not (tmp_path / "outside.jpg").exists()
