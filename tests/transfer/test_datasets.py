"""The layouts of the benchmarks are read as published, and each fault is one line with its fix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.transfer import worlds

from mlimages.errors import InputError
from mlimages.metrics.segmentation import VOID
from mlimages.transfer.datasets import coco, folders, voc
from mlimages.transfer.datasets.records import read_mask
from mlimages.transfer.datasets.table import read_own


@pytest.fixture
def devkit(tmp_path: Path) -> Path:
    return worlds.write_voc(tmp_path)


def base(devkit: Path) -> Path:
    return devkit / "VOCdevkit" / "VOC2007"


def test_boxes_are_read_as_written(devkit: Path) -> None:
    photos = voc.read_detection(devkit, ["VOC2007/trainval"])
    assert len(photos) == 8
    _, _, name, box = worlds.scene(3)
    assert photos.boxes[3].tolist() == [box]
    assert voc.CLASSES[photos.labels[3][0]] == name
    assert photos.take([3]).boxes[0].tolist() == [box]


def test_masks_are_read_with_void(devkit: Path) -> None:
    photos = voc.read_segmentation(devkit, ["VOC2007/train"])
    np.testing.assert_array_equal(photos.mask(2), worlds.scene(2)[1])
    assert VOID in photos.mask(2)


def test_augmented_lists_have_masks_of_their_own(devkit: Path) -> None:
    augmented = base(devkit) / "SegmentationClassAug"
    augmented.mkdir()
    Image.fromarray(np.full((48, 64), 7, np.uint8)).save(augmented / "000001.png")
    lists = base(devkit) / "ImageSets" / "Segmentation"
    (lists / "train_aug.txt").write_text("000001\n")
    (lists / "pairs.txt").write_text("/JPEGImages/000001.jpg /SegmentationClassAug/000001.png\n")
    for name in ("train_aug", "pairs"):
        assert (voc.read_segmentation(devkit, [f"VOC2007/{name}"]).mask(0) == 7).all()


def test_a_class_with_difficult_boxes_alone_is_not_judged(devkit: Path) -> None:
    file = base(devkit) / "Annotations" / "000000.xml"
    file.write_text(worlds.annotation("cow", [1, 1, 20, 20], difficult=1))
    tags = voc.read_multilabel(devkit, ["VOC2007/test"]).tags
    assert np.isnan(tags[0, voc.CLASSES.index("cow")])
    assert tags[1, voc.CLASSES.index("cat")] == 1
    assert np.nansum(tags) == 7


def damage_missing_xml(root: Path) -> None:
    (root / "Annotations" / "000004.xml").unlink()


def damage_outside(root: Path) -> None:
    text = worlds.annotation("dog", [10, 10, 90, 40])
    (root / "Annotations" / "000004.xml").write_text(text)


def damage_class(root: Path) -> None:
    text = worlds.annotation("aeroplan", [10, 10, 50, 40])
    (root / "Annotations" / "000004.xml").write_text(text)


def damage_list(root: Path) -> None:
    (root / "ImageSets" / "Main" / "trainval.txt").write_text("000001\n00000l2\n")


def damage_box(root: Path) -> None:
    text = worlds.annotation("dog", [10, 10, 50, 40]).replace(">50<", "><")
    (root / "Annotations" / "000004.xml").write_text(text)


def damage_xml(root: Path) -> None:
    (root / "Annotations" / "000004.xml").write_text("<annotation>")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (damage_missing_xml, ["000004.xml", "is missing", "leave its photo off the list"]),
        (damage_outside, ["000004.xml: object 1", "10 10 90 40", "64 x 48", "correct"]),
        (damage_class, ["000004.xml", "'aeroplan'", "did you mean 'aeroplane'"]),
        (damage_list, ["trainval.txt: line 2", "00000l2.jpg", "did you mean '000002'"]),
        (damage_box, ["000004.xml", "not four numbers", "correct its bndbox"]),
        (damage_xml, ["000004.xml", "cannot be read", "restore"]),
    ],
)
def test_a_fault_is_one_line_with_file_and_fix(devkit: Path, damage, words: list[str]) -> None:
    damage(base(devkit))
    with pytest.raises(InputError) as caught:
        voc.read_detection(devkit, ["VOC2007/trainval"])
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_a_mask_of_another_size_is_named(devkit: Path) -> None:
    file = base(devkit) / "SegmentationClass" / "000005.png"
    Image.fromarray(np.zeros((10, 12), np.uint8)).save(file)
    with pytest.raises(InputError, match=r"000005.png: is 12 x 10 pixels, its photo 64 x 48; make"):
        voc.read_segmentation(devkit, ["VOC2007/trainval"])


def test_a_mask_value_that_is_no_class_is_named(devkit: Path) -> None:
    file = base(devkit) / "SegmentationClass" / "000005.png"
    Image.fromarray(np.full((48, 64), 33, np.uint8)).save(file)
    photos = voc.read_segmentation(devkit, ["VOC2007/trainval"])
    with pytest.raises(InputError, match=r"000005.png: holds the value 33"):
        photos.mask(5)


def test_a_mask_of_colours_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(InputError, match="has colours"):
        read_mask(tmp_path / "m.png")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("VOC2008/trainval", "did you mean 'VOC2007'"),
        ("VOC2007/trainvall", "did you mean 'trainval'"),
    ],
)
def test_a_missing_list_names_the_nearest(devkit: Path, name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        voc.read_detection(devkit, [name])


def test_a_list_about_one_class_is_refused(devkit: Path) -> None:
    (base(devkit) / "ImageSets" / "Main" / "cat_train.txt").write_text("000001  1\n")
    with pytest.raises(InputError, match="about one class"):
        voc.read_detection(devkit, ["VOC2007/cat_train"])


def test_n_photos_a_class_are_split_as_for_the_probe(tmp_path: Path) -> None:
    root = worlds.write_folders(tmp_path / "photos", 5)
    (root / "BACKGROUND_Google").mkdir()
    train, test = folders.read_folders(root, 3, seed=1)
    assert np.bincount(train.labels).tolist() == [3, 3, 3]
    assert np.bincount(test.labels).tolist() == [2, 2, 2]
    assert not set(train.paths) & set(test.paths)
    assert train.classes == ("aeroplane", "cat", "dog")
    again, _ = folders.read_folders(root, 3, seed=1)
    other, _ = folders.read_folders(root, 3, seed=1, number=1)
    assert again.paths == train.paths != other.paths
    with pytest.raises(InputError, match="5 readable photos, but 5 to learn from"):
        folders.read_folders(root, 5, seed=1)


def test_imagenet_validation_has_the_classes_of_training(tmp_path: Path) -> None:
    for part in ("train", "val"):
        worlds.write_folders(tmp_path / part, 2)
    train, val = folders.read_imagenet(tmp_path)
    assert train.classes == val.classes
    assert val.accepted is None
    (tmp_path / "val" / "dog").rename(tmp_path / "val" / "dogs")
    with pytest.raises(InputError, match="did you mean 'dog'"):
        folders.read_imagenet(tmp_path)


def test_real_labels_are_those_of_the_numbered_photos() -> None:
    classes = tuple(map(str, range(1000)))
    paths = [Path(f"val/n1/ILSVRC2012_val_{number:08d}.JPEG") for number in (1, 2)]
    labels = folders.real_labels(paths, classes)
    assert labels == [(), (970, 795)]  # the first shows none of the classes
    assert folders.real_labels([Path("x.jpg")], classes) is None


def test_a_table_may_have_several_tags_a_row(tmp_path: Path) -> None:
    worlds.write_folders(tmp_path, 4)
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*/*.jpg"))
    text = "image,tags\n" + "".join(f"{name},red sky;{name[0]}\n" for name in names)
    (tmp_path / "t.csv").write_text(text)
    train, test, missing = read_own(tmp_path / "t.csv", test_share=0.25)
    assert train.classes == ("a", "c", "d", "red sky")
    assert (len(train), len(test), missing) == (9, 3, 0)
    assert (train.tags[:, 3] == 1).all()
    pq.write_table(
        pa.table({"path": names, "labels": [["x", name[0]] for name in names]}),
        tmp_path / "t.parquet",
    )
    assert read_own(tmp_path / "t.parquet")[0].classes == ("a", "c", "d", "x")


def test_a_table_may_state_its_split(tmp_path: Path) -> None:
    worlds.write_folders(tmp_path, 2)
    text = "file,label,split\ncat/image_0001,cat,train\ndog/image_0002,dog,test\n"
    (tmp_path / "t.csv").write_text(text)
    train, test, _ = read_own(tmp_path / "t.csv")
    assert [path.name for path in (*train.paths, *test.paths)] == [
        "image_0001.jpg",
        "image_0002.jpg",
    ]


def test_rows_without_a_photo_are_an_error_unless_skipped(tmp_path: Path) -> None:
    worlds.write_folders(tmp_path, 4)
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*/*.jpg"))
    rows = "".join(f"{name},{name[:3]}\n" for name in names) + "nowhere.jpg,cat\n"
    (tmp_path / "t.csv").write_text("image,tag\n" + rows)
    with pytest.raises(InputError, match=r"nowhere.jpg: 1 of 13 rows have no photo"):
        read_own(tmp_path / "t.csv")
    train, test, missing = read_own(tmp_path / "t.csv", skip_missing=True)
    assert (len(train) + len(test), missing) == (12, 1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("photo,tag\na,b\n", "has no column image"),
        ("image,stuff\na,b\n", "has no column tags"),
    ],
)
def test_a_table_without_the_columns_says_which(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(InputError, match=words):
        read_own(tmp_path / "t.csv")


def test_coco128_counts_as_vocs_classes(shared_data: Path) -> None:
    boxes = coco.read_yolo_boxes(shared_data / "coco128")
    assert len(boxes) == 126
    counts = np.bincount(np.concatenate(boxes.labels), minlength=20)
    assert counts.sum() == 452
    assert counts[voc.CLASSES.index("person")] == 254
    assert counts[voc.CLASSES.index("sheep")] == 0
    masks = coco.read_semantic_masks(shared_data / "coco128")
    assert len(masks) == 100
    values = set(np.unique(masks.mask(0)).tolist())
    assert values <= {*range(21), 255}


def test_voc2012_counts_as_published(shared_data: Path) -> None:
    root = shared_data / "voc2012"
    photos = voc.read_detection(root, ["VOC2012/train", "VOC2012/val"])
    assert len(photos) == 60
    assert sum(map(len, photos.boxes)) == 172
    assert sum(int(hard.sum()) for hard in photos.difficult) == 21
    masks = voc.read_segmentation(root, ["VOC2012/train", "VOC2012/val"])
    for number in range(0, 60, 12):
        assert set(np.unique(masks.mask(number)).tolist()) <= {*range(21), 255}


def test_cocos_tags_come_from_its_boxes(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "val2017").mkdir()
    (tmp_path / "val2017" / "7.jpg").write_bytes(b"")
    file = tmp_path / "annotations" / "instances_val2017.json"
    file.write_text(
        '{"categories": [{"id": 90, "name": "b"}, {"id": 1, "name": "a"}],'
        '"images": [{"id": 7, "file_name": "7.jpg"}],'
        '"annotations": [{"image_id": 7, "category_id": 90}]}'
    )
    photos = coco.read_multilabel(tmp_path, "val2017")
    assert photos.classes == ("a", "b")
    assert photos.tags.tolist() == [[0, 1]]
    file.write_text('{"images": []}')
    with pytest.raises(InputError, match="malformed"):
        coco.read_multilabel(tmp_path, "val2017")
