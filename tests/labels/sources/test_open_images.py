"""The CSV files of Open Images, in the columns of each of its versions."""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.labels.sources.writing import column, line_rejects, rejects, write
from tests.labels.tiny import CAR, DOG, KEYS, PERSON, TAXONOMY, VEHICLE

from mlimages.database import Database
from mlimages.errors import InputError
from mlimages.labels import reading as reading_module
from mlimages.labels.reading import Reading
from mlimages.labels.sources import line_blocks, open_images_labels
from mlimages.labels.sources.files import split_of_file
from mlimages.labels.sources.open_images import read

MAP = f"""label\twnid\trelation\tnote
/m/0bt9lr\t{KEYS[DOG]}\texact\t
car\t{KEYS[CAR]}\texact\t
/m/01g317\t{KEYS[PERSON]}\texact\t
/m/bus\t{KEYS[VEHICLE]}\tbroader\ta bus is a vehicle
/m/puppy\tn01322604\texact\tnot in the vocabulary
"""
IMAGES = "ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title,"
SIZES = "OriginalSize,OriginalMD5,Thumbnail300KURL"
ONE, TWO, THREE = "000060e3121c7305", "000026e7ee790996", "00000000000000ff"
MD5 = hashlib.md5(b"photo", usedforsecurity=False)
LABELS = "ImageID,Source,LabelName,Confidence\n"


def image_row(name: str, subset: str, *, title: str = "Our house", md5: str | None = None) -> str:
    code = base64.b64encode(MD5.digest()).decode() if md5 is None else md5
    return (
        f"{name},{subset},https://c1.example/{name}_o.jpg,https://page.example/{name},"
        f'https://cc.example/by/2.0/,https://people.example/d/,"D, ""Dave""","{title}",'
        f"211079,{code},https://c1.example/{name}_z.jpg"
    )


@pytest.fixture
def label_map(tmp_path: Path) -> Path:
    return write(tmp_path / "map.tsv", MAP)


def facts(reading: Reading) -> set[tuple]:
    ids = column(reading, "id")
    return {
        (ids[f["image"]], f["category"], f["present"], round(f["confidence"], 6), f["kind"])
        for f in reading.facts.to_pylist()
    }


def test_version_1_with_its_files_of_one_name(tmp_path: Path, label_map: Path) -> None:
    root = tmp_path / "2016_08"
    # The first release had neither sizes nor checksums.
    early = "ImageID,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title\n"
    write(root / "images" / "validation" / "images.csv", early + f"{TWO},http://h/b.jpg,,,,,\n")
    rows = IMAGES + SIZES + "\n" + image_row(ONE, "train") + "\n"
    write(root / "images" / "train" / "images.csv", rows)
    machine = LABELS + f"{ONE},machine,/m/0bt9lr,0.9\n{ONE},machine,/m/0k4j,0.5\n"
    write(root / "machine_ann" / "train" / "labels.csv", machine)
    human = LABELS + f"{TWO},human,/m/0bt9lr,1.0\n{TWO},human,/m/0k4j,0.0\n"
    write(root / "human_ann" / "validation" / "labels.csv", human)
    write(root / "dict.csv", '"/m/0k4j","car"\n"/m/0bt9lr","dog"\n')
    reading = read(root, TAXONOMY, label_map=label_map)
    assert facts(reading) == {
        (ONE, DOG, True, 0.9, "machine"),
        (ONE, CAR, True, 0.5, "machine"),
        (TWO, DOG, True, 1.0, "verified"),
        (TWO, CAR, False, 1.0, "verified"),
    }
    splits = dict(zip(column(reading, "id"), column(reading, "split"), strict=True))
    assert splits == {ONE: "train", TWO: "validation"}
    assert (reading.rejects.num_rows, reading.line_rejects.num_rows) == (0, 0)


