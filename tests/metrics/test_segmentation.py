"""Mean intersection over union against scikit-learn, with VOC's void pixels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, jaccard_score

from mlimages.metrics.segmentation import VOID, Segmentation


def masks(seed=0, classes=6):
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, (5, 20, 30)).astype(np.uint8)
    predicted = np.where(generator.random(truth.shape) < 0.6, truth, (truth + 1) % classes)
    truth[generator.random(truth.shape) < 0.1] = VOID
    return predicted.astype(np.uint8), truth


def test_it_equals_scikit_learn_without_the_void_pixels():
    predicted, truth = masks()
    metric = Segmentation(6)
    for one, other in zip(predicted, truth, strict=True):
        metric.update(one, other)
    result, known = metric.compute(), truth != VOID
    expected = confusion_matrix(truth[known], predicted[known], labels=range(6))
    np.testing.assert_array_equal(result.confusion, expected)
    scores = jaccard_score(truth[known], predicted[known], average=None)
    np.testing.assert_allclose(result.iou, scores)
    assert result.mean_iou == pytest.approx(scores.mean())
    assert result.pixel_accuracy == pytest.approx((truth[known] == predicted[known]).mean())
    assert result.mean_accuracy == pytest.approx((np.diag(expected) / expected.sum(1)).mean())


def test_classes_that_do_not_occur_are_left_out_of_the_mean():
    metric = Segmentation(4)
    metric.update(np.array([[0, 1]]), np.array([[0, 0]]))
    result = metric.compute()
    np.testing.assert_array_equal(result.iou, [0.5, 0, np.nan, np.nan])
    assert result.mean_iou == 0.25


def test_wrong_input_is_refused():
    metric = Segmentation(2)
    with pytest.raises(ValueError, match="the truth has"):
        metric.update(np.zeros((2, 2), int), np.zeros((2, 3), int))
    with pytest.raises(ValueError, match="not among 0 to 1"):
        metric.update(np.array([[2]]), np.array([[0]]))
    with pytest.raises(ValueError, match="no pixels"):
        metric.compute()
    metric.update(np.array([[7]]), np.array([[VOID]]))  # whatever is said of void
    with pytest.raises(ValueError, match="no pixels"):
        metric.compute()
