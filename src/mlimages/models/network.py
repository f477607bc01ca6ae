"""A backbone with a head: what is trained, saved and used."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from mlimages.models.backbone import Backbone
from mlimages.models.heads import HEADS, Head, HeadName
from mlimages.models.resnet import ResNet, ResNetConfig
from mlimages.models.timm_backbone import HALF, TimmBackbone


@dataclass(frozen=True)
class TimmConfig:
    """A backbone of timm; see `TimmBackbone`."""

    name: str
    image_size: int = 224
    output_stride: int = 32
    mean: tuple[float, ...] = HALF
    deviation: tuple[float, ...] = HALF

    def __post_init__(self) -> None:
        for field in ("mean", "deviation"):  # JSON has lists
            object.__setattr__(self, field, tuple(getattr(self, field)))


@dataclass(frozen=True)
class NetworkConfig:
    """What defines a network.

    Attributes:
        backbone: the paper's network, or one of timm.
        head: from its feature map to logits.
    """

    backbone: ResNetConfig | TimmConfig
    head: HeadName = "linear"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for model.json."""
        kind = "resnet" if isinstance(self.backbone, ResNetConfig) else "timm"
        return {"kind": kind, "head": self.head, "backbone": asdict(self.backbone)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> NetworkConfig:
        """The inverse of `to_dict`; raises KeyError, TypeError or ValueError."""
        kinds: dict[str, type[Any]] = {"resnet": ResNetConfig, "timm": TimmConfig}
        if values["head"] not in HEADS:
            raise ValueError(f"unknown head {values['head']}")
        return cls(kinds[values["kind"]](**values["backbone"]), values["head"])


class TagNetwork(nn.Module):
    """Images to one logit a category; the input is RGB scaled to [-1, 1]."""

    def __init__(self, config: NetworkConfig, num_classes: int) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError("a network needs at least one category")
        self.config, self.num_classes = config, num_classes
        self.backbone = build_backbone(config.backbone)
        self.head: Head = HEADS[config.head](self.backbone.feature_dim, num_classes)

    @property
    def feature_dim(self) -> int:
        """Length of the feature vector."""
        return self.backbone.feature_dim

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, 3, height, width] -> [batch, feature_dim], one vector an image."""
        return self.backbone.pool(self.backbone.feature_map(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, 3, height, width] -> logits [batch, num_classes]."""
        return self.head(self.backbone.feature_map(x))


def build_backbone(config: ResNetConfig | TimmConfig) -> Backbone:
    """An untrained backbone."""
    if isinstance(config, ResNetConfig):
        return ResNet(config)
    return TimmBackbone(**asdict(config))
