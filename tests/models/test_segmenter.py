"""Segmenters give scores of the image's size, and learn two regions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mlimages.models.network import TimmConfig, build_backbone
from mlimages.models.resnet import ResNet, ResNetConfig
from mlimages.models.segmenter import Segmenter


def backbone(output_stride: int = 16) -> ResNet:
    return ResNet(ResNetConfig(26, 0.0625, batch_norm_momentum=0.1, output_stride=output_stride))


@pytest.mark.parametrize("kind", ["v3", "v3plus"])
@pytest.mark.parametrize("output_stride", [16, 8])
def test_scores_have_the_size_of_the_image(kind, output_stride):
    segmenter = Segmenter(backbone(output_stride), 21, kind).eval()
    with torch.inference_mode():
        assert segmenter(torch.zeros(1, 3, 65, 97)).shape == (1, 21, 65, 97)


@pytest.mark.parametrize("kind", ["v3", "v3plus"])
def test_every_parameter_learns_and_the_loss_falls(kind):
    torch.manual_seed(0)
    segmenter = Segmenter(backbone(), 2, kind)
    images = torch.randn(2, 3, 64, 64) * 0.2
    truth = torch.zeros(2, 64, 64, dtype=torch.long)
    truth[:, :, 32:] = 1
    images[:, :, :, 32:] += 1
    optimizer, losses = torch.optim.SGD(segmenter.parameters(), 0.05, 0.9), []
    for _ in range(12):
        loss = F.cross_entropy(segmenter(images), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(parameter.grad is not None for parameter in segmenter.parameters())
    assert losses[-1] < 0.5 * losses[0]


def test_a_backbone_that_is_too_coarse_is_refused():
    with pytest.raises(ValueError, match="stride 32"):
        Segmenter(backbone(32), 2)
    with pytest.raises(ValueError, match="stride 32"):
        Segmenter(build_backbone(TimmConfig("resnet10t")), 2)
