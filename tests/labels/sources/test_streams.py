"""Opening annotation files: compressed, remote, and files made to do harm."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
from tests.labels.sources.writing import column, rejects, tags, write
from tests.labels.tiny import CAR, DOG, KEYS, TAXONOMY

from mlimages.errors import InputError
from mlimages.labels.reading import Reading
from mlimages.labels.sources import SOURCES, line_blocks, streams
from mlimages.labels.sources.streams import (
    files_of,
    is_folder,
    open_stream,
    read_lines,
    stem_of,
    suffix_of,
)
from mlimages.labels.streams import joined

LINES = b"".join(b"line %d\n" % number for number in range(50_000))


def zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, "zstd", asbytes=True))


@pytest.fixture
def remote() -> Iterator[str]:
    """A folder of a store that lives in memory."""
    filesystem = fsspec.filesystem("memory")
    filesystem.store.clear()
    yield "memory://data"
    filesystem.store.clear()


def put(address: str, data: bytes) -> str:
    with fsspec.open(address, "wb") as file:
        file.write(data)
    return address


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstd])
@pytest.mark.parametrize("times", [1, 2])
def test_any_compression_is_told_by_its_first_bytes(
    tmp_path: Path, compress: Callable[[bytes], bytes], times: int
) -> None:
    file = write(tmp_path / "lines.any", compress(LINES) * times)  # archives may follow each other
    with open_stream(file) as stream:
        assert stream.read() == LINES * times


@pytest.mark.parametrize("compress", [gzip.compress, zstd])
def test_a_cut_archive_gives_its_lines_and_where_it_ends(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    noise = b"".join(b"%s\n" % os.urandom(20).hex().encode() for _ in range(50_000))
    whole = compress(noise)
    file = write(tmp_path / "x.gz", whole[: len(whole) // 2])
    *good, last = read_lines(file)
    assert [line.wrong for line in good] == [""] * len(good)
    assert len(good) > 10_000
    assert "cannot be read (Truncated" in last.wrong
    assert last.location == f"{file}:{len(good) + 1}"


def test_a_damaged_archive_is_named_too(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(LINES))
    data[-6] ^= 1  # its checksum
    *_, last = read_lines(write(tmp_path / "x.gz", bytes(data)))
    assert "incorrect data check" in last.wrong


def test_lines_that_cannot_be_used_are_named_and_spoil_no_other(tmp_path: Path) -> None:
    data = b"\xef\xbb\xbfone\r\n" + b"x" * 500 + b"\ncaf\xe9\n\nlast"
    file = write(tmp_path / "x.txt", data)
    assert [(text, wrong) for _, text, wrong in read_lines(file, maximum=100)] == [
        ("one", ""),
        (None, "longer than 100 bytes"),
        (None, "not UTF-8 text"),
        ("", ""),
        ("last", ""),
    ]
    exact = write(tmp_path / "y.txt", b"x" * 100 + b"\r\n" + b"y" * 101 + b"\n")
    assert [bool(text) for _, text, _ in read_lines(exact, maximum=100)] == [True, False]


@pytest.mark.parametrize("size", [3, 7, 64])
def test_blocks_hold_whole_lines_however_the_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(line_blocks, "BLOCK_BYTES", size)
    file = write(tmp_path / "x.txt", b"\xef\xbb\xbfa\n\nlonger than a block\r\nb")
    found = [line for block in line_blocks.blocks_of(file) for line in block.lines()]
    assert found == [(1, b"a"), (2, b""), (3, b"longer than a block"), (4, b"b")]


def test_names_of_files() -> None:
    assert [suffix_of(name) for name in ("a/b.CSV.gz", "x.jsonl", "s3://b/y.tsv.zst", "z")] == [
        ".csv", ".jsonl", ".tsv", ""
    ]  # fmt: skip
    assert stem_of("s3://bucket/mine.v2.csv.gz") == "mine.v2"


def test_files_behind_an_address(remote: str) -> None:
    put(f"{remote}/b/two.csv", b"2")
    put(f"{remote}/one.csv", gzip.compress(b"1"))
    put(f"{remote}/.hidden", b"0")
    assert files_of(remote) == ["memory:///data/b/two.csv", "memory:///data/one.csv"]
    assert (is_folder(remote), is_folder(f"{remote}/one.csv")) == (True, False)
    with open_stream(f"{remote}/one.csv") as stream:
        assert stream.read() == b"1"


@pytest.mark.parametrize("address", ["memory://nowhere/x.csv", "nosuchscheme://x", "/nowhere/x"])
def test_what_is_not_there_is_one_clear_error(address: str) -> None:
    for function in (files_of, lambda place: list(read_lines(place))):
        with pytest.raises(InputError) as caught:
            function(address)
        assert caught.value.thing == address


MAP = f"label\twnid\trelation\tnote\n/m/dog\t{KEYS[DOG]}\texact\t\n"
FORMATS = {
    "tencent": ("list.txt", f"a/one.jpg\t{DOG}:1\n"),
    "imagenet": ("ids.txt", f"{KEYS[DOG]}_1\n"),
    "table": ("t.csv", f"id,tags\none,{DOG}\n"),
    "huggingface": ("metadata.jsonl", '{"file_name": "one.jpg", "tags": ["dog"]}\n'),
    "open_images": ("l.csv", "ImageID,Source,LabelName,Confidence\none,verification,/m/dog,1\n"),
    "coco": (
        "instances_train.json",
        '{"images": [{"id": 1, "file_name": "one.jpg"}], "annotations": [{"image_id": 1, '
        '"category_id": 2}], "categories": [{"id": 2, "name": "dog"}]}',
    ),
    "lvis": (
        "lvis_train.json",
        '{"images": [{"id": 1, "file_name": "one.jpg"}], "annotations": [{"image_id": 1, '
        '"category_id": 2}], "categories": [{"id": 2, "name": "x", "synset": "dog.n.01"}]}',
    ),
}


def read(format: str, path: str, folder: Path) -> Reading:
    options = {"label_map": write(folder / "map.tsv", MAP)} if format == "open_images" else {}
    return joined(SOURCES[format](path, TAXONOMY, **options))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstd])
def test_annotations_may_be_compressed_and_behind_an_address(
    remote: str, tmp_path: Path, format: str, compress: Callable[[bytes], bytes]
) -> None:
    name, text = FORMATS[format]
    suffix = {bytes: "", gzip.compress: ".gz"}.get(compress, ".zst")
    for place in (f"{remote}/{name}{suffix}", f"{tmp_path}/{name}{suffix}"):
        reading = read(format, put(place, compress(text.encode())), tmp_path)
        assert list(tags(reading).values()) == [{DOG}]


@pytest.mark.parametrize("format", ["tencent", "imagenet", "table", "huggingface", "open_images"])
def test_a_line_without_end_is_one_reject(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    from mlimages.labels.sources import open_images_labels, table_rows, tencent_lines

    monkeypatch.setattr(streams, "MAXIMUM_LINE", 1000)
    monkeypatch.setattr(table_rows, "MAXIMUM_LINE", 1000)
    monkeypatch.setattr(line_blocks, "BLOCK_BYTES", 1000)
    for module in (line_blocks, open_images_labels, tencent_lines):
        monkeypatch.setattr(module, "MOST_LINE_BYTES", 1000)
    name, text = FORMATS[format]
    data = text.encode() + b"x" * 100_000 + b"\n" + text.encode().splitlines()[-1][:-1] + b"\n"
    reading = read(format, str(write(tmp_path / name, data)), tmp_path)
    found = rejects(reading, tmp_path)
    number = text.count("\n") + 1
    assert found.pop(f"{name}:{number}").startswith("longer than 1,000")
    assert column(reading, "id")[0]


@pytest.mark.parametrize("format", ["tencent", "imagenet", "table", "huggingface", "open_images"])
def test_a_cut_archive_is_one_reject_and_gives_the_rest(tmp_path: Path, format: str) -> None:
    name, text = FORMATS[format]
    first, _, last = text.rstrip("\n").rpartition("\n")
    many = [last.replace("one", f"one{n}").replace("_1", f"_{n}") for n in range(100_000)]
    whole = gzip.compress("\n".join([*filter(None, [first]), *many]).encode(), 1)
    file = write(tmp_path / f"{name}.gz", whole[: len(whole) * 2 // 3])
    reading = read(format, str(file), tmp_path)
    assert 0 < reading.images.num_rows < 100_000
    ((place, reason),) = rejects(reading, tmp_path).items()
    assert "Truncated" in reason
    assert place.startswith(f"{name}.gz:")


def test_a_csv_with_quotes_a_mark_and_damage(tmp_path: Path) -> None:
    data = b'\xef\xbb\xbfid,tags,author\r\none,dog,"Ann ""A"", Bob"\r\n"two\nlines",car,x\r\n'
    data += b'three,dog,"open\r\nfour,dog,x\r\n'
    reading = read("table", str(write(tmp_path / "t.csv", data)), tmp_path)
    assert column(reading, "author")[:2] == ['Ann "A", Bob', "x"]
    assert list(tags(reading).values())[:2] == [{DOG}, {CAR}]
    assert reading.read == 3  # the quote that is not closed swallows what comes after it


LIMIT = """
import resource, sys
from mlimages.labels.sources import SOURCES
from mlimages.labels.streams import joined
from mlimages.taxonomy.categories import released_taxonomy
taxonomy = released_taxonomy()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
options = {"label_map": sys.argv[3]} if sys.argv[1] == "open_images" else {}
reading = joined(SOURCES[sys.argv[1]](sys.argv[2], taxonomy, **options))
print(reading.rejects.num_rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("format", ["tencent", "imagenet", "table", "huggingface", "open_images"])
def test_a_line_of_a_gigabyte_takes_little_memory(tmp_path: Path, format: str) -> None:
    name, text = FORMATS[format]
    file = write(tmp_path / name, text)
    with open(file, "ab") as end:
        end.truncate(1 << 30)  # zero bytes to the end of a sparse file
    label_map = write(tmp_path / "map.tsv", MAP)
    done = subprocess.run(
        [sys.executable, "-c", LIMIT, format, str(file), str(label_map)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    count, kilobytes = map(int, done.stdout.split())
    assert count == 1
    assert kilobytes < 250_000