def test_the_metadata_of_an_image(tmp_path: Path, label_map: Path) -> None:
    rows = [
        IMAGES + SIZES + ",Rotation",
        image_row(ONE, "test", title='A "house"\nof mine'.replace('"', '""')) + ",90.0",
    ]
    file = write(tmp_path / "images.csv", "\n".join(rows) + "\n")
    image = read(file, TAXONOMY, label_map=label_map).images.to_pylist()[0]
    assert image == {
        "id": ONE,
        "uri": f"https://c1.example/{ONE}_o.jpg",
        "more_uris": [f"https://c1.example/{ONE}_z.jpg"],
        "split": "test",
        "licence": "https://cc.example/by/2.0/",
        "author": 'D, "Dave"',
        "landing_url": f"https://page.example/{ONE}",
        "title": 'A "house"\nof mine',
        "bytes": 211079,
        "md5": MD5.hexdigest(),
        "rotation": 90,
        "width": None,
        "height": None,
    }


def test_boxes_and_labels_of_later_versions_compressed(tmp_path: Path, label_map: Path) -> None:
    boxes = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded\n"
    boxes += f"{ONE},xclick,/m/01g317,1,0.1,0.2,0.3,0.4,0\n" * 2
    write(tmp_path / "oidv6-train-annotations-bbox.csv", boxes)
    human = LABELS + f"{ONE},verification,/m/bus,1\n{TWO},crowdsource-verification,/m/puppy,0\n"
    human += f"{TWO},verification,/m/bus,0\n{TWO},verification,/m/none,1\n"
    name = "oidv7-val-annotations-human-imagelabels.csv.gz"
    write(tmp_path / name, gzip.compress(human.encode()))
    write(tmp_path / "class-descriptions.csv", "LabelName,DisplayName\n/m/none,Nothing\n")
    write(tmp_path / "train-masks.csv", "MaskPath,ImageID,LabelName,BoxID\n")
    reading = read(tmp_path, TAXONOMY, label_map=label_map)
    # Absence of a bus is no absence of vehicles, nor absence of a puppy that of dogs.
    assert facts(reading) == {
        (ONE, PERSON, True, 1, "asserted"),
        (ONE, VEHICLE, True, 1, "verified"),
    }
    assert dict(zip(column(reading, "id"), column(reading, "split"), strict=True)) == {
        ONE: "train",
        TWO: "validation",
    }
    assert line_rejects(reading, tmp_path) == {
        "class /m/none": "1 labels: the class (Nothing) has no category"
    }
    assert any("masks" in note for note in reading.notes)
    assert any(note.startswith("2 absences left out") for note in reading.notes)


@pytest.mark.parametrize(
    ("row", "reason", "kept"),
    [
        (b"x,verification,/m/0bt9lr", "3 columns, not 4", False),
        (b"x,verification,/m/0bt9lr,1,2", "5 columns, not 4", False),
        (b"", "empty line", False),
        (b"caf\xe9,verification,/m/0bt9lr,1", "UTF-8", False),
        (b"No Id,verification,/m/0bt9lr,1", "not an image's id", False),
        (b'"x,verification,/m/0bt9lr,1', "unexpected end", False),
        (b"x,verification,/m/0bt9lr,nan", "confidence 'nan'", True),
        (b"x,verification,/m/0bt9lr,-0.5", "confidence '-0.5'", True),
        (b"x,verification,/m/0bt9lr,1.5", "confidence '1.5'", True),
        (b"x,verification,/m/0bt9lr,", "confidence ''", True),
        (b"x,verification,/m/0bt9lr,1e-60", "0 as float32", True),
        (b"x,machine,/m/0bt9lr,0", "nobody verified", True),
    ],
)
def test_a_broken_row_is_named_and_spoils_no_other(
    tmp_path: Path, label_map: Path, row: bytes, reason: str, kept: bool
) -> None:
    good = f"{ONE},verification,/m/0bt9lr,1\n".encode()
    data = LABELS.encode() + good + row + b"\n" + f"{TWO},verification,/m/0bt9lr,0\n".encode()
    file = write(tmp_path / "labels.csv", data)
    reading = read(file, TAXONOMY, label_map=label_map)
    found = (line_rejects if kept else rejects)(reading, tmp_path)
    assert reason in found.pop("labels.csv:3")
    assert found == {}
    assert facts(reading) == {
        (ONE, DOG, True, 1, "verified"),
        (TWO, DOG, False, 1, "verified"),
    }
    assert column(reading, "id") == ([ONE, "x", TWO] if kept else [ONE, TWO])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (image_row("No Id", "train"), "not an image's id"),
        (image_row(ONE, "train"), "listed before"),
        (image_row(TWO, "train").replace("https://c1", "ftp://c1"), "not an http(s) URL"),
        (f"{TWO},train", "2 columns, not 11"),
        (image_row(TWO, "train", title="caf\udce9"), "UTF-8"),
    ],
)
def test_a_broken_row_of_an_image_is_a_reject(
    tmp_path: Path, label_map: Path, row: str, reason: str
) -> None:
    text = "\ufeff" + IMAGES + SIZES + "\n" + image_row(ONE, "train") + "\n" + row + "\n"
    file = write(tmp_path / "images.csv", text.encode("utf-8", "surrogateescape"))
    reading = read(file, TAXONOMY, label_map=label_map)
    assert column(reading, "id") == [ONE]
    assert reason in rejects(reading, tmp_path)["images.csv:3"]


