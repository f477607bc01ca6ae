"""Whole blocks of a list at once give what its lines give one by one."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from tests.labels.sources.writing import write
from tests.labels.tiny import TAXONOMY

from mlimages.database import Database
from mlimages.labels.reading import Reading
from mlimages.labels.sources import line_blocks, photos, tencent
from mlimages.labels.sources.line_blocks import Block, blocks_of
from mlimages.labels.sources.tencent_lines import LineReader, ListOptions
from mlimages.labels.streams import joined, places_of

pytest.importorskip("numba")

PLACES = st.one_of(
    st.sampled_from(
        [
            "https://host/1/one_o.jpg",
            "https://host/2/one_o.jpg",
            "http://host/a.JPEG?size=o/b.png",
            "http://host/Upper.jpg",
            "https://host/",
            "https://",
            "n01/n01_1.JPEG",
            "n02/n01_1.JPEG",
            "n01/here.jpg",
            "here.jpg",
            "./here.jpg",
            "/here.jpg",
            "../here.jpg",
            "n01/",
            "a/b.c.jpg",
            "x.gif",
            "x.tiff",
            "x.longsuffix",
            ".jpg",
            "ftp://host/x.jpg",
            "a:b",
            "with space.jpg",
            "café.jpg",
            "zero\0.jpg",
            "",
        ]
    ),
    st.text("ab/.?:-_1A ", max_size=8),
)
CONFIDENCES = st.sampled_from(
    [
        "1",
        "1.0",
        "0.9",
        "0.8",
        ".5",
        "1.",
        "0",
        "0.0",
        ".",
        "1.1",
        "1e-3",
        "2e-1",
        "1e-60",
        "nan",
        "-1",
        "0.30000001192092896",
        "00.5",
        "1_0",
        "0.1234567890123456789",
        "0.000000000000001",
    ]
)
INDICES = st.sampled_from(["0", "2", "3", "8", "9", "007", "-1", "", "x", "1000000000", "٢"])
PAIRS = st.one_of(
    st.builds("{}:{}".format, INDICES, CONFIDENCES),
    st.builds("{}:{}".format, st.integers(0, 8), st.sampled_from(["1", "0.5"])),
    st.sampled_from(["", "2", "2:1:1", " 2:1"]),
)
LINES = st.builds(
    lambda place, pairs, between, end: between.join([place, *pairs]).encode() + end,
    PLACES,
    st.lists(PAIRS, max_size=4),
    st.sampled_from(["\t", "\t", "\t", " "]),
    st.sampled_from([b"", b"", b"\r", b"\xff", b"\t"]),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list's folder with some of the photos."""
    root = tmp_path_factory.mktemp("photos")
    found = "here.jpg n01/here.jpg n01/n01_1.JPEG down/one_o.jpg down/2_one_o.jpg"
    for name in found.split(" "):
        write(root / name)
    return root


def equal(first: Reading, second: Reading) -> None:
    for name in ("images", "facts", "rejects", "line_rejects"):
        assert getattr(first, name).to_pylist() == getattr(second, name).to_pylist(), name
    assert places_of(first).to_pylist() == places_of(second).to_pylist()
    count = range(first.images.num_rows)
    assert first.location is not None
    assert second.location is not None
    assert [first.location(i) for i in count] == [second.location(i) for i in count]
    assert first.namesakes == second.namesakes


