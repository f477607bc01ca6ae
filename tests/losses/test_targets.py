"""Sparse targets hold what the dense matrix holds."""

from __future__ import annotations

import torch

from mlimages.losses.targets import SparseTargets

MATRIX = torch.tensor([[0.0, 1.0, 0.8], [0.0, 0.0, 0.0], [-1.0, 0.0, 1.0]])


def test_dense_and_back():
    targets = SparseTargets.from_dense(MATRIX)
    assert targets.indptr.tolist() == [0, 2, 2, 4]
    assert targets.rows.tolist() == [0, 0, 2, 2]
    assert len(targets) == 3
    torch.testing.assert_close(targets.dense(), MATRIX)


def test_concatenation_keeps_the_order_of_images():
    parts = [SparseTargets.from_dense(part) for part in (MATRIX[:1], MATRIX[1:])]
    torch.testing.assert_close(SparseTargets.concatenate(parts).dense(), MATRIX)