def test_a_checksum_that_is_none_is_named(tmp_path: Path, label_map: Path) -> None:
    text = IMAGES + SIZES + "\n" + image_row(ONE, "train", md5="no") + "\n"
    reading = read(write(tmp_path / "images.csv", text), TAXONOMY, label_map=label_map)
    assert column(reading, "md5") == [None]
    assert "originalmd5" in line_rejects(reading, tmp_path)["images.csv:2"]


def test_a_line_without_end_is_skipped_and_named(
    tmp_path: Path, label_map: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in (
        (line_blocks, "BLOCK_BYTES"),
        (line_blocks, "MOST_LINE_BYTES"),
        (open_images_labels, "MOST_LINE_BYTES"),
    ):
        monkeypatch.setattr(module, name, 200)
    rows = [f"{ONE},verification,/m/0bt9lr,1", "x" * 5000, f"{TWO},verification,/m/0bt9lr,1"]
    file = write(tmp_path / "labels.csv", LABELS + "\n".join(rows) + "\n")
    reading = read(file, TAXONOMY, label_map=label_map)
    assert column(reading, "id") == [ONE, TWO]
    assert rejects(reading, tmp_path) == {"labels.csv:3": "longer than 200 bytes"}


def test_a_cut_archive_gives_what_can_be_read(tmp_path: Path, label_map: Path) -> None:
    rows = [f"{i:016x},verification,/m/0bt9lr,1" for i in range(200_000)]
    whole = gzip.compress((LABELS + "\n".join(rows) + "\n").encode(), 1)
    file = write(tmp_path / "labels.csv.gz", whole[: len(whole) // 2])
    reading = read(file, TAXONOMY, label_map=label_map)
    assert 0 < reading.images.num_rows < 200_000
    (reason,) = rejects(reading, tmp_path).values()
    assert "Truncated" in reason


def test_more_images_than_a_chunk_holds_come_in_several(
    tmp_path: Path, label_map: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_module, "CHUNK_IMAGES", 10)
    monkeypatch.setattr(line_blocks, "BLOCK_BYTES", 400)
    rows = [f"{i // 2:016x},verification,/m/0bt9lr,{i % 2}" for i in range(100)]
    file = write(tmp_path / "labels.csv", LABELS + "\n".join(rows) + "\n")
    chunks = read(file, TAXONOMY, label_map=label_map)
    assert isinstance(chunks, Iterator)
    found = list(chunks)
    assert len(found) > 3
    assert sum(chunk.facts.num_rows for chunk in found) == 100
    assert len({name for chunk in found for name in column(chunk, "id")}) == 50


ROWS = st.tuples(
    st.sampled_from(["a", "b", "c", "Bad Id", ""]),
    st.sampled_from(["verification", "machine", "xclick", ""]),
    st.sampled_from(["/m/0bt9lr", "/m/bus", "/m/puppy", "/m/none", "/m/01g317", "caf\u00e9"]),
    st.sampled_from(["0", "1", "0.5", "1.0", "0.0", "nan", "2", "", "1e-60", " 1"]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(ROWS, max_size=8), st.booleans())
def test_blocks_say_what_their_rows_say(rows: list[tuple[str, ...]], boxes: bool) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        label_map = write(Path(folder) / "map.tsv", MAP)
        more = ",XMin" if boxes else ""
        text = LABELS.rstrip() + more + "\n"
        text += "".join(",".join(row) + (",0.1" if boxes else "") + "\n" for row in rows)
        file = write(Path(folder) / "labels.csv", text)
        fast = read(file, TAXONOMY, label_map=label_map)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(open_images_labels, "_columns", lambda data, header: None)
            slow = read(file, TAXONOMY, label_map=label_map)
    for name in ("images", "facts", "rejects", "line_rejects"):
        assert getattr(fast, name).to_pylist() == getattr(slow, name).to_pylist()
    assert fast.notes == slow.notes


def test_photos_on_this_machine_come_first(tmp_path: Path, label_map: Path) -> None:
    photo = write(tmp_path / "photos" / "train" / f"{ONE}.jpg")
    text = IMAGES + SIZES + "\n" + image_row(ONE, "train") + "\n"
    file = write(tmp_path / "csv" / "images.csv", text)
    reading = read(file, TAXONOMY, label_map=label_map, images=tmp_path / "photos")
    assert column(reading, "uri") == [str(photo)]
    assert column(reading, "more_uris") == [
        [f"https://c1.example/{ONE}_o.jpg", f"https://c1.example/{ONE}_z.jpg"]
    ]
    labels = write(tmp_path / "labels" / "labels.csv", LABELS + f"{ONE},verification,/m/bus,1\n")
    alone = read(labels, TAXONOMY, label_map=label_map, images=tmp_path / "photos")
    assert column(alone, "uri") == [str(photo)]


def test_what_cannot_be_read_is_one_clear_error(tmp_path: Path, label_map: Path) -> None:
    write(tmp_path / "other" / "x.csv", "a,b,c\n")
    with pytest.raises(InputError, match="Open Images"):
        read(tmp_path / "other", TAXONOMY, label_map=label_map)
    with pytest.raises(InputError, match="no such"):
        read(tmp_path / "missing", TAXONOMY, label_map=label_map)
    labels = write(tmp_path / "labels.csv", LABELS + f"{ONE},verification,/m/bus,1\n")
    with pytest.raises(InputError, match="--map"):
        read(labels, TAXONOMY)


@pytest.mark.parametrize(
    ("file", "split"),
    [
        ("/d/oidv6-train-images-with-labels-with-rotation.csv", "train"),
        ("/d/validation-annotations-bbox.csv", "validation"),
        ("/d/oidv7-val-annotations-human-imagelabels.csv.gz", "validation"),
        ("/d/test/annotations-human.csv", "test"),
        ("/d/image_ids_and_rotation.csv", None),
        ("/d/trainable.csv", None),
        ("/d/instances_val2017.json", "validation"),
        ("/d/lvis_v1_train.json.gz", "train"),
    ],
)
def test_the_split_of_a_file(file: str, split: str | None) -> None:
    assert split_of_file(file) == split


def test_an_image_with_a_photo_may_come_in_several_files_and_chunks(
    tmp_path: Path, label_map: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_module, "CHUNK_IMAGES", 2)
    monkeypatch.setattr(line_blocks, "BLOCK_BYTES", 64)
    for number in range(6):
        write(tmp_path / "photos" / f"{number:016x}.jpg")
    for name, source, label in (("a", "verification", "/m/0bt9lr"), ("b", "machine", "/m/01g317")):
        rows = [f"{n:016x},{source},{label},1\n" for n in range(6)]
        write(tmp_path / "csv" / f"{name}.csv", LABELS + "".join(rows))
    readings = read(tmp_path / "csv", TAXONOMY, label_map=label_map, images=tmp_path / "photos")
    report = Database.create(tmp_path / "DB", TAXONOMY).add(readings)
    assert (report.new_images, report.facts, report.rejected) == (6, 12, 0)
