"""The pre-activation ResNet of Tencent ML-Images.

Wu et al., "Tencent ML-Images", IEEE Access 7, 2019, section on pre-training, after He et al.,
"Identity Mappings in Deep Residual Networks", ECCV 2016. It differs from the v2 networks of the
common libraries in four ways:

- no max-pool: the first block of the first stage has stride 2 instead, so the output stride is 32;
- neither normalisation nor ReLU after the stem's convolution;
- the stride is on the 3x3 convolution;
- a projection shortcut has a batch normalisation and ReLU of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from mlimages.models.backbone import Backbone

STAGE_BLOCKS = {26: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
STAGE_CHANNELS = (256, 512, 1024, 2048)
STEM_CHANNELS = 64
# The standard deviation of a unit normal cut at two deviations: TensorFlow's variance scaling
# divides by it, so that the variance after cutting is the one asked for.
TRUNCATED_DEVIATION = 0.87962566103423978


@dataclass(frozen=True)
class ResNetConfig:
    """What defines a network's shape.

    Attributes:
        depth: 26, 50, 101 or 152 layers.
        width: factor on all channels, rounded to multiples of 4 (at least 4) in the bottlenecks.
        stem: "paper" (7x7, stride 2) or "small" (3x3, stride 2), for images of about 64 pixels.
        batch_norm_momentum: share of the newest batch in the running statistics; the paper's 0.003
            suits runs of 100,000 steps and more, 0.1 those of a few hundred.
        output_stride: 32, or 16 or 8 for dense prediction: the last stages then keep their
            resolution and look wider instead (dilated 3x3 convolutions), with the same weights.
    """

    depth: int = 101
    width: float = 1.0
    stem: Literal["paper", "small"] = "paper"
    batch_norm_momentum: float = 0.003
    output_stride: int = 32

    def __post_init__(self) -> None:
        if self.depth not in STAGE_BLOCKS:
            raise ValueError(f"depth {self.depth}: known are {sorted(STAGE_BLOCKS)}")
        known_stride = self.output_stride in (8, 16, 32)
        if self.width <= 0 or self.stem not in ("paper", "small") or not known_stride:
            raise ValueError(f"impossible network: {self}")

    @property
    def stage_channels(self) -> tuple[int, ...]:
        """Output channels of the four stages; multiples of four times the bottleneck."""
        return tuple(4 * _scaled(channels // 4, self.width) for channels in STAGE_CHANNELS)


def _scaled(channels: int, width: float) -> int:
    return max(4, 4 * round(channels * width / 4))


class Bottleneck(nn.Module):
    """BN-ReLU-1x1, BN-ReLU-3x3, BN-ReLU-1x1, added to the identity or to a projection."""

    def __init__(
        self, in_channels: int, channels: int, stride: int, momentum: float, dilation: int = 1
    ) -> None:
        super().__init__()
        narrow = channels // 4
        self.projects = stride != 1 or in_channels != channels
        if self.projects:
            self.shortcut_norm = _norm(in_channels, momentum)
            self.shortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False)
        self.norm1 = _norm(in_channels, momentum)
        self.conv1 = nn.Conv2d(in_channels, narrow, 1, bias=False)
        self.norm2 = _norm(narrow, momentum)
        self.conv2 = nn.Conv2d(narrow, narrow, 3, stride, dilation, dilation, bias=False)
        self.norm3 = _norm(narrow, momentum)
        self.conv3 = nn.Conv2d(narrow, channels, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, in_channels, h, w] -> [batch, channels, h / stride, w / stride]."""
        shortcut = self.shortcut(_relu(self.shortcut_norm(x))) if self.projects else x
        x = self.conv1(_relu(self.norm1(x)))
        x = self.conv2(_relu(self.norm2(x)))
        return shortcut + self.conv3(_relu(self.norm3(x)))


def _norm(channels: int, momentum: float) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-5, momentum=momentum)


def _relu(x: torch.Tensor) -> torch.Tensor:
    # In place: always on a fresh output of a normalisation, which does not need it afterwards.
    return F.relu(x, inplace=True)


class ResNet(Backbone):
    """The network without a classifier; its input is RGB scaled to [-1, 1]."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.config = config
        momentum = config.batch_norm_momentum
        stem_channels = _scaled(STEM_CHANNELS, config.width)
        kernel = 7 if config.stem == "paper" else 3
        self.stem = nn.Conv2d(3, stem_channels, kernel, 2, padding=kernel // 2, bias=False)
        self.stages = nn.ModuleList()
        in_channels, stride, dilation, strides = stem_channels, 2, 1, []
        for blocks, channels in zip(STAGE_BLOCKS[config.depth], config.stage_channels, strict=True):
            step, first_dilation = 2, dilation
            if stride == config.output_stride:
                step, dilation = 1, 2 * dilation
            stride *= step
            strides.append(stride)
            # The first block of a stage that does not shrink still looks as wide as the one before.
            stage = nn.Sequential(Bottleneck(in_channels, channels, step, momentum, first_dilation))
            for _ in range(blocks - 1):
                stage.append(Bottleneck(channels, channels, 1, momentum, dilation))
            self.stages.append(stage)
            in_channels = channels
        self.norm = _norm(in_channels, momentum)
        self.channels, self.strides = config.stage_channels, tuple(strides)
        self.feature_dim = in_channels
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Variance scaling, fan-in, scale 1, truncated normal (TensorFlow's), for all weights."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                variance_scaling(module.weight)

    def levels(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The outputs of the four stages, the last after BN-ReLU; see `Backbone`."""
        x = self.stem(x)
        outputs = []
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
        return [*outputs[:-1], _relu(self.norm(x))]

    def feature_map(self, x: torch.Tensor) -> torch.Tensor:
        """The last level; see `Backbone`."""
        return self.levels(x)[-1]


def variance_scaling(weight: torch.Tensor) -> None:
    """Draw weights of the variance 1 / fan-in from a normal cut at two deviations."""
    fan_in = weight[0].numel()
    deviation = math.sqrt(1 / fan_in) / TRUNCATED_DEVIATION
    nn.init.trunc_normal_(weight, std=deviation, a=-2 * deviation, b=2 * deviation)
