"""DeepLab v3 and v3+ on any backbone.

Chen et al., "Rethinking Atrous Convolution", 2017, and "Encoder-Decoder with Atrous Separable
Convolution", ECCV 2018. The head looks at the last level, of stride 16 or 8, through convolutions
of several dilations (torchvision's ASPP). v3 makes the scores there; v3+ first joins them with the
level of stride 4, which knows where edges are. Scores are resized to the image by bilinear
interpolation.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.segmentation.deeplabv3 import ASPP

from mlimages.models.backbone import Backbone

SegmenterKind = Literal["v3", "v3plus"]
_CHANNELS = 256
_EDGE_CHANNELS = 48


class Segmenter(nn.Module):
    """[batch, 3, height, width] in [-1, 1] -> scores [batch, num_classes, height, width].

    Args:
        backbone: whose last level has the stride 16 or 8.
        num_classes: background included.
        kind: "v3" or "v3plus".

    Raises:
        ValueError: the backbone's last level is coarser, or for v3plus it has none of stride 4.
    """

    def __init__(self, backbone: Backbone, num_classes: int, kind: SegmenterKind = "v3") -> None:
        super().__init__()
        stride = backbone.strides[-1]
        if stride not in (8, 16):
            raise ValueError(f"the last level has stride {stride}; build it with 16 or 8")
        self.backbone, self.kind = backbone, kind
        rates = [6, 12, 18] if stride == 16 else [12, 24, 36]
        self.context = ASPP(backbone.channels[-1], rates, _CHANNELS)
        channels = _CHANNELS
        if kind == "v3plus":
            if 4 not in backbone.strides:
                raise ValueError("the backbone has no level of stride 4")
            self.fine = backbone.strides.index(4)
            self.edges = _convolution(backbone.channels[self.fine], _EDGE_CHANNELS, 1)
            channels += _EDGE_CHANNELS
        self.head = nn.Sequential(
            _convolution(channels, _CHANNELS, 3),
            *([_convolution(_CHANNELS, _CHANNELS, 3)] if kind == "v3plus" else []),
            nn.Conv2d(_CHANNELS, num_classes, 1),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """See the class."""
        levels = self.backbone.levels(images)
        x = self.context(levels[-1])
        if self.kind == "v3plus":
            edges = self.edges(levels[self.fine])
            x = torch.cat([_resize(x, edges.shape[-2:]), edges], dim=1)
        return _resize(self.head(x), images.shape[-2:])


def _convolution(channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out_channels, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def _resize(x: torch.Tensor, size: torch.Size) -> torch.Tensor:
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)
