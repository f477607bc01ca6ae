"""Heads against plain loops, and what holds for all of them."""

from __future__ import annotations

import pytest
import torch

from mlimages.models.heads import HEADS, CSRAHead, LinearHead, MLDecoderHead

CLASSES, CHANNELS = 11, 24


def maps() -> torch.Tensor:
    return torch.randn(3, CHANNELS, 4, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", HEADS)
def test_every_head_gives_one_logit_a_category_for_maps_of_any_size(name):
    head = HEADS[name](CHANNELS, CLASSES).eval()
    assert head(maps()).shape == (3, CLASSES)
    assert head(maps()[:, :, :1, :1]).shape == (3, CLASSES)


@pytest.mark.parametrize("name", HEADS)
def test_starting_at_the_prior_predicts_frequencies_and_draws_nothing(name):
    torch.manual_seed(0)
    head = HEADS[name](CHANNELS, CLASSES).eval()
    prior, before = torch.linspace(0.9, 0.001, CLASSES), torch.get_rng_state()
    head.start_at_prior(prior)
    assert torch.equal(torch.get_rng_state(), before)
    predicted = torch.sigmoid(head(maps())).mean(0)
    torch.testing.assert_close(predicted, prior, rtol=0.3, atol=0.0)


@pytest.mark.parametrize("name", HEADS)
def test_every_parameter_of_a_head_learns(name):
    head = HEADS[name](CHANNELS, CLASSES)
    head(maps()).sum().backward()
    for parameter_name, parameter in head.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all()


def test_the_linear_head_is_a_product_of_means():
    head = LinearHead(CHANNELS, CLASSES)
    expected = maps().mean((2, 3)) @ head.weight.T + head.bias
    torch.testing.assert_close(head(maps()), expected)


def test_each_query_answers_for_its_group_of_categories():
    head = MLDecoderHead(CHANNELS, CLASSES, groups=4, width=16, feedforward=8).eval()
    assert head.weight.shape == (4, 16, 3)  # the last group has one category to spare
    before = head(maps())
    with torch.no_grad():
        head.weight[1] = 0
    after = head(maps())
    changed = (before != after).any(0)
    assert changed.tolist() == [3 <= category < 6 for category in range(CLASSES)]


def test_residual_attention_is_its_formula():
    head = CSRAHead(CHANNELS, CLASSES, attention=0.3, temperature=2.0)
    x = maps()
    for image in range(3):
        for category in range(CLASSES):
            scores = [
                (x[image, :, i, j] * head.weight[category]).sum()
                for i in range(4)
                for j in range(5)
            ]
            scores = torch.stack(scores)
            weights = torch.exp(2 * scores) / torch.exp(2 * scores).sum()
            expected = scores.mean() + 0.3 * (weights * scores).sum()
            torch.testing.assert_close(head(x)[image, category], expected)
