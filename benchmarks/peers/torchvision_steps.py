"""Torchvision's own detector and segmenter, on its own ResNet, and a step as its references do it.

Source: https://github.com/pytorch/vision/tree/main/references (detection/engine.py,
segmentation/train.py), without logging and without the loaders.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import resnet50
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3

RATE = 0.0  # both sides do the whole update, and stay where they are
VOID = 255


def detector(num_classes: int, short_side: int, long_side: int) -> FasterRCNN:
    """Faster R-CNN on ResNet-50's feature pyramid, all layers learning."""
    backbone = resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=nn.BatchNorm2d, trainable_layers=5
    )
    scale: dict[str, Any] = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    return FasterRCNN(backbone, num_classes + 1, min_size=short_side, max_size=long_side, **scale)


def segmenter(num_classes: int) -> DeepLabV3:
    """DeepLab v3 on ResNet-50 at output stride 16."""
    network = resnet50(weights=None, replace_stride_with_dilation=[False, False, True])
    backbone = IntermediateLayerGetter(network, {"layer4": "out"})
    return DeepLabV3(backbone, DeepLabHead(2048, num_classes, (6, 12, 18)))


class Trainer:
    """A network, SGD with momentum, and a step."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network.train()
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.SGD(weights, lr=RATE, momentum=0.9, weight_decay=1e-4)

    def detector_step(self, samples: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> float:
        """On photos uint8 [height, width, 3], boxes between edges and labels from 1."""
        images = [
            torch.from_numpy(image).permute(2, 0, 1).float().div_(255) for image, _, _ in samples
        ]
        targets = [
            {"boxes": torch.from_numpy(boxes), "labels": torch.from_numpy(labels)}
            for _, boxes, labels in samples
        ]
        losses = self.network(images, targets)
        return self._update(sum(losses.values()))

    def segmenter_step(self, images: np.ndarray, masks: np.ndarray) -> float:
        """On uint8 [batch, height, width, 3] and uint8 [batch, height, width]."""
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float().sub_(127.5).div_(127.5)
        truth = torch.from_numpy(masks).long()
        return self._update(F.cross_entropy(self.network(pixels)["out"], truth, ignore_index=VOID))

    def _update(self, loss: torch.Tensor) -> float:
        value = loss.item()
        if not math.isfinite(value):
            raise SystemExit(f"error: loss {value}")
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return value
