"""Multi-label measures against scikit-learn, torchmetrics and counts made by hand."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score
from torchmetrics.functional.classification import (
    multilabel_average_precision,
    multilabel_precision,
    multilabel_recall,
)

from mlimages.labels import compiled
from mlimages.metrics.multilabel import MultilabelMetrics
from mlimages.metrics.top import top_indices


@pytest.fixture(params=["compiled", "numpy"], autouse=True)
def kernels(request, monkeypatch):
    """Everything holds with and without compiled kernels."""
    if request.param == "numpy":
        monkeypatch.setattr(compiled, "available", lambda: False)


def sparse(dense):
    rows, categories = dense.nonzero()
    return np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(dense)))]), categories


def measure(scores, dense, minimum_positives=1, batch=7, **options):
    metrics = MultilabelMetrics(dense.shape[1], minimum_positives, **options)
    for start in range(0, len(dense), batch):
        metrics.update(scores[start : start + batch], *sparse(dense[start : start + batch]))
    return metrics.compute()


def numbers(result):
    return {name: value for name, value in result.summary().items() if name != "negatives"}


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
    scores = np.array([[4.0, 4.0], [3.0, 3.0], [2.0, 2.0], [1.0, 1.0]], dtype=np.float32)
    dense = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=bool)
    assert measure(scores, dense).average_precision == pytest.approx([1, (1 / 3 + 2 / 4) / 2])


def test_ties_at_the_cut_take_the_lowest_index():
    scores = np.array([[1.0, 2.0, 1.0, 1.0]], dtype=np.float32)
    assert top_indices(scores, 2).tolist() == [[1, 0]]
    assert top_indices(scores, 9).tolist() == [[1, 0, 2, 3]]


@given(arrays(np.float32, (3, 7), elements=st.sampled_from([-1.5, 0, 0.25, 1])), st.integers(1, 8))
def test_the_top_is_that_of_a_stable_sort(scores, k):
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(top_indices(scores, k), expected)


def test_the_average_precision_of_a_constant_is_the_prevalence(example):
    _, dense = example
    frequencies = np.linspace(0.9, 0.1, 30, dtype=np.float32)
    metrics = MultilabelMetrics(30)
    metrics.update(np.broadcast_to(frequencies, dense.shape), *sparse(dense))
    baseline = metrics.compute()
    np.testing.assert_allclose(baseline.average_precision[:29], dense.mean(0)[:29])
    hits = dense[dense.any(1)][:, :5].sum(1)
    assert baseline.instance["top5"].precision == pytest.approx((hits / 5).mean())


def test_summary_names_its_negatives(example):
    summary = measure(*example).summary()
    assert summary["negatives"] == "closed-world"
    assert {"map_macro", "map_micro", "instance_f1_top5", "class_recall_top10"} <= set(summary)


def test_batches_and_memory_do_not_matter(example):
    whole = numbers(measure(*example, batch=80))
    assert numbers(measure(*example, batch=3)) == pytest.approx(whole, rel=1e-12)
    assert numbers(measure(*example, memory_bytes=1000)) == pytest.approx(whole, rel=1e-12)


def test_scores_may_be_changed_after_they_were_added(example):
    scores, dense = example
    metrics, buffer = MultilabelMetrics(30), np.empty((10, 30), np.float32)
    for start in range(0, 80, 10):
        buffer[:] = scores[start : start + 10]
        metrics.update(buffer, *sparse(dense[start : start + 10]))
    assert numbers(metrics.compute()) == pytest.approx(numbers(measure(scores, dense)))


def masked_reference(scores, dense, known):
    """scikit-learn on the known pairs alone, of categories with both kinds: macro, and micro."""
    both = dense.any(0) & (known & ~dense).any(0)
    each = [
        average_precision_score(dense[known[:, c], c], scores[known[:, c], c])
        for c in np.flatnonzero(both)
    ]
    chosen = known & both
    return np.mean(each), average_precision_score(dense[chosen], scores[chosen])


def test_verified_negatives_are_the_only_ones(example):
    scores, dense = example
    absent = ~dense & (np.random.default_rng(2).random(dense.shape) < 0.3)
    metrics = MultilabelMetrics(30, negatives="verified")
    for part in np.array_split(np.arange(80), 9):
        metrics.update(scores[part], *sparse(dense[part]), absent=sparse(absent[part]))
    result = metrics.compute()
    macro, micro = masked_reference(scores, dense, dense | absent)
    assert (result.map_macro, result.map_micro) == pytest.approx((macro, micro))
    np.testing.assert_array_equal(result.negative_support, absent.sum(0))
    assert result.summary()["negatives"] == "verified"


def test_exhaustive_negatives_are_those_of_each_images_sources(example):
    scores, dense = example
    generator = np.random.default_rng(3)
    exhaustive = generator.random((3, 30)) < 0.5
    group = generator.integers(0, 3, 80)
    metrics = MultilabelMetrics(30, negatives="exhaustive", exhaustive=exhaustive)
    for part in np.array_split(np.arange(80), 9):
        metrics.update(scores[part], *sparse(dense[part]), group=group[part])
    result = metrics.compute()
    known = dense | exhaustive[group]
    macro, micro = masked_reference(scores, dense, known)
    assert (result.map_macro, result.map_micro) == pytest.approx((macro, micro))
    np.testing.assert_array_equal(result.negative_support, (known & ~dense).sum(0))


def test_groups_of_categories_have_means_of_their_own(example):
    result = measure(*example, minimum_positives=2)
    groups = {"head": np.arange(10), "none": np.array([29])}
    found = result.of_groups(groups)
    assert found["head"]["map_macro"] == pytest.approx(result.average_precision[:10].mean())
    assert found["head"]["positives"] == result.support[:10].sum()
    assert found["none"]["categories"] == 0
    assert found["none"]["map_macro"] is None
    assert found["head"]["negatives"] == "closed-world"


class Together:
    """Ranks that are threads: each waits for the others' arrays."""

    def __init__(self, size):
        self.barrier, self.arrays = threading.Barrier(size), {}

    def of(self, rank):
        def exchange(array):
            self.arrays[rank] = array
            self.barrier.wait(30)
            everyone = [self.arrays[other] for other in sorted(self.arrays)]
            self.barrier.wait(30)
            return everyone

        return SimpleNamespace(
            sum=lambda array: sum(exchange(array)),
            gather=lambda array: np.concatenate(exchange(array)),
        )


