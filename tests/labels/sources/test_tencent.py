"""Label lists of the Tencent ML-Images release."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.labels.sources.writing import column, rejects, tags, write
from tests.labels.tiny import CAR, DOG, ROAD, TAXONOMY, VEHICLE

from mlimages.errors import InputError
from mlimages.labels.identity import image_id
from mlimages.labels.reading import Reading
from mlimages.labels.sources import tencent
from mlimages.labels.streams import joined
from mlimages.taxonomy.categories import Taxonomy, released_taxonomy


def read(path: Path, taxonomy: Taxonomy, **options: Any) -> Reading:
    """A small list as one reading."""
    return joined(tencent.read(path, taxonomy, **options))


def test_urls_and_paths_with_confidences_become_facts(tmp_path: Path) -> None:
    text = f"https://host/1/one_o.jpg\t{DOG}:1\t{ROAD}:0.8\nn0/two.JPEG\t{CAR}:1.0\t{VEHICLE}:1\n"
    reading = read(write(tmp_path / "train_list.txt", text), TAXONOMY)
    assert tags(reading) == {"one_o": {DOG, ROAD}, "two": {CAR, VEHICLE}}
    assert column(reading, "uri") == ["https://host/1/one_o.jpg", None]
    assert column(reading, "split") == ["train", "train"]
    confidences = {row["category"]: row["confidence"] for row in reading.facts.to_pylist()}
    assert confidences[ROAD] == pytest.approx(0.8)
    assert (reading.read, reading.single_label) == (2, False)


def test_spaces_separate_as_well_as_the_release_says(tmp_path: Path) -> None:
    reading = read(write(tmp_path / "list.txt", f"a/one.jpg {DOG}:1 {CAR}:0.9\n"), TAXONOMY)
    assert tags(reading) == {"one": {DOG, CAR}}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"bad.jpg\t9:1", "category 9 is unknown"),
        (b"bad.jpg\t-1:1", "not index:confidence"),
        (b"bad.jpg\t99999999999999999999:1", "unknown"),
        (b"bad.jpg\t2", "not index:confidence"),
        (b"bad.jpg\tdog:1", "not index:confidence"),
        (b"bad.jpg\t2:", "confidence"),
        (b"bad.jpg\t2:nan", "confidence"),
        (b"bad.jpg\t2:inf", "confidence"),
        (b"bad.jpg\t2:-0.5", "confidence"),
        (b"bad.jpg\t2:0", "confidence"),
        (b"bad.jpg\t2:1.5", "confidence"),
        (b"bad.jpg\t2:1e-60", "confidence"),  # 0 as float32
        (b"b\0d.jpg\t2:1", "zero byte"),
        (b"/b\0d.jpg\t2:1", "zero byte"),
        (b"https://host/b\0d.jpg\t2:1", "zero byte"),
        (b"bad.jpg\t2:0_1", "confidence"),
        (b"bad.jpg\t2:1\t", "not index:confidence"),
        (b"bad.jpg\t2:1\t3:2", "confidence"),  # one broken pair spoils the line
        ("bad.jpg\t\u0662:1".encode(), "not index:confidence"),
        (b"", "empty line"),
        (b"  ", "empty line"),
        (b"\t2:1", "no URL or path"),
        (b"caf\xe9.jpg\t2:1", "UTF-8"),
        (b"ftp://host/x.jpg\t2:1", "neither an http(s) URL nor a path"),
        (b"file:///etc/passwd\t2:1", "neither an http(s) URL nor a path"),
        (b"good.jpg\t3:1", "listed before"),
    ],
)
def test_a_broken_line_is_a_reject_with_its_place(tmp_path: Path, line: bytes, reason: str) -> None:
    file = write(tmp_path / "list.txt", b"good.jpg\t2:1\n" + line + b"\nlast.jpg\t6:1\n")
    reading = read(file, TAXONOMY)
    assert tags(reading) == {"good": {DOG}, "last": {CAR}}
    found = rejects(reading, tmp_path)
    assert list(found) == ["list.txt:2"]
    assert reason in found["list.txt:2"]
    assert reading.read == 3


def test_a_list_without_tags_gives_images_without_facts(tmp_path: Path) -> None:
    for number in range(2):
        write(tmp_path / "data" / "images" / f"im_{number}.jpg")
    lines = "data/images/im_0.jpg\ndata/images/im_1.jpg\n"
    reading = read(write(tmp_path / "data" / "im_list.txt", lines), TAXONOMY)
    assert tags(reading) == {"im_0": set(), "im_1": set()}
    assert column(reading, "uri") == [str(tmp_path / f"data/images/im_{n}.jpg") for n in (0, 1)]
    assert column(reading, "split") == ["unlabelled", "unlabelled"]
    assert reading.rejects.num_rows == 0


def test_photos_are_found_in_their_folder_by_the_last_parts_of_the_url(tmp_path: Path) -> None:
    write(tmp_path / "photos" / "one.jpg")
    write(tmp_path / "photos" / "22_two.jpg")  # as the release's downloader names it
    text = "".join(
        f"https://host/{place}\t2:1\n" for place in ("11/one.jpg", "22/two.jpg", "3.jpg")
    )
    reading = read(write(tmp_path / "l.txt", text), TAXONOMY, images=tmp_path / "photos")
    places = [str(tmp_path / "photos/one.jpg"), str(tmp_path / "photos/22_two.jpg")]
    assert column(reading, "uri") == [*places, "https://host/3.jpg"]


def test_an_image_of_a_url_keeps_its_id_when_its_copy_is_found(tmp_path: Path) -> None:
    url = "https://host/1/Not_Safe.jpg"
    file = write(tmp_path / "list.txt", f"{url}\t{DOG}:1\n")
    photo = write(tmp_path / "photos" / "Not_Safe.jpg")
    listed, found = read(file, TAXONOMY), read(file, TAXONOMY, images=photo.parent)
    assert (column(listed, "uri"), column(found, "uri")) == ([url], [str(photo)])
    assert column(listed, "id") == column(found, "id") == [image_id(url)]


def test_paths_cannot_climb_out_of_the_folder(tmp_path: Path) -> None:
    write(tmp_path / "secret.jpg")
    file = write(tmp_path / "a" / "b" / "c" / "l.txt", "../../../secret.jpg\t2:1\n")
    assert column(read(file, TAXONOMY), "uri") == [None]


def test_all_lists_of_a_folder_are_read_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path / "train_1.txt", "a/one.jpg\t2:1\n")
    write(tmp_path / "val_1.txt", "a/two.jpg\t3:1\n")
    write(tmp_path / "dictionary.txt", "0\ttench\tTinca\n")
    reading = read(tmp_path, TAXONOMY)
    assert column(reading, "id") == ["one", "two"]
    assert column(reading, "split") == ["train", "validation"]
    assert column(read(tmp_path, TAXONOMY, split="mine"), "split") == ["mine", "mine"]


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_nothing_to_read_is_one_clear_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"label list|no such file"):
        read(tmp_path / name, TAXONOMY)
    with pytest.raises(InputError, match="no such folder"):
        read(write(tmp_path / "l.txt", "a.jpg\t2:1\n"), TAXONOMY, images=tmp_path / "missing")


def test_the_released_lists(shared_data: Path) -> None:
    folder = shared_data / "tencent"
    urls = read(folder / "train_urls_tiny.txt", released_taxonomy())
    names = read(folder / "train_im_list_tiny.txt", released_taxonomy())
    parts = read(folder / "image_lists", released_taxonomy())
    for reading in (urls, names, parts):
        assert (reading.read, reading.images.num_rows, reading.facts.num_rows) == (100, 100, 827)
    assert tags(urls) == tags(names) == tags(parts)
    photos = read(folder / "im_list_for_classification.txt", released_taxonomy())
    assert column(photos, "uri") == [str(folder / f"images/im_{n}.jpg") for n in range(4)]
