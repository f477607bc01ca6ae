"""The drawn data set on disk: deterministic, and labels that agree with the truth."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlimages.errors import InputError
from mlimages.quickstart.dataset import SceneCounts, write_scenes
from mlimages.quickstart.scenes import drawings, objects_of, places
from mlimages.quickstart.truth import read_truth

TINY = SceneCounts(single_per_object=2, multi=20, validation=10, transfer_per_object=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scenes") / "drawn"
    write_scenes(root, seed=3, counts=TINY)
    return root


def test_the_same_seed_writes_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_scenes(tmp_path / "again", seed=3, counts=TINY)
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    assert names == sorted(
        str(p.relative_to(tmp_path / "again"))
        for p in (tmp_path / "again").rglob("*")
        if p.is_file()
    )
    for name in names:
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_single_photos_are_tagged_with_one_of_the_things_they_show(folder: Path) -> None:
    truth = read_truth(folder)
    folders = list((folder / "single").iterdir())
    transfer = objects_of("transfer")
    assert {path.name for path in folders} == {
        drawing.key for drawing in drawings().values() if drawing not in transfer
    }
    for path in folders:
        photos = list(path.glob("*.jpg"))
        assert len(photos) == TINY.single_per_object
        for photo in photos:
            assert path.name in truth[photo.stem]


def test_tags_boxes_and_masks_of_the_multi_label_part_agree(folder: Path) -> None:
    objects = {drawing.key for drawing in drawings().values()}
    rows, boxes, labels = (
        _rows(folder / "multi" / f"{name}.csv") for name in ("tags", "boxes", "labels")
    )
    keys = {int(row["label"]): row["wnid"] for row in labels}
    masks = np.load(folder / "multi" / "masks.npz")
    assert [row["split"] for row in rows] == ["train"] * 20 + ["validation"] * 10
    for row in rows:
        name = Path(row["image"]).stem
        with Image.open(folder / "multi" / row["image"]) as photo:
            assert photo.size == masks[name].shape[::-1]
        tags = set(row["tags"].split())
        assert tags & objects == {box["wnid"] for box in boxes if box["image"] == name}
        assert tags <= {keys[int(label)] for label in np.unique(masks[name]) if label}


def test_the_transfer_part_has_a_folder_for_each_unseen_object(folder: Path) -> None:
    folders = {path.name: len(list(path.glob("*.jpg"))) for path in (folder / "transfer").iterdir()}
    assert folders == {drawing.name: 2 for drawing in objects_of("transfer")}


def test_all_places_occur(folder: Path) -> None:
    seen = {key for row in _rows(folder / "multi" / "tags.csv") for key in row["tags"].split()}
    assert {place.key for place in places().values()} <= seen


def test_painting_over_a_folder_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="exists already"):
        write_scenes(folder, counts=TINY)


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
