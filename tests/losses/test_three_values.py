"""Every loss, with unknown categories as negatives, left out or weighted, against a dense loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tests.losses.reference import sigmoid
from tests.training.fakes import statistics_of, tiny_recipe

from mlimages.losses.targets import SparseTargets
from mlimages.training.objective import build_loss

IMAGES, CLASSES = 5, 9
COUNTS, ALL = np.arange(1, CLASSES + 1) * 4, 60
ABSENT, UNKNOWN = 0.0, -1.0
UNKNOWN_IS = {"negative": 1.0, "ignore": 0.0, "weighted": 0.25}
NAMES = ("bce", "focal", "asymmetric", "class-balanced", "distribution-balanced", "paper")


def log_loss(p: float) -> float:
    return -math.log(p)


class Dense:
    """Terms of a category by their formulas; z is a confidence or 0."""

    def __init__(self, name: str, z: np.ndarray, kept: np.ndarray) -> None:
        self.name, self.z = name, z
        effective = np.array([(1 - 0.9999**n) / (1 - 0.9999) for n in COUNTS])
        self.balance = 1 / effective / np.mean(1 / effective)
        present = (z >= 0.7).any(0)  # the first batch: t is 1
        self.r = np.where(present, math.log10(10 / 1.01), kept * math.log10(10 / 9))

    def term(self, i: int, j: int, x: float, known: bool) -> float:
        z, p = max(self.z[i, j], 0.0), sigmoid(x)
        if self.name in ("focal", "asymmetric"):
            gammas = (2, 2, 2) if self.name == "focal" else (1, 3, 4)
            q = p if self.name == "focal" else max(p - 0.05, 0)
            gamma = gammas[1] if known else gammas[2]
            positive = z * (1 - p) ** gammas[0] * log_loss(p)
            return positive + (1 - z) * q**gamma * log_loss(1 - q)
        if self.name == "distribution-balanced":
            return self._distribution_balanced(i, j, x, z)
        plain = z * log_loss(p) + (1 - z) * log_loss(1 - p)
        if self.name == "class-balanced":
            return self.balance[j] * plain
        if self.name == "paper":
            return self.r[j] * (12 * z * log_loss(p) + (1 - z) * log_loss(1 - p))
        return plain

    def _distribution_balanced(self, i: int, j: int, x: float, z: float) -> float:
        share = COUNTS[j] / (ALL + 1)
        x += 0.05 * math.log(share / (1 - share)) / 5
        drawn = sum(1 / COUNTS[k] for k in range(CLASSES) if self.z[i, k] > 0)
        weight = 0.1 + (sigmoid(10 * (1 / COUNTS[j] / drawn - 0.3)) if drawn else 0)
        negative = math.log1p(math.exp(5 * x)) / 5
        return weight * (z * math.log1p(math.exp(-x)) + (1 - z) * negative)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("unknown", UNKNOWN_IS)
@pytest.mark.parametrize("name", NAMES)
def test_value_and_gradient_are_those_of_a_dense_loop(name: str, unknown: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    x = generator.normal(0, 2, (IMAGES, CLASSES))
    z = generator.choice([UNKNOWN, ABSENT, 1.0, 0.9, 0.5], x.shape, p=[0.5, 0.2, 0.1, 0.1, 0.1])
    factors = np.where(z == UNKNOWN, 1.0, generator.choice([1.0, 0.5], x.shape))
    weighted = unknown != "negative"  # otherwise mixed targets have no weights either
    factors = factors if weighted else np.ones_like(x)
    recipe = tiny_recipe(
        f"loss.name={name}", f"loss.unknown={unknown}", "loss.unknown_weight=0.25",
        "loss.gamma_negative=3", f"seed={seed}",
    )  # fmt: skip
    loss = build_loss(recipe, statistics_of(COUNTS, ALL))
    kept = loss._kept(0).numpy() if name == "paper" else np.zeros(CLASSES)
    rows, columns = np.nonzero(z != UNKNOWN)
    counts = np.bincount(rows, minlength=IMAGES)
    targets = SparseTargets(
        torch.tensor(np.concatenate([[0], np.cumsum(counts)])),
        torch.tensor(columns),
        torch.tensor(z[rows, columns]),
        CLASSES,
        torch.tensor(factors[rows, columns]) if weighted else None,
    )
    logits = torch.tensor(x, requires_grad=True)
    loss.begin_step(targets, 0)
    value = loss(logits, targets)
    value.backward()

    dense, total = Dense(name, z, kept), 0.0
    gradient = np.zeros_like(x)
    for i, j in np.ndindex(x.shape):
        known = z[i, j] != UNKNOWN
        factor = factors[i, j] if known else UNKNOWN_IS[unknown]
        total += factor * dense.term(i, j, x[i, j], known) / IMAGES
        up, down = (dense.term(i, j, x[i, j] + step, known) for step in (1e-6, -1e-6))
        gradient[i, j] = factor * (up - down) / 2e-6 / IMAGES
    assert value.item() == pytest.approx(total, rel=1e-6)
    assert logits.grad is not None
    if name != "asymmetric":  # whose powers are constants
        np.testing.assert_allclose(logits.grad.numpy(), gradient, rtol=1e-5, atol=1e-7)
    if unknown == "ignore":
        assert (logits.grad.numpy()[z == UNKNOWN] == 0).all()
