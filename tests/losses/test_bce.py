"""Plain cross-entropy against PyTorch's dense one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mlimages.losses.bce import BinaryCrossEntropy
from mlimages.losses.targets import SparseTargets


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_value_and_gradient_equal_dense_cross_entropy(reduction):
    generator = np.random.default_rng(0)
    z = torch.tensor(generator.choice([0.0, 1.0, 0.8], (7, 20), p=[0.8, 0.1, 0.1]))
    x = torch.tensor(generator.normal(0, 5, (7, 20)), requires_grad=True)
    dense = F.binary_cross_entropy_with_logits(x, z.float().double(), reduction="none").mean(0)
    expected = dense.sum() if reduction == "sum" else dense.mean()
    (gradient,) = torch.autograd.grad(expected, x)

    loss = BinaryCrossEntropy(20, reduction)
    targets = SparseTargets.from_dense(z)
    loss.begin_step(targets, 0)
    value = loss(x, targets)
    value.backward()
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(x.grad, gradient)


def test_unknown_entries_have_neither_value_nor_gradient():
    x = torch.tensor([[2.0, -1.0]], requires_grad=True)
    targets = SparseTargets.from_dense(torch.tensor([[-1.0, 1.0]]))
    loss = BinaryCrossEntropy(2)
    loss.begin_step(targets, 0)
    value = loss(x, targets)
    value.backward()
    assert value.item() == pytest.approx(np.log1p(np.exp(1.0)))
    assert x.grad is not None
    assert x.grad[0, 0] == 0


def test_micro_batches_add_up():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 4, generator=generator)
    z = (torch.rand(5, 4, generator=generator) < 0.3).float()
    loss = BinaryCrossEntropy(4)
    loss.begin_step(SparseTargets.from_dense(z), 0)
    parts = loss(x[:2], SparseTargets.from_dense(z[:2])) + loss(
        x[2:], SparseTargets.from_dense(z[2:])
    )
    torch.testing.assert_close(parts, loss(x, SparseTargets.from_dense(z)))
