"""The further losses against plain loops, known special cases and PyTorch's own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision.ops
from tests.losses import reference

from mlimages.losses.asymmetric import (
    AsymmetricLoss,
    AsymmetricSettings,
    class_balanced_weights,
)
from mlimages.losses.base import TagLoss
from mlimages.losses.bce import BinaryCrossEntropy
from mlimages.losses.distribution_balanced import DistributionBalancedLoss
from mlimages.losses.hierarchical import ConsistentScores, HierarchicalLoss
from mlimages.losses.paper import PaperLoss
from mlimages.losses.semantic_softmax import SemanticSoftmaxLoss
from mlimages.losses.targets import SparseTargets

IMAGES, CLASSES = 6, 12
# A DAG: 0 above 1, 2, 3; 1 and 2 above 4; 3 above 5; 5 above 6.
CHILD, PARENT = [1, 2, 3, 4, 4, 5, 6], [0, 0, 0, 1, 2, 3, 5]
BELOW = [{0, 1, 2, 3, 4, 5, 6}, {1, 4}, {2, 4}, {3, 5, 6}, {4}, {5, 6}, {6}]
BELOW += [{j} for j in range(7, CLASSES)]


class Batch:
    """Random logits and tags: present (1 or 0.8), stated absent, unknown, or nothing said."""

    def __init__(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        shape = (IMAGES, CLASSES)
        self.x = torch.tensor(generator.normal(0, 3, shape), requires_grad=True)
        kind = generator.choice(5, shape, p=[0.6, 0.1, 0.1, 0.1, 0.1])
        self.z = np.choose(kind, [0.0, 1.0, 0.8, 0.0, -1.0])
        self.stated = kind > 0
        rows, columns = np.nonzero(self.stated)
        indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=IMAGES))])
        values = torch.tensor(self.z[rows, columns])
        self.targets = SparseTargets(torch.tensor(indptr), torch.tensor(columns), values, CLASSES)


def value_of(loss: TagLoss, x: torch.Tensor, targets: SparseTargets) -> torch.Tensor:
    loss.begin_step(targets, 0)
    return loss(x, targets)


def ignored_by_selection(batch: Batch, prior: np.ndarray) -> np.ndarray:
    """Frequent categories, and the two largest logits among the other unstated ones."""
    ignored = np.tile(prior > 0.5, (IMAGES, 1))
    for i in range(IMAGES):
        open_ = [j for j in range(CLASSES) if not batch.stated[i, j] and not ignored[i, j]]
        for j in sorted(open_, key=lambda j: -float(batch.x[i, j].detach()))[:2]:
            ignored[i, j] = True
    return ignored


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("unknown", ["negative", "ignore", "selective"])
@pytest.mark.parametrize(("gammas", "clip"), [((1, 4, 2), 0.05), ((0, 0, 0), 0), ((2, 2, 2), 0)])
def test_the_asymmetric_loss_is_its_formula(seed, unknown, gammas, clip):
    batch = Batch(seed)
    prior = np.linspace(0, 0.7, CLASSES)
    ignored = np.zeros((IMAGES, CLASSES), bool)
    if unknown == "ignore":
        ignored[:] = True
    elif unknown == "selective":
        ignored = ignored_by_selection(batch, prior)
    settings = AsymmetricSettings(*gammas, clip, unknown, likely_ignored=2)
    loss = AsymmetricLoss(CLASSES, settings, prior=torch.tensor(prior))
    expected = reference.asymmetric(
        batch.x.detach().numpy(), batch.z, batch.stated, gammas, clip, ignored
    )
    assert value_of(loss, batch.x, batch.targets).item() == pytest.approx(expected, rel=1e-6)


def test_without_gammas_and_clip_it_is_cross_entropy_in_value_and_gradient():
    batch = Batch(0)
    plain = value_of(BinaryCrossEntropy(CLASSES), batch.x, batch.targets)
    (expected,) = torch.autograd.grad(plain, batch.x)
    loss = AsymmetricLoss(CLASSES, AsymmetricSettings(0, 0, 0, 0))
    value = value_of(loss, batch.x, batch.targets)
    (gradient,) = torch.autograd.grad(value, batch.x)
    torch.testing.assert_close(value, plain, rtol=1e-9, atol=0)
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12)


def test_focal_loss_equals_torchvisions_in_value_and_gradient():
    batch = Batch(1)
    z = torch.tensor((batch.z > 0).astype(float))
    dense = torchvision.ops.sigmoid_focal_loss(batch.x, z, alpha=-1, gamma=2, reduction="sum")
    (expected,) = torch.autograd.grad(dense / IMAGES, batch.x)
    settings = AsymmetricSettings(2, 2, 2, 0, differentiate_weight=True)
    value = value_of(AsymmetricLoss(CLASSES, settings), batch.x, SparseTargets.from_dense(z))
    (gradient,) = torch.autograd.grad(value, batch.x)
    torch.testing.assert_close(value, dense / IMAGES)
    torch.testing.assert_close(gradient, expected)


def test_class_weights_follow_the_effective_number_of_images():
    counts = np.array([1, 10, 1000, 0])
    weights = class_balanced_weights(counts, 0.9)
    effective = np.array([(1 - 0.9**n) / (1 - 0.9) for n in (1, 10, 1000, 1)])
    np.testing.assert_allclose(weights, 1 / effective / np.mean(1 / effective), rtol=1e-6)
    assert class_balanced_weights(counts, 0).tolist() == [1, 1, 1, 1]
    batch = Batch(2)
    weights = torch.linspace(0, 2, CLASSES)
    loss = AsymmetricLoss(CLASSES, AsymmetricSettings(0, 0, 0, 0), weights=weights)
    z = torch.tensor(np.maximum(batch.z, 0))
    dense = F.binary_cross_entropy_with_logits(batch.x, z, weight=weights, reduction="sum")
    value = value_of(loss, batch.x, SparseTargets.from_dense(z))
    torch.testing.assert_close(value, dense / IMAGES, rtol=1e-6, atol=0)


@pytest.mark.parametrize("seed", range(5))
def test_the_distribution_balanced_loss_is_its_formula(seed):
    batch = Batch(seed)
    y = (batch.z > 0).astype(float)
    counts = np.arange(1, CLASSES + 1) * 7
    loss = DistributionBalancedLoss(counts, 100)
    value = value_of(loss, batch.x, SparseTargets.from_dense(torch.tensor(y)))
    expected = reference.distribution_balanced(batch.x.detach().numpy(), y, counts, 100)
    assert value.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_semantic_softmax_is_its_formula(seed):
    batch = Batch(seed)
    depths = np.array([0, 1, 1, 1, 3, 3, 3, 0, 1, 0, 3, 1])
    y = np.maximum(batch.z, 0)
    loss = SemanticSoftmaxLoss(torch.tensor(depths))
    value = value_of(loss, batch.x, batch.targets)
    expected = reference.semantic_softmax(batch.x.detach().numpy(), y, depths)
    assert value.item() == pytest.approx(expected, rel=1e-6)


def test_no_category_scores_below_its_descendants():
    batch = Batch(3)
    scores = ConsistentScores(torch.tensor(CHILD), torch.tensor(PARENT), CLASSES)
    expected = reference.consistent(batch.x.detach().numpy(), BELOW)
    np.testing.assert_array_equal(scores(batch.x).detach().numpy(), expected)


def test_a_positive_is_not_explained_by_an_absent_descendant():
    x = torch.full((1, CLASSES), -2.0, dtype=torch.float64)
    x[0, 4] = 3.0  # says "4", which is not there, and is below 0, 1 and 2
    x.requires_grad_()
    scores = ConsistentScores(torch.tensor(CHILD), torch.tensor(PARENT), CLASSES)
    loss = HierarchicalLoss(BinaryCrossEntropy(CLASSES), scores)
    z = torch.zeros(1, CLASSES)
    z[0, [0, 3]] = 1
    value_of(loss, x, SparseTargets.from_dense(z)).backward()
    assert x.grad is not None
    assert x.grad[0, 4] > 0  # down, though 0 is present
    assert x.grad[0, 0] < 0  # 0 rises by itself
    positives = np.where(z.numpy() > 0, x.detach().numpy(), -np.inf)
    raised = np.where(
        z.numpy() > 0,
        reference.consistent(positives, BELOW),
        reference.consistent(x.detach().numpy(), BELOW),
    )
    expected = F.binary_cross_entropy_with_logits(torch.tensor(raised), z.double(), reduction="sum")
    value = value_of(loss, x, SparseTargets.from_dense(z))
    torch.testing.assert_close(value, expected)


LOSSES: dict[str, Callable[[], TagLoss]] = {
    "paper": lambda: PaperLoss(CLASSES),
    "bce": lambda: BinaryCrossEntropy(CLASSES, "mean"),
    "asymmetric": lambda: AsymmetricLoss(CLASSES, AsymmetricSettings()),
    "focal": lambda: AsymmetricLoss(
        CLASSES, AsymmetricSettings(0.5, 0.5, 0.5, 0, differentiate_weight=True)
    ),
    "selective": lambda: AsymmetricLoss(
        CLASSES, AsymmetricSettings(unknown="selective"), prior=torch.linspace(0, 1, CLASSES)
    ),
    "distribution-balanced": lambda: DistributionBalancedLoss(np.arange(CLASSES) + 1, 50),
    "semantic-softmax": lambda: SemanticSoftmaxLoss(torch.arange(CLASSES) % 3, 0.1),
    "hierarchical": lambda: HierarchicalLoss(
        BinaryCrossEntropy(CLASSES),
        ConsistentScores(torch.tensor(CHILD), torch.tensor(PARENT), CLASSES),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_micro_batches_add_up(name):
    batch, loss = Batch(4), LOSSES[name]()
    whole = value_of(loss, batch.x, batch.targets)
    dense = SparseTargets.concatenate([batch.targets])
    parts = []
    for start, stop in ((0, 2), (2, IMAGES)):
        first, last = dense.indptr[start], dense.indptr[stop]
        part = SparseTargets(
            dense.indptr[start : stop + 1] - first,
            dense.indices[first:last],
            dense.values[first:last],
            CLASSES,
        )
        parts.append(loss(batch.x[start:stop], part))
    torch.testing.assert_close(parts[0] + parts[1], whole)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_extreme_logits_give_finite_values_and_gradients(name, dtype):
    targets, loss = Batch(5).targets, LOSSES[name]()
    for size in (0.0, 80.0, 6e4):
        x = torch.full((IMAGES, CLASSES), size, dtype=dtype)
        x[::2] *= -1
        x.requires_grad_()
        value = value_of(loss, x, targets)
        value.backward()
        assert value.dtype == torch.float32
        assert x.grad is not None
        assert torch.isfinite(value)
        assert torch.isfinite(x.grad).all()


# The others reach a category through its neighbours.
@pytest.mark.parametrize(
    "name", sorted(LOSSES.keys() - {"paper", "semantic-softmax", "hierarchical"})
)
def test_unknown_entries_have_no_gradient(name):
    batch, loss = Batch(6), LOSSES[name]()
    (gradient,) = torch.autograd.grad(value_of(loss, batch.x, batch.targets), batch.x)
    assert (gradient[torch.tensor(batch.z == -1)] == 0).all()
