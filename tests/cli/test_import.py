"""`mlimages import`: formats, strictness, notes, and what `pack` makes of the places it wrote."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import fsspec
import pytest
from PIL import Image
from tests.labels.sources.writing import write
from tests.labels.tiny import DOG, KEYS, TAXONOMY
from tests.object_store import served_bucket

from mlimages.cli import run
from mlimages.cli.import_ import Format
from mlimages.database import Database
from mlimages.labels.sources import SOURCES
from mlimages.store import Store
from mlimages.taxonomy.dictionary import write_dictionary


@pytest.fixture
def dictionary(tmp_path: Path) -> Path:
    write_dictionary(TAXONOMY, tmp_path / "nine.tsv")
    return tmp_path / "nine.tsv"


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with served_bucket() as address:
        yield address


def photo(color: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (color, 0, 0)).save(file, "JPEG")
    return file.getvalue()


def tar(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def test_the_command_line_knows_every_format() -> None:
    assert set(get_args(Format)) == set(SOURCES)


@pytest.mark.parametrize("existing", [False, True])
def test_strictness_stops_at_the_first_reject_and_commits_nothing(
    tmp_path: Path, dictionary: Path, capsys: pytest.CaptureFixture[str], existing: bool
) -> None:
    db = tmp_path / "DB"
    make = f"--dictionary {dictionary}"
    if existing:
        first = write(tmp_path / "first.txt", f"zero.jpg\t{DOG}:1\n")
        assert run(f"import tencent {first} {db} {make}".split()) == 0
        make = ""
    lines = write(tmp_path / "list.txt", f"a.jpg\t{DOG}:1\nb.jpg\t99:1\nc.jpg\t98:1\n")
    assert run(f"import tencent {lines} {db} {make} --strict".split()) == 1
    error = capsys.readouterr().err
    assert f"{lines}:2: category 99 is unknown" in error
    assert "without --strict" in error
    assert Store.exists(db) == existing
    if existing:
        assert Database.open(db).store.table("images").num_rows == 1
    assert run(f"import tencent {lines} {db} {make}".split()) == 0


def test_strictness_minds_a_broken_annotation_of_a_kept_image(
    tmp_path: Path, dictionary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write(tmp_path / "t.csv", "id,tags\na,dog zebra\n")
    line = f"import table {table} {tmp_path / 'DB'} --dictionary {dictionary}"
    assert run([*line.split(), "--strict"]) == 1
    assert f"{table}:2: 'zebra'" in capsys.readouterr().err
    assert not Store.exists(tmp_path / "DB")


def test_strictness_minds_an_image_that_comes_again_much_later(
    tmp_path: Path, dictionary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlimages.labels.sources import line_blocks

    monkeypatch.setattr(line_blocks, "BLOCK_BYTES", 64)
    lines = [f"{n}.jpg\t{DOG}:1\n" for n in [*range(50), 0]]
    file = write(tmp_path / "list.txt", "".join(lines))
    line = f"import tencent {file} {tmp_path / 'DB'} --dictionary {dictionary}"
    assert run([*line.split(), "--strict"]) == 1
    assert run(line.split()) == 0


def test_missing_ancestors_are_told_of_a_tencent_list_only(
    tmp_path: Path, dictionary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "list.txt", f"https://h/a.jpg\t{DOG}:0.9\nhttps://h/b.jpg\t0:1\n")
    line = f"import tencent {file} {tmp_path / 'DB'} --dictionary {dictionary} --json"
    assert run(line.split()) == 0
    (note,) = json.loads(capsys.readouterr().out)["notes"]
    assert note.startswith("ancestors are missing in 1 images: closed are 1 of 1")
    assert "0 of 1 all below 1; 1 of 1 tags lack a parent" in note
    table = write(tmp_path / "t.csv", "id,tags\nc,dog\n")
    assert run(f"import table {table} {tmp_path / 'DB'} --json".split()) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == []


def test_photos_inside_archives_are_packed_from_where_they_are(
    tmp_path: Path, dictionary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inner = tar(tmp_path / "inner.tar", {f"{KEYS[DOG]}_{n}.JPEG": photo(n) for n in range(2)})
    whole = tar(tmp_path / "train.tar", {f"{KEYS[DOG]}.tar": inner.read_bytes()})
    samples = tar(tmp_path / "w" / "0.tar", {"x.jpg": photo(90), "x.json": b'{"tags": ["dog"]}'})
    db = tmp_path / "DB"
    assert run(f"import imagenet {whole} {db} --dictionary {dictionary}".split()) == 0
    assert run(f"import webdataset {samples.parent} {db}".split()) == 0
    capsys.readouterr()
    assert run(f"pack {db} --json".split()) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["packed"], report["rejected"]) == (3, 0)
    images = Database.open(db).store.table("images").to_pylist()
    stored = {r["id"]: Database.open(db).reader().read(r["row"]) for r in images}
    expected = {f"{KEYS[DOG]}_{n}": photo(n) for n in range(2)} | {"x": photo(90)}
    assert stored == expected


def test_annotations_come_from_an_object_store(
    tmp_path: Path, dictionary: Path, bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with fsspec.open(f"{bucket}/lists/train.txt.gz", "wb") as file:
        file.write(gzip.compress(f"https://h/a.jpg\t{DOG}:1\t1:1\t0:1\n".encode()))
    line = f"import tencent {bucket}/lists {tmp_path / 'DB'} --dictionary {dictionary} --json"
    assert run(line.split()) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["kept"], report["facts"], report["notes"]) == (1, 3, [])
    assert run(f"import tencent {bucket}/nowhere {tmp_path / 'DB'}".split()) == 1
    assert f"{bucket}/nowhere: no such file or folder" in capsys.readouterr().err


def test_an_option_of_another_format_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "list.txt", f"a.jpg\t{DOG}:1\n")
    assert run(f"import tencent {file} {tmp_path / 'DB'} --field tags".split()) == 2