@settings(deadline=None, max_examples=300)
@given(
    lines=st.lists(LINES, min_size=1, max_size=12),
    images=st.booleans(),
    newline=st.booleans(),
    listed_from=st.sampled_from([1, 64]),
)
@example([b"a/x.jpg\t2:0.5\t2:1\t0:1\t2:0.25"], False, True, 64)
def test_a_block_read_at_once_equals_its_lines_one_by_one(
    folder: Path, lines: list[bytes], images: bool, newline: bool, listed_from: int
) -> None:
    from mlimages.labels.sources.tencent_columns import ColumnReader

    downloads = folder / "down" if images else None
    options = ListOptions(folder / "train.txt", "s", len(TAXONOMY), None, downloads, False)
    block = Block(7, b"\n".join(lines) + b"\n" * (newline or not lines[-1]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photos, "LISTED_FROM", listed_from)
        equal(ColumnReader(options).read(block), LineReader(options).read(block))


def test_a_long_line_of_many_tags_is_read_by_both(folder: Path) -> None:
    from mlimages.labels.sources.tencent_columns import ColumnReader

    pairs = b"".join(b"\t%d:0.%d" % (n % 9, n % 8 + 1) for n in range(2_000))
    options = ListOptions(folder / "l.txt", "s", len(TAXONOMY), "mine", None, False)
    block = Block(1, b"a/x.jpg" + pairs + b"\nb/y.jpg\t1:1\n")
    reading = ColumnReader(options).read(block)
    equal(reading, LineReader(options).read(block))
    assert reading.facts.num_rows == 10


@given(
    lines=st.lists(st.binary(max_size=9).map(lambda b: b.replace(b"\n", b"")), max_size=20),
    ends=st.booleans(),
    size=st.integers(1, 12),
)
def test_blocks_hold_each_line_once_and_cut_too_long_ones(
    lines: list[bytes], ends: bool, size: int
) -> None:
    content = b"\n".join(lines) + b"\n" * ends
    assume(not content.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")))  # gzip and zstd
    with tempfile.NamedTemporaryFile() as file, pytest.MonkeyPatch.context() as patch:
        Path(file.name).write_bytes(content)
        patch.setattr(line_blocks, "BLOCK_BYTES", size)
        patch.setattr(line_blocks, "MOST_LINE_BYTES", 5)
        found = [line for block in blocks_of(Path(file.name)) for line in block.lines()]
        with open(file.name, "rb") as plain:
            expected = [line.removesuffix(b"\n") for line in plain]
    assert [number for number, _ in found] == list(range(1, len(expected) + 1))
    for (_, line), whole in zip(found, expected, strict=True):
        if len(whole) > 5:
            assert len(line) > 5
            assert whole.startswith(line[:6])
        else:
            assert line == whole.rstrip(b"\r")


def test_a_line_without_end_is_one_reject_and_the_rest_is_kept(tmp_path: Path) -> None:
    long = b"a/x.jpg" + b"\t2:1" * 6_000_000  # three blocks of one line
    file = write(tmp_path / "l.txt", b"a/one.jpg\t2:1\n" + long + b"\na/two.jpg\t3:1\n")
    reading = joined(tencent.read(file, TAXONOMY))
    assert reading.images["id"].to_pylist() == ["one", "two"]
    reject = reading.rejects.to_pylist()
    assert [row["location"] for row in reject] == [f"{file}:2"]
    assert "longer than 1,048,576 bytes" in reject[0]["reason"]


def test_an_image_listed_in_an_earlier_block_is_a_reject(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_blocks, "BLOCK_BYTES", 40)
    lines = ["a/x.jpg\t2:1", "https://h/1/y.jpg\t2:1", "b/x.jpg\t3:1", "a/x.jpg\t3:1"]
    lines += ["https://h/1/y.jpg\t3:1", "https://h/2/y.jpg\t3:1", "b/x.jpg\t2:1"]
    file = write(tmp_path / "l.txt", "\n".join(lines) + "\n")
    database, report = Database.create_from(tmp_path / "DB", TAXONOMY, tencent.read(file, TAXONOMY))
    assert (report.read, report.kept, report.rejected) == (7, 4, 3)
    rejected = [
        (f"{file}:{number}", f"image {name} was listed before")
        for number, name in ((4, "x"), (5, "y"), (7, "x"))
    ]
    assert report.first_rejects == rejected[:2]  # the first of each reason
    table = database.store.table("rejects").to_pylist()
    assert [(row["location"], row["reason"]) for row in table] == rejected
    facts = database.store.table("facts").select(["row", "category"]).to_pylist()
    assert facts == [{"row": row, "category": c} for row, c in ((0, 2), (1, 2), (2, 3), (3, 3))]
    ids = database.store.table("images", ["id"])["id"].to_pylist()
    assert ids[:2] == ["x", "y"]
    assert pa.array(ids).unique().to_pylist() == ids


def test_without_a_compiler_a_large_list_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "".join(f"https://h/{n}/{n}_o.jpg\t{n % 9}:0.5\t2:1\n" for n in range(40_000))
    file = write(tmp_path / "l.txt", lines)
    fast = joined(tencent.read(file, TAXONOMY))
    monkeypatch.setattr("mlimages.labels.compiled.available", lambda: False)
    slow = joined(tencent.read(file, TAXONOMY))
    equal(fast, slow)
