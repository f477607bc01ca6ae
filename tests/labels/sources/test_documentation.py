"""What docs/sources.md shows, as a user runs it."""

from __future__ import annotations

import gzip
import io
import json
import re
import shlex
import tarfile
from pathlib import Path
from typing import get_type_hints

import pytest
from tests.conftest import REPOSITORY
from tests.labels.sources.writing import PHOTO, write

from mlimages.cli import run
from mlimages.labels.sources import SOURCES

TEXT = (REPOSITORY / "docs" / "sources.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^mlimages (import .*)$", TEXT, re.MULTILINE)
DOG = "n02084071"


def tar(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the examples name."""
    root = tmp_path_factory.mktemp("documentation")
    write(root / "train_urls.txt", "https://host/a.jpg\t1193:0.9\n")
    header = "ImageID,Source,LabelName,Confidence\n"
    write(root / "oid" / "labels.csv", header + "0a,verification,/m/0bt9lr,1\n")
    write(root / "oid-to-wordnet.tsv", f"label\twnid\trelation\tnote\n/m/0bt9lr\t{DOG}\texact\t\n")
    lvis = {
        "images": [{"id": 1, "coco_url": "http://host/val2017/000000000001.jpg"}],
        "annotations": [{"image_id": 1, "category_id": 1}],
        "categories": [{"id": 1, "name": "dog", "synset": "dog.n.01"}],
    }
    write(root / "lvis_v1_val.json.gz", gzip.compress(json.dumps(lvis).encode()))
    write(root / "folder" / "metadata.csv", f"file_name,objects\na.jpg,{DOG}\n")
    samples = {"1.jpg": PHOTO, "1.json": json.dumps({"tags": [DOG]}).encode()}
    write(root / "shards" / "0.tar", tar(samples))
    write(root / "ILSVRC2012_img_train.tar", tar({f"{DOG}.tar": tar({f"{DOG}_1.JPEG": PHOTO})}))
    write(root / "mine.csv", f"id,tags\nmine,{DOG}\n")
    write(root / "mine.txt", f"https://host/b.jpg {DOG}\nhttps://host/c.jpg unicorn\n")
    return root


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_run(
    folder: Path, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert run(shlex.split(command)) == 0
    assert "1 read = 1 kept + 0 rejected" in capsys.readouterr().out


def test_the_example_of_a_reader_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(folder)
    exec(example, {})
    assert capsys.readouterr().out == "1\n"


def test_the_table_names_every_format_and_its_options() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", TEXT, re.MULTILINE))
    assert rows.keys() == SOURCES.keys()
    everywhere = {"path", "taxonomy", "source", "split", "return"}
    for name, options in rows.items():
        known = {
            "--" + option.replace("label_map", "map").replace("_", "-")
            for option in get_type_hints(SOURCES[name]).keys() - everywhere
        }
        assert set(re.findall(r"--[a-z-]+", options)) == known
