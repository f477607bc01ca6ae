"""Faster R-CNN on any backbone, from torchvision's parts.

Ren et al., NIPS 2015. "fpn": regions from a feature pyramid over all levels (Lin et al., CVPR
2017). "c4": from the level of stride 16 alone, with the backbone's last stage as the regions' head,
as the detectors of the paper's time. The input is RGB in [0, 1], images of any sizes; classes are
counted from 1, 0 is none.

Which boxes a step learns from is drawn at random. Here that depends on (seed, step, image) only, so
a resumed run, and any division of a batch, draws the same.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import numpy as np
import torch
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from mlimages.models.backbone import Backbone
from mlimages.models.resnet import ResNet

DetectorKind = Literal["fpn", "c4"]
SAMPLER_STREAM = 5  # keeps these random numbers apart from others keyed by the same seed
_PYRAMID_CHANNELS = 256


class KeyedSampler:
    """Draws positives and negatives of each image, as torchvision's, but by a key of the image.

    Args:
        boxes: drawn from an image.
        positive_share: largest share of positives among them.
        stage: tells samplers of one network apart.
    """

    def __init__(self, boxes: int, positive_share: float, stage: int) -> None:
        self.boxes, self.positive_share, self.stage = boxes, positive_share, stage
        self.keys: list[tuple[int, int, int]] = []  # (seed, step, image) of each image

    def __call__(
        self, matched: list[torch.Tensor]
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Masks of the drawn positives and negatives, one a proposal, for each image."""
        if len(self.keys) != len(matched):
            raise ValueError("set the keys of all images before the step")
        positives, negatives = [], []
        for labels, (seed, step, image) in zip(matched, self.keys, strict=True):
            bits = np.random.Philox(
                key=[seed, image], counter=[step, self.stage, 0, SAMPLER_STREAM]
            )
            generator = np.random.Generator(bits)
            above = torch.where(labels >= 1)[0]
            below = torch.where(labels == 0)[0]
            count = min(len(above), int(self.boxes * self.positive_share))
            masks = []
            for places, wanted in ((above, count), (below, min(len(below), self.boxes - count))):
                drawn = generator.permutation(len(places))[:wanted]
                mask = torch.zeros_like(labels, dtype=torch.uint8)
                mask[places[torch.from_numpy(drawn).to(places.device)]] = 1
                masks.append(mask)
            positives.append(masks[0])
            negatives.append(masks[1])
        return positives, negatives


class Detector(FasterRCNN):
    """A detector; torchvision's interface, with the keys of its random draws.

    Args:
        backbone: with levels of strides 4 to 32.
        num_classes: without the background.
        kind: "fpn" or "c4" (only on the paper's network, whose stages can be taken apart).
        short_side: to which images are resized.
        long_side: which they do not exceed then.
    """

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        kind: DetectorKind = "fpn",
        short_side: int = 600,
        long_side: int = 1000,
    ) -> None:
        sides: dict[str, int] = {"min_size": short_side, "max_size": long_side}
        scale: dict[str, list[float]] = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
        if kind == "fpn":
            super().__init__(_Pyramid(backbone), num_classes + 1, **sides, **scale)
        else:
            if not isinstance(backbone, ResNet):
                raise ValueError("c4 takes the paper's network apart; use fpn")
            parts = {
                "rpn_anchor_generator": AnchorGenerator(((64, 128, 256, 512),), ((0.5, 1.0, 2.0),)),
                "box_roi_pool": MultiScaleRoIAlign(["2"], output_size=14, sampling_ratio=2),
                "box_head": _LastStage(backbone),
                "box_predictor": _Predictor(backbone.feature_dim, num_classes + 1),
            }
            super().__init__(_Stride16(backbone), **parts, **sides, **scale)
        self.rpn.fg_bg_sampler = KeyedSampler(256, 0.5, 0)
        self.roi_heads.fg_bg_sampler = KeyedSampler(512 if kind == "fpn" else 128, 0.25, 1)

    def set_keys(self, seed: int, step: int, images: list[int]) -> None:
        """Before a step: what its draws depend on.

        Args:
            seed: of the run.
            step: number of the update.
            images: a number of each image of the batch, such as its row.
        """
        keys = [(seed, step, image) for image in images]
        self.rpn.fg_bg_sampler.keys = self.roi_heads.fg_bg_sampler.keys = keys


class _Pyramid(nn.Module):
    """All levels of a backbone as a feature pyramid."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.body = backbone
        channels = list(backbone.channels[-4:])
        self.pyramid = FeaturePyramidNetwork(
            channels, _PYRAMID_CHANNELS, extra_blocks=LastLevelMaxPool()
        )
        self.out_channels = _PYRAMID_CHANNELS

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        levels = self.body.levels(x)[-4:]
        return self.pyramid(OrderedDict((str(i), level) for i, level in enumerate(levels)))


class _Stride16(nn.Module):
    """The paper's network up to its third stage."""

    def __init__(self, backbone: ResNet) -> None:
        super().__init__()
        self.stem, self.stages = backbone.stem, backbone.stages[:3]
        self.out_channels = backbone.channels[2]

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return {"2": x}


class _LastStage(nn.Module):
    """Its fourth stage on the pooled regions, averaged."""

    def __init__(self, backbone: ResNet) -> None:
        super().__init__()
        self.stage, self.norm = backbone.stages[3], backbone.norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.norm(self.stage(x))).mean((2, 3))


class _Predictor(nn.Module):
    """Class scores and boxes of each region."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(channels, num_classes)
        self.bbox_pred = nn.Linear(channels, 4 * num_classes)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.cls_score(x), self.bbox_pred(x)
