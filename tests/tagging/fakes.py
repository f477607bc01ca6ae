"""Models small enough to reason about: their features are a photo's mean colour."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import nn

from mlimages.models.interface import ModelCategory
from mlimages.training.inference import LoadedModel

SIZE = 8
RED, GREEN, BLUE = (230, 20, 20), (20, 230, 20), (20, 20, 230)


class ColourNetwork(nn.Module):
    """Features are the mean of each channel; output i is ten times channel i modulo 3."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        channels = torch.arange(self.num_classes) % 3
        return 10 * self.features(images)[:, channels]


def colour_model(
    categories: Sequence[ModelCategory], activation: Literal["sigmoid", "softmax"] = "softmax"
) -> LoadedModel:
    return LoadedModel(
        name="colours",
        categories=tuple(categories),
        activation=activation,
        feature_dim=3,
        image_size=SIZE,
        module=ColourNetwork(len(categories)),
        prepare=lambda image: image[:SIZE, :SIZE],
        mean=127.5,
        scale=127.5,
    )


def paint(path: Path, colour: tuple[int, int, int]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((16, 12, 3), colour, np.uint8)).save(path)
    return path
