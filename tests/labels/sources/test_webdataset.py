"""WebDataset's tars."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from tests.labels.sources.writing import PHOTO, column, line_rejects, rejects, tags, write
from tests.labels.tiny import CAR, DOG, KEYS, PERSON, TAXONOMY

from mlimages.errors import InputError
from mlimages.images.reading import open_uri
from mlimages.labels.sources.webdataset import read


def write_samples(path: Path, members: dict[str, bytes | str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def test_tags_from_json_classes_and_text(tmp_path: Path) -> None:
    one = {"tags": ["dog", KEYS[CAR]], "license": "CC0", "url": "https://host/one.jpg"}
    members: dict[str, bytes | str] = {
        "a/one.jpg": PHOTO,
        "a/one.json": json.dumps(one),
        "a/one.seg.png": b"a mask",
        "a/two.json": json.dumps({"label": {"dog": 0.5}}),
        "a/two.png": PHOTO,
        "three.jpg": PHOTO,
        "three.cls": "1",
        "four.jpg": PHOTO,
        "four.txt": "dog car\n",
    }
    tar = write_samples(tmp_path / "val-000000.tar", members)
    names = write(tmp_path / "names.txt", "dog\nperson\n")
    reading = read(tar, TAXONOMY, classes=names)
    expected = {"one": {DOG, CAR}, "two": {DOG}, "three": {PERSON}, "four": {DOG, CAR}}
    assert tags(reading) == expected
    assert [open_uri(uri) for uri in column(reading, "uri")] == [PHOTO] * 4
    assert column(reading, "licence") == ["CC0", None, None, None]
    assert column(reading, "more_uris")[0] == ["https://host/one.jpg"]
    assert set(column(reading, "split")) == {"validation"}
    assert min(reading.facts["confidence"].to_pylist()) == 0.5


def test_broken_samples_are_rejects_that_name_the_sample(tmp_path: Path) -> None:
    cases: dict[str, tuple[str, bytes | str]] = {
        "bomb": ("json", "[" * 100_000),
        "list": ("json", "[]"),
        "none": ("json", '{"caption": "a dog"}'),
        "unknown": ("json", '{"tags": ["unicorn"]}'),
        "negative": ("json", '{"tags": {"dog": -1}}'),
        "nan": ("json", '{"tags": {"dog": NaN}}'),
        "latin": ("txt", b"caf\xe9"),
        "number": ("cls", "7"),
    }
    members: dict[str, bytes | str] = {}
    for name, (kind, content) in cases.items():
        members |= {f"{name}.jpg": PHOTO, f"{name}.{kind}": content}
    members |= {"bare.jpg": PHOTO, "lost.json": '{"tags": ["dog"]}'}
    members |= {"some.jpg": PHOTO, "some.json": '{"tags": ["dog", "unicorn"]}'}
    tar = write_samples(tmp_path / "x.tar", members)
    reading = read(tmp_path, TAXONOMY)
    found = {place.rpartition(" ")[2]: why for place, why in rejects(reading, tmp_path).items()}
    for name, reason in {
        "bomb": "nested too deep",
        "list": "not an object",
        "none": "no field tags or labels",
        "unknown": "unicorn",
        "negative": "confidence -1",
        "nan": "NaN",
        "latin": "not UTF-8",
        "number": "--classes",
        "bare": "no member of the kinds",
        "lost": "0 photos",
    }.items():
        assert reason in found.pop(name)
    assert found == {}
    assert tags(reading) == {"some": {DOG}}
    assert "unicorn" in line_rejects(reading, tmp_path)["x.tar: some"]
    assert tar.exists()


def test_a_cut_tar_gives_its_whole_samples(tmp_path: Path) -> None:
    members: dict[str, bytes | str] = {}
    for name in ("one", "two"):
        members |= {f"{name}.jpg": PHOTO, f"{name}.txt": "dog"}
    tar = write_samples(tmp_path / "x.tar", members)
    tar.write_bytes(tar.read_bytes()[: 512 * 5])
    reading = read(tar, TAXONOMY)
    assert column(reading, "id") == ["one"]
    assert "x.tar" in rejects(reading, tmp_path)


def test_nothing_to_read_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no tars"):
        read(tmp_path, TAXONOMY)
    with pytest.raises(InputError, match="copy it"):
        read("memory://x.tar", TAXONOMY)
