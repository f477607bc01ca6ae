"""Measures of transfer against independent references, and what tests at several views mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics
import torch
import torchmetrics.functional.classification as reference
from tests.transfer import worlds
from tests.transfer.test_overfitting import recipe_of

from mlimages.metrics.detection import VOCDetection
from mlimages.models.few_shot import few_shot, nearest_neighbours
from mlimages.models.network import NetworkConfig
from mlimages.training.distribution import Ranks
from mlimages.transfer.data import build_task, read_data
from mlimages.transfer.tasks.classification import (
    average_precisions,
    class_recalls,
    tag_loss,
    top_accuracy,
)
from mlimages.transfer.tasks.detection import coco_average_precision
from mlimages.transfer.tasks.segmentation import painted
from mlimages.transfer.views import read_photo, ten_crops

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("k", [1, 5])
def test_top_k_is_torchmetrics(k: int) -> None:
    scores, labels = RNG.random((200, 12)), RNG.integers(0, 12, 200)
    expected = reference.multiclass_accuracy(
        torch.from_numpy(scores), torch.from_numpy(labels), 12, average="micro", top_k=k
    )
    assert top_accuracy(scores, labels, k) == pytest.approx(float(expected))


def test_a_constant_answer_is_no_hit() -> None:
    assert top_accuracy(np.ones((4, 3)), np.array([0, 1, 2, 0]), 1) == 0


def test_class_recalls_are_torchmetrics() -> None:
    scores, labels = RNG.random((200, 12)), RNG.integers(0, 11, 200)
    expected = reference.multiclass_recall(
        torch.from_numpy(scores), torch.from_numpy(labels), 12, average=None
    )
    found = class_recalls(scores, labels, 12)
    np.testing.assert_allclose(found[:11], expected[:11])
    assert np.isnan(found[11])


def test_average_precision_leaves_out_what_is_not_judged() -> None:
    scores, tags = RNG.random((50, 3)), RNG.integers(0, 2, (50, 3)).astype(np.float32)
    tags[:20, 1] = np.nan
    tags[:, 2] = 0
    found = average_precisions(scores, tags)
    assert found[0] == sklearn.metrics.average_precision_score(tags[:, 0], scores[:, 0])
    assert found[1] == sklearn.metrics.average_precision_score(tags[20:, 1], scores[20:, 1])
    assert np.isnan(found[2])


def test_tag_losses_are_those_of_their_formulas() -> None:
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    tags = torch.randint(0, 2, (6, 4), generator=torch.Generator().manual_seed(1)).float()
    bce = torch.nn.functional.binary_cross_entropy_with_logits(logits, tags, reduction="sum") / 6
    assert torch.allclose(tag_loss(logits, tags, False), bce)
    p = logits.sigmoid()
    shifted = (p - 0.05).clamp(min=0)
    formula = -(tags * (1 - p) * p.log() + (1 - tags) * shifted**4 * (1 - shifted).log())
    assert torch.allclose(tag_loss(logits, tags, True), formula.sum() / 6, atol=1e-6)
    unknown = tags.clone()
    unknown[:, 2] = torch.nan
    tag_loss(logits, unknown, True).backward()
    assert (logits.grad[:, 2] == 0).all()
    assert (logits.grad[:, [0, 1, 3]] != 0).any()


def test_ten_crops_count_as_the_mean_of_ten_single_crops(tmp_path: Path) -> None:
    for part in ("train", "val"):
        worlds.write_folders(tmp_path / part, 2)
    recipe = recipe_of("classification", evaluation={"crops": 10, "crop_fraction": 0.875})
    task = build_task(recipe, read_data(recipe, tmp_path))
    task.network.eval()
    assert isinstance(task.network.config, NetworkConfig)
    together = task._scores(64, Ranks())
    for path, row in zip(task.test.paths, together, strict=True):
        singles = []
        for view in ten_crops(read_photo(path), 64, 0.875):
            pixels = torch.from_numpy(view.copy()).permute(2, 0, 1)[None].float()
            with torch.inference_mode():
                singles.append(task.network(pixels / 127.5 - 1).softmax(1)[0].numpy())
        np.testing.assert_allclose(row, np.mean(singles, axis=0), atol=1e-5)


def test_several_sizes_are_measured_apart_and_together(tmp_path: Path) -> None:
    for part in ("train", "val"):
        worlds.write_folders(tmp_path / part, 2)
    recipe = recipe_of("classification", evaluation={"sizes": [64, 96]})
    task = build_task(recipe, read_data(recipe, tmp_path))
    task.network.eval()
    found = task.evaluate(Ranks())
    assert {"top-1@64", "top-1@96", "top-1@all", "mean per-class@all"} <= found.measures.keys()
    assert found.metric == "top-1@all"


def test_perfect_boxes_are_perfect_by_coco_too(tmp_path: Path) -> None:
    recipe = recipe_of("detection")
    test = read_data(recipe, worlds.write_voc(tmp_path)).test
    perfect = [
        (boxes, np.ones(len(boxes)), labels)
        for boxes, labels in zip(test.boxes, test.labels, strict=True)
    ]
    assert coco_average_precision(test, perfect)["AP coco"] == pytest.approx(1)
    shifted = [
        (boxes + np.array([12, 0, 12, 0]), scores, labels) for boxes, scores, labels in perfect
    ]
    assert 0 <= coco_average_precision(test, shifted)["AP75 coco"] < 0.2
    assert coco_average_precision(test, [(np.zeros((0, 4)), np.zeros(0), np.zeros(0))] * 8) == {
        "AP coco": 0.0,
        "AP50 coco": 0.0,
        "AP75 coco": 0.0,
    }


def test_boxes_of_several_views_are_in_the_photos_own_place(tmp_path: Path) -> None:
    recipe = recipe_of("detection", evaluation={"flip": True, "sizes": [64, 80]})
    task = build_task(recipe, read_data(recipe, worlds.write_voc(tmp_path)))
    task.network.eval()
    wide = torch.tensor([[4.0, 8.0, 20.0, 30.0]])

    def found(images):
        # As if the network saw one box at the left of the photo, whichever way it is turned.
        width = images[0].shape[-1]
        mirrored = bool(images[0][0, 20, 10] < images[0][0, 20, width - 11])
        box = wide if not mirrored else wide[:, [2, 1, 0, 3]] * torch.tensor([-1, 1, -1, 1])
        box = box + (torch.tensor([width, 0, width, 0]) if mirrored else 0)
        return [{"boxes": box, "scores": torch.ones(1), "labels": torch.ones(1).long()}]

    task.network.forward = found
    image = np.zeros((48, 64, 3), np.uint8)
    image[8:30, 4:20] = 255
    boxes, scores, labels = task.detect(image)
    assert boxes.tolist() == [[5, 9, 20, 30]]  # counted from 1, both ends inside
    assert (scores.tolist(), labels.tolist()) == ([1], [0])


def test_masks_of_several_views_are_in_the_photos_own_place(tmp_path: Path) -> None:
    views = {"flip": True, "scales": [0.5, 1.0, 1.5]}
    recipe = recipe_of("segmentation", evaluation=views)
    task = build_task(recipe, read_data(recipe, worlds.write_voc(tmp_path)))
    seen = []

    def scores(pixels):
        # As if the network saw class 3 where it is bright, whichever way the photo is turned.
        seen.append(tuple(pixels.shape[-2:]))
        answer = torch.zeros(1, 21, *pixels.shape[-2:])
        answer[:, 3], answer[:, 0] = 9 * pixels[:, 0], -9 * pixels[:, 0]
        return answer

    task.network.forward = scores
    image = np.zeros((48, 64, 3), np.uint8)
    image[8:32, 4:20] = 255
    np.testing.assert_array_equal(task.segment(image) == 3, image[..., 0] == 255)
    assert seen == [(24, 32)] * 2 + [(48, 64)] * 2 + [(72, 96)] * 2


def random_photo(generator: np.random.Generator) -> tuple:
    count, truths = int(generator.integers(0, 12)), int(generator.integers(0, 6))

    def boxes(number: int) -> np.ndarray:
        low = generator.integers(1, 60, (number, 2))
        return np.concatenate([low, low + generator.integers(10, 50, (number, 2))], 1).astype(float)

    truth = boxes(truths)
    near = truth[generator.integers(0, truths, count)] if truths else boxes(count)
    jitter = generator.integers(-8, 9, (count, 4))
    jitter[:, 2:] = np.maximum(jitter[:, 2:], jitter[:, :2] - 8)
    scores = generator.permutation(1000)[:count] / 1000
    return (
        near + jitter,
        scores,
        generator.integers(0, 3, count),
        truth,
        generator.integers(0, 3, truths),
    )


def test_voc_average_precision_is_that_of_a_kept_library() -> None:
    from podm import metrics as podm

    generator = np.random.default_rng(1)
    meter, truths, answers = VOCDetection(3), [], []
    for image in range(40):
        boxes, scores, labels, truth, truth_labels = random_photo(generator)
        scores = scores + image * 1e-5  # no ties: the order of those is nobody's rule
        meter.update(boxes, scores, labels, truth, truth_labels)
        edges = [1, 1, 0, 0]  # the library measures between edges, not from pixel to pixel
        for box, label in zip(truth - edges, truth_labels, strict=True):
            truths.append(podm.BoundingBox.of_bbox(image, label, *box, score=1.0))
        for box, score, label in zip(boxes - edges, scores, labels, strict=True):
            answers.append(podm.BoundingBox.of_bbox(image, label, *box, score=score))
    expected = podm.get_pascal_voc_metrics(truths, answers, 0.5)
    found = meter.compute().average_precision["voc10"]
    assert len(truths) > 80
    for label in range(3):
        assert found[label] == pytest.approx(expected[label].ap, abs=1e-9)


def test_colours_are_vocs_palette() -> None:
    image, mask = np.zeros((1, 4, 3), np.uint8), np.array([[0, 1, 15, 255]], np.uint8)
    shown = painted(image, mask)[0]
    expected = [[0, 0, 0], [128, 0, 0], [192, 128, 128], [0, 0, 0]]
    np.testing.assert_array_equal(shown, (0.6 * np.array(expected)).astype(np.uint8))


def test_neighbours_are_scikit_learns() -> None:
    neighbors = pytest.importorskip("sklearn.neighbors")
    known, labels = RNG.normal(size=(60, 8)), np.arange(60) % 4
    asked = RNG.normal(size=(30, 8))
    one = neighbors.KNeighborsClassifier(1, metric="cosine").fit(known, labels)
    np.testing.assert_array_equal(nearest_neighbours(known, labels, asked, 1), one.predict(asked))


def test_few_shots_are_told_by_draw() -> None:
    labels = np.repeat(np.arange(3), 8)
    features = np.eye(3)[labels] + 0.05 * RNG.normal(size=(24, 3))
    result = few_shot(features, labels, 2, draws=3)
    assert result.accuracies["knn"] == [1.0, 1.0, 1.0]
    assert len(result.accuracies["linear"]) == 3
    assert result.accuracies["svm"] == [1.0, 1.0, 1.0]
    assert result.median("knn") == 1.0
