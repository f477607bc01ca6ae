"""Multi-label measures against scikit-learn, torchmetrics and counts made by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torchmetrics.functional.classification import (
    multilabel_average_precision,
    multilabel_precision,
    multilabel_recall,
)

from mlimages.metrics.multilabel import (
    MultilabelMetrics,
    average_precision,
    frequency_baseline,
    top_k,
)


def sparse(dense):
    rows, categories = dense.nonzero()
    return np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(dense)))]), categories


def measure(scores, dense, minimum_positives=1, batch=7):
    metrics = MultilabelMetrics(dense.shape[1], minimum_positives)
    for start in range(0, len(dense), batch):
        metrics.update(scores[start : start + batch], *sparse(dense[start : start + batch]))
    return metrics.compute()


@pytest.fixture
def example():
    """Long-tailed tags, some images without any, and scores with many ties."""
    generator = np.random.default_rng(0)
    prevalence = 1 / np.arange(2, 32)
    dense = generator.random((80, 30)) < prevalence
    dense[:3] = False
    dense[:, 29] = False  # a category without positives
    scores = (dense * 0.5 + generator.normal(0, 1, dense.shape)).round(1).astype(np.float32)
    return scores, dense


def test_average_precision_equals_scikit_learn_with_ties(example):
    scores, dense = example
    result = measure(scores, dense)
    for category in range(29):
        expected = average_precision_score(dense[:, category], scores[:, category])
        assert result.average_precision[category] == pytest.approx(expected, abs=1e-9)
    assert np.isnan(result.average_precision[29])
    np.testing.assert_array_equal(result.support, dense.sum(0))


@pytest.mark.parametrize("minimum", [1, 10])
def test_macro_and_micro_equal_references(example, minimum):
    scores, dense = example
    result = measure(scores, dense, minimum)
    enough = dense.sum(0) >= minimum
    assert result.categories == enough.sum()
    expected = average_precision_score(dense[:, enough], scores[:, enough], average="macro")
    assert result.map_macro == pytest.approx(expected)
    expected = average_precision_score(dense[:, enough], scores[:, enough], average="micro")
    assert result.map_micro == pytest.approx(expected)
    torched = multilabel_average_precision(
        torch.tensor(scores[:, enough]).sigmoid(),
        torch.tensor(dense[:, enough]).int(),
        num_labels=int(enough.sum()),
        average="macro",
    )
    assert result.map_macro == pytest.approx(torched.item(), abs=1e-6)


def test_constant_scores_have_the_prevalence_as_average_precision(example):
    _, dense = example
    result = measure(np.full(dense.shape, 0.3, dtype=np.float32), dense)
    expected = multilabel_average_precision(
        torch.full(dense.shape, 0.3), torch.tensor(dense).int(), num_labels=30, average=None
    )
    np.testing.assert_allclose(result.average_precision[:29], expected[:29], rtol=1e-6)
    np.testing.assert_allclose(result.average_precision[:29], dense.mean(0)[:29])


@pytest.mark.parametrize("k", [5, 10])
def test_top_k_equals_torchmetrics_and_a_loop(example, k):
    scores, dense = example
    scores = scores + np.random.default_rng(1).random(scores.shape).astype(np.float32) * 1e-3
    result = measure(scores, dense)
    chosen = np.zeros_like(dense)
    for image, row in enumerate(scores):
        chosen[image, np.argsort(row)[-k:]] = True
    tagged = dense.any(1)
    hits = (chosen & dense)[tagged].sum(1)
    top = result.instance[f"top{k}"]
    assert top.precision == pytest.approx((hits / k).mean())
    assert top.recall == pytest.approx((hits / dense[tagged].sum(1)).mean())
    assert top.f1 == pytest.approx(2 * top.precision * top.recall / (top.precision + top.recall))

    with_positives = dense.any(0)
    pair = torch.tensor(chosen), torch.tensor(dense).int()
    by_class = result.per_class[f"top{k}"]
    for measured, reference in (
        (by_class.precision, multilabel_precision),
        (by_class.recall, multilabel_recall),
    ):
        values = reference(pair[0].int(), pair[1], num_labels=30, average=None)[with_positives]
        assert measured == pytest.approx(values.mean().item(), abs=1e-6)


def test_a_perfect_and_a_reversed_ranking():
    scores = np.array([4.0, 3.0, 2.0, 1.0], dtype=np.float32)
    assert average_precision(scores, np.array([0, 1])) == 1.0
    assert average_precision(scores, np.array([2, 3])) == pytest.approx((1 / 3 + 2 / 4) / 2)


def test_ties_at_the_cut_take_the_lowest_index():
    scores = np.array([[1.0, 2.0, 1.0, 1.0]], dtype=np.float32)
    assert top_k(scores, 2).tolist() == [[True, True, False, False]]
    assert top_k(scores, 9).all()


def test_frequency_baseline_predicts_the_same_for_all(example):
    _, dense = example
    frequencies = np.linspace(0.9, 0.1, 30)
    baseline = frequency_baseline(frequencies, *sparse(dense))
    direct = measure(np.tile(frequencies.astype(np.float32), (80, 1)), dense)
    assert baseline.summary() == direct.summary()
    np.testing.assert_allclose(baseline.average_precision[:29], dense.mean(0)[:29])
    hits = dense[dense.any(1)][:, :5].sum(1)
    assert baseline.instance["top5"].precision == pytest.approx((hits / 5).mean())


def test_summary_names_its_negatives(example):
    summary = measure(*example).summary()
    assert summary["negatives"] == "closed-world"
    assert {"map_macro", "map_micro", "instance_f1_top5", "class_recall_top10"} <= set(summary)


def test_batches_do_not_matter(example):
    assert measure(*example, batch=3).summary() == measure(*example, batch=80).summary()


def test_wrong_input_is_refused():
    metrics = MultilabelMetrics(3)
    with pytest.raises(ValueError, match="no images"):
        metrics.compute()
    with pytest.raises(ValueError, match="shape"):
        metrics.update(np.zeros((2, 4)), np.array([0, 0, 0]), np.array([], dtype=int))
    with pytest.raises(ValueError, match="NaN"):
        metrics.update(np.full((1, 3), np.nan), np.array([0, 0]), np.array([], dtype=int))


def test_without_any_tag_there_is_no_average():
    metrics = MultilabelMetrics(2)
    metrics.update(np.zeros((3, 2)), np.zeros(4, dtype=int), np.array([], dtype=int))
    result = metrics.compute()
    assert np.isnan(result.map_macro)
    assert np.isnan(result.map_micro)
    assert result.instance["top5"].f1 == 0
