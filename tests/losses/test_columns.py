"""Softplus and its slope, over the whole range of a float."""

from __future__ import annotations

import pytest
import torch

from mlimages.losses.columns import softplus_and_sigmoid


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 3e-7), (torch.float64, 1e-15)])
def test_softplus_and_sigmoid_keep_their_digits_where_they_are_tiny(dtype, limit):
    x = torch.linspace(-85, 85, 3001, dtype=torch.float64).to(dtype)
    value, slope = softplus_and_sigmoid(x)
    exact = x.double()
    expected = exact.clamp(min=0) + torch.log1p(torch.exp(-exact.abs()))
    torch.testing.assert_close(value.double(), expected, rtol=limit, atol=0)
    torch.testing.assert_close(slope.double(), torch.sigmoid(exact), rtol=limit, atol=0)


def test_infinite_logits_stay_infinite_and_nan_stays_nan():
    value, slope = softplus_and_sigmoid(torch.tensor([float("inf"), float("-inf"), float("nan")]))
    assert value[:2].tolist() == [float("inf"), 0]
    assert slope[:2].tolist() == [1, 0]
    assert value[2].isnan()
    assert slope[2].isnan()