@pytest.mark.parametrize("negatives", ["closed-world", "verified", "exhaustive"])
def test_ranks_agree_with_one_process(example, negatives):
    scores, dense = example
    generator = np.random.default_rng(4)
    absent = ~dense & (generator.random(dense.shape) < 0.3)
    exhaustive = generator.random((2, 30)) < 0.5 if negatives == "exhaustive" else None
    group = generator.integers(0, 2, 80)

    def run(part, ranks=None):
        metrics = MultilabelMetrics(30, 1, negatives, exhaustive, ranks)
        options = {}
        if negatives == "verified":
            options["absent"] = sparse(absent[part])
        if negatives == "exhaustive":
            options["group"] = group[part]
        metrics.update(scores[part], *sparse(dense[part]), **options)
        return metrics.compute()

    whole, together = run(np.arange(80)), Together(3)
    parts = [np.arange(0, 11), np.arange(11, 70), np.arange(70, 80)]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda r: run(parts[r], together.of(r)), range(3)))
    for result in found:
        assert numbers(result) == pytest.approx(numbers(whole), rel=1e-12)
        np.testing.assert_allclose(result.average_precision, whole.average_precision)
        np.testing.assert_array_equal(result.negative_support, whole.negative_support)


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


@pytest.mark.parametrize("spread", [1e-30, 1e-6, 1, 1e30])
def test_micro_average_precision_of_crowded_and_of_far_scores(spread):
    generator = np.random.default_rng(5)
    dense = generator.random((60, 12)) < 0.4
    scores = (spread * generator.normal(0, 1, dense.shape) ** 5 + dense).astype(np.float32)
    expected = average_precision_score(dense, scores, average="micro")
    assert measure(scores, dense).map_micro == pytest.approx(expected, abs=1e-9)
