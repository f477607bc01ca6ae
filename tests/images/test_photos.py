"""Finding and reading a user's own photos."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlimages.errors import InputError
from mlimages.images.photos import PhotoStream, find_photos, none_readable, read_photo_list


def paint(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((16, 12, 3), (230, 20, 20), np.uint8)).save(path)
    return path


def test_places_are_searched_in_order_and_each_file_once(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "b/10.jpg", "a.jpg", ".hidden/x.jpg", "b/.x.jpg", "b/c/1.jpg"):
        paint(tmp_path / name)
    found = find_photos([tmp_path / "b" / "2.jpg", tmp_path])
    names = [str(path.relative_to(tmp_path)) for path in found]
    assert names == ["b/2.jpg", "a.jpg", "b/10.jpg", "b/c/1.jpg"]


def test_lists_hold_paths_with_or_without_labels(tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("images/a b.jpg 12\n\nimages/c.jpg\n/abs/d.jpg\t3\n")
    assert read_photo_list(listed) == [
        tmp_path / "images" / "a b.jpg",
        tmp_path / "images" / "c.jpg",
        Path("/abs/d.jpg"),
    ]
    assert read_photo_list(listed, tmp_path / "r")[1] == tmp_path / "r" / "images" / "c.jpg"


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "no such file"), (b"\n\n", "no paths"), (b"\xff\xd8", "not a text")],
)
def test_a_useless_list_is_refused(content: bytes | None, words: str, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    if content is not None:
        listed.write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_photo_list(listed)


@pytest.mark.parametrize("case", ["missing", "pipe", "empty"])
def test_a_place_without_photos_is_refused(case: str, tmp_path: Path) -> None:
    place = tmp_path / case
    if case == "pipe":
        os.mkfifo(place)
    elif case == "empty":
        (place / "inside").mkdir(parents=True)
    words = {
        "missing": "no such file or folder",
        "pipe": "neither a file nor a folder",
        "empty": "holds no files",
    }
    with pytest.raises(InputError, match=words[case]):
        find_photos([place])


def test_every_file_is_kept_or_rejected_with_a_reason(tmp_path: Path) -> None:
    good = paint(tmp_path / "good.jpg")
    text = tmp_path / "text.jpg"
    text.write_text("text")
    os.mkfifo(tmp_path / "pipe.jpg")
    paths = [text, good, tmp_path / "gone.jpg", good, tmp_path / "pipe.jpg"]
    stream = PhotoStream(paths)
    assert [image.shape for image in stream] == [(16, 12, 3)] * 2
    assert stream.kept == [good, good]
    reasons = [(reject.path.name, reject.reason) for reject in stream.rejects]
    assert reasons == [
        ("text.jpg", "not an image"),
        ("gone.jpg", "missing file"),
        ("pipe.jpg", "unreadable"),
    ]
    message = str(none_readable(stream.rejects))
    assert "text.jpg, and 2 more files: not an image" in message
