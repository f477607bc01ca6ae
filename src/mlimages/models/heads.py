"""Heads: from a feature map to one logit a category.

- linear: the mean over places, then a fully connected layer. The paper's.
- ml-decoder: Ridnik et al., "ML-Decoder", WACV 2023. A few queries, fewer than categories, look at
  the map by cross-attention; each answers for a group of categories.
- csra: Zhu and Wu, "Residual Attention", ICCV 2021. Every category has its own attention over
  places, by its own score there, added to the mean.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from mlimages.models.resnet import variance_scaling

HeadName = Literal["linear", "ml-decoder", "csra"]
PRIOR_SCALE = 0.003  # of the classifier's weights beside a bias that already says the most


class Head(nn.Module, ABC):
    """[batch, feature_dim, h, w] -> logits [batch, num_classes]; `bias` is added to the logits."""

    bias: nn.Parameter

    @torch.no_grad()
    def start_at_prior(self, prior: torch.Tensor) -> None:
        """Make an untrained head predict each category's frequency.

        The bias becomes log(prior / (1 - prior)), and the last weights small, so that the first
        steps are not spent on learning that most categories are rare. It draws no random numbers.

        Args:
            prior: [num_classes], each strictly between 0 and 1.
        """
        self.bias.copy_(torch.log(prior / (1 - prior)))
        self.last_weight().mul_(math.sqrt(PRIOR_SCALE))

    @abstractmethod
    def last_weight(self) -> torch.Tensor:
        """The weights from which the logits are summed."""


class LinearHead(Head):
    """The mean over places, then a fully connected layer."""

    def __init__(self, feature_dim: int, num_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_classes, feature_dim))
        self.bias = nn.Parameter(torch.zeros(num_classes))
        variance_scaling(self.weight)

    def last_weight(self) -> torch.Tensor:
        """[num_classes, feature_dim]"""
        return self.weight

    def forward(self, feature_map: torch.Tensor) -> torch.Tensor:
        """See `Head`."""
        return F.linear(feature_map.mean((2, 3)), self.weight, self.bias)


class MLDecoderHead(Head):
    """Queries for groups of categories.

    Args:
        feature_dim: channels of the map.
        num_classes: number of categories, C.
        groups: number of queries G; each answers for ceil(C / G) categories.
        width: channels of queries and of the map as they see it.
        feedforward: hidden channels after the attention.
    """

    queries: torch.Tensor

    def __init__(
        self,
        feature_dim: int,
        num_classes: int,
        groups: int = 100,
        width: int = 768,
        feedforward: int = 2048,
    ) -> None:
        super().__init__()
        self.num_classes, groups = num_classes, min(groups, num_classes)
        self.reduce = nn.Linear(feature_dim, width)
        # Fixed, as the authors found no gain in learning them.
        self.register_buffer("queries", torch.randn(groups, width))
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.attention = nn.MultiheadAttention(width, 8, dropout=0.1, batch_first=True)
        self.dropout = nn.Dropout(0.1)
        self.feedforward = nn.Sequential(
            nn.Linear(width, feedforward), nn.ReLU(), nn.Dropout(0.1), nn.Linear(feedforward, width)
        )
        each = math.ceil(num_classes / groups)
        self.weight = nn.Parameter(torch.empty(groups, width, each))
        self.bias = nn.Parameter(torch.zeros(num_classes))
        nn.init.xavier_normal_(self.weight)

    def last_weight(self) -> torch.Tensor:
        """[groups, width, categories of a group]"""
        return self.weight

    def forward(self, feature_map: torch.Tensor) -> torch.Tensor:
        """See `Head`."""
        memory = F.relu(self.reduce(feature_map.flatten(2).transpose(1, 2)))  # [B, hw, width]
        queries = self.norm1(2 * self.queries).expand(len(memory), -1, -1)  # [B, G, width]
        seen, _ = self.attention(queries, memory, memory, need_weights=False)
        x = self.norm2(queries + self.dropout(seen))
        x = self.norm3(x + self.dropout(self.feedforward(x)))
        logits = torch.einsum("bgw,gwc->bgc", x, self.weight).flatten(1)
        return logits[:, : self.num_classes] + self.bias


class CSRAHead(LinearHead):
    """Class-specific residual attention.

    Args:
        feature_dim: channels of the map.
        num_classes: number of categories.
        attention: weight of the attended score beside the mean.
        temperature: of the softmax over places; larger looks at fewer places.
    """

    def __init__(
        self,
        feature_dim: int,
        num_classes: int,
        attention: float = 0.1,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(feature_dim, num_classes)
        self.attention, self.temperature = attention, temperature

    def forward(self, feature_map: torch.Tensor) -> torch.Tensor:
        """See `Head`."""
        scores = torch.einsum("bdn,cd->bcn", feature_map.flatten(2), self.weight)  # [B, C, hw]
        places = torch.softmax(scores * self.temperature, dim=2)
        return scores.mean(2) + self.attention * (places * scores).sum(2) + self.bias


HEADS: dict[str, type[Head]] = {
    "linear": LinearHead,
    "ml-decoder": MLDecoderHead,
    "csra": CSRAHead,
}
