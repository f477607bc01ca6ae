"""The detector trains, detects, and draws its boxes by (seed, step, image) alone."""

from __future__ import annotations

import pytest
import torch
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler

from mlimages.models.detector import Detector, KeyedSampler
from mlimages.models.network import TimmConfig, build_backbone
from mlimages.models.resnet import ResNet, ResNetConfig

TINY = ResNetConfig(26, 0.0625)


def batch(count: int = 2) -> tuple[list[torch.Tensor], list[dict[str, torch.Tensor]]]:
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(3, 96 + 16 * i, 128, generator=generator) for i in range(count)]
    boxes = torch.tensor([[10.0, 10.0, 60.0, 70.0], [70.0, 20.0, 120.0, 90.0]])
    return images, [{"boxes": boxes, "labels": torch.tensor([1, 3])} for _ in images]


@pytest.mark.parametrize("kind", ["fpn", "c4"])
def test_it_trains_and_detects(kind):
    torch.manual_seed(0)
    detector = Detector(ResNet(TINY), 3, kind, 96, 160)
    detector.set_keys(0, 0, [0, 1])
    losses = detector(*batch())
    total = sum(losses.values())
    total.backward()
    assert torch.isfinite(total)
    for name, parameter in detector.backbone.named_parameters():
        assert parameter.grad is not None, name
    with torch.inference_mode():
        found = detector.eval()(batch()[0])
    assert [set(image) for image in found] == [{"boxes", "labels", "scores"}] * 2


def test_a_timm_backbone_has_a_pyramid():
    detector = Detector(build_backbone(TimmConfig("resnet10t", 96)), 3, "fpn", 96, 160).eval()
    with torch.inference_mode():
        assert len(detector(batch()[0])) == 2
    with pytest.raises(ValueError, match="use fpn"):
        Detector(build_backbone(TimmConfig("resnet10t", 96)), 3, "c4")


def test_draws_do_not_depend_on_the_rest_of_the_batch():
    labels = [
        torch.randint(-1, 3, (500,), generator=torch.Generator().manual_seed(i)) for i in (0, 1)
    ]
    together, alone = KeyedSampler(64, 0.25, 0), KeyedSampler(64, 0.25, 0)
    together.keys = [(7, 3, 10), (7, 3, 11)]
    alone.keys = [(7, 3, 11)]
    both, one = together(labels), alone(labels[1:])
    for kind in (0, 1):
        assert torch.equal(both[kind][1], one[kind][0])
    alone.keys = [(7, 4, 11)]
    assert not torch.equal(alone(labels[1:])[1][0], one[1][0])


@pytest.mark.parametrize(("positives", "negatives"), [(100, 400), (3, 400), (100, 5), (0, 0)])
def test_it_draws_as_many_as_torchvision(positives, negatives):
    labels = torch.tensor([2] * positives + [0] * negatives + [-1] * 20)
    sampler = KeyedSampler(64, 0.25, 0)
    sampler.keys = [(0, 0, 0)]
    ours, theirs = sampler([labels]), BalancedPositiveNegativeSampler(64, 0.25)([labels])
    for (mine,), (reference,), wanted in zip(ours, theirs, (labels >= 1, labels == 0), strict=True):
        assert mine.sum() == reference.sum()
        assert not (mine.bool() & ~wanted).any()


def test_a_step_without_keys_is_refused():
    with pytest.raises(ValueError, match="keys"):
        Detector(ResNet(TINY), 3, "fpn", 96, 160)(*batch())
