"""What every backbone offers to heads, detectors and segmenters."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import nn


class Backbone(nn.Module, ABC):
    """A network from images to feature maps.

    Attributes:
        channels: of each level.
        strides: pixels of the image per place of each level.
        feature_dim: channels of `feature_map`.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    feature_dim: int

    @abstractmethod
    def levels(self, x: torch.Tensor) -> list[torch.Tensor]:
        """[batch, 3, height, width] -> one map a level, [batch, channels, h, w], finest first."""

    @abstractmethod
    def feature_map(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, 3, height, width] -> [batch, feature_dim, h, w], what a classifier looks at."""

    def pool(self, feature_map: torch.Tensor) -> torch.Tensor:
        """[batch, feature_dim, h, w] -> [batch, feature_dim], one vector an image."""
        return feature_map.mean((2, 3))
