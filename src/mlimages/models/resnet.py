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

STAGE_BLOCKS = {26: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
STAGE_CHANNELS = (256, 512, 1024, 2048)
STEM_CHANNELS = 64
# The standard deviation of a unit normal cut at two deviations: TensorFlow's variance scaling
# divides by it, so that the variance after cutting is the one asked for.
TRUNCATED_DEVIATION = 0.87962566103423978
PRIOR_SCALE = 0.003  # of the classifier's weights beside a bias that already says the most


@dataclass(frozen=True)
class ResNetConfig:
    """What defines a network's shape.

    Attributes:
        num_classes: outputs of the classifier.
        depth: 26, 50, 101 or 152 layers.
        width: factor on all channels, rounded to multiples of 4 (at least 4) in the bottlenecks.
        stem: "paper" (7x7, stride 2) or "small" (3x3, stride 2), for images of about 64 pixels.
        batch_norm_momentum: share of the newest batch in the running statistics; the paper's 0.003
            suits runs of 100,000 steps and more, 0.1 those of a few hundred.
    """

    num_classes: int
    depth: int = 101
    width: float = 1.0
    stem: Literal["paper", "small"] = "paper"
    batch_norm_momentum: float = 0.003

    def __post_init__(self) -> None:
        if self.depth not in STAGE_BLOCKS:
            raise ValueError(f"depth {self.depth}: known are {sorted(STAGE_BLOCKS)}")
        if self.num_classes < 1 or self.width <= 0 or self.stem not in ("paper", "small"):
            raise ValueError(f"impossible network: {self}")

    @property
    def feature_dim(self) -> int:
        """Length of the feature vector before the classifier."""
        return self.stage_channels[-1]

    @property
    def stage_channels(self) -> tuple[int, ...]:
        """Output channels of the four stages; multiples of four times the bottleneck."""
        return tuple(4 * _scaled(channels // 4, self.width) for channels in STAGE_CHANNELS)


def _scaled(channels: int, width: float) -> int:
    return max(4, 4 * round(channels * width / 4))


class Bottleneck(nn.Module):
    """BN-ReLU-1x1, BN-ReLU-3x3, BN-ReLU-1x1, added to the identity or to a projection."""

    def __init__(self, in_channels: int, channels: int, stride: int, momentum: float) -> None:
        super().__init__()
        narrow = channels // 4
        self.projects = stride != 1 or in_channels != channels
        if self.projects:
            self.shortcut_norm = _norm(in_channels, momentum)
            self.shortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False)
        self.norm1 = _norm(in_channels, momentum)
        self.conv1 = nn.Conv2d(in_channels, narrow, 1, bias=False)
        self.norm2 = _norm(narrow, momentum)
        self.conv2 = nn.Conv2d(narrow, narrow, 3, stride, padding=1, bias=False)
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


class ResNet(nn.Module):
    """The network; its input is RGB scaled to [-1, 1], float32 [batch, 3, height, width]."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.config = config
        momentum = config.batch_norm_momentum
        stem_channels = _scaled(STEM_CHANNELS, config.width)
        kernel = 7 if config.stem == "paper" else 3
        self.stem = nn.Conv2d(3, stem_channels, kernel, 2, padding=kernel // 2, bias=False)
        self.stages = nn.ModuleList()
        in_channels = stem_channels
        for blocks, channels in zip(STAGE_BLOCKS[config.depth], config.stage_channels, strict=True):
            stage = nn.Sequential(Bottleneck(in_channels, channels, 2, momentum))
            for _ in range(blocks - 1):
                stage.append(Bottleneck(channels, channels, 1, momentum))
            self.stages.append(stage)
            in_channels = channels
        self.norm = _norm(in_channels, momentum)
        self.classifier = nn.Linear(in_channels, config.num_classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Variance scaling, fan-in, scale 1, truncated normal (TensorFlow's), for all weights."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                _variance_scaling(module.weight)
        nn.init.zeros_(self.classifier.bias)

    @torch.no_grad()
    def start_at_prior(self, prior: torch.Tensor) -> None:
        """Make an untrained network predict each category's frequency.

        The bias becomes log(prior / (1 - prior)), and the classifier's weights small, so that the
        first steps are not spent on learning that most categories are rare.

        It draws no random numbers, so the weights stay those of the seed they were made with.

        Args:
            prior: [num_classes], each strictly between 0 and 1.
        """
        self.classifier.bias.copy_(torch.log(prior / (1 - prior)))
        self.classifier.weight.mul_(math.sqrt(PRIOR_SCALE))

    def levels(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The outputs of the four stages, at strides 4, 8, 16 and 32 (before the last norm)."""
        x = self.stem(x)
        outputs = []
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
        return outputs

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, 3, height, width] -> [batch, feature_dim]: BN-ReLU, then the mean over places."""
        return _relu(self.norm(self.levels(x)[-1])).mean((2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, 3, height, width] -> logits [batch, num_classes]."""
        return self.classifier(self.features(x))


def _variance_scaling(weight: torch.Tensor) -> None:
    fan_in = weight[0].numel()
    deviation = math.sqrt(1 / fan_in) / TRUNCATED_DEVIATION
    nn.init.trunc_normal_(weight, std=deviation, a=-2 * deviation, b=2 * deviation)
