"""Any network of timm as a backbone, by its name.

Wightman, PyTorch Image Models. Its input is RGB scaled to [-1, 1] like that of all backbones here;
weights that expect another scale have to be told so by whoever loads them.
"""

from __future__ import annotations

import math

import torch

from mlimages.errors import InputError, nearest, require
from mlimages.models.backbone import Backbone


class TimmBackbone(Backbone):
    """A timm model without its classifier; transformers give their tokens as a map.

    Args:
        name: as timm knows it, such as "resnet50" or "vit_small_patch16_224".
        image_size: side of its input; only models that are built for one size look at it.

    Raises:
        InputError: timm has no such model, or it cannot be built like this.
        MissingExtraError: timm is not installed.
    """

    def __init__(self, name: str, image_size: int = 224) -> None:
        super().__init__()
        timm = require("timm", extra="train")
        if not timm.is_model(name):
            raise InputError(f"model {name}", "timm has none of this name", _hint(timm, name))
        options = {"pretrained": False, "num_classes": 0}
        try:
            self.model = timm.create_model(name, img_size=image_size, **options)
        except TypeError:  # convolutional networks take any size
            self.model = timm.create_model(name, **options)
        info = self.model.feature_info
        self.channels = tuple(info.channels() if hasattr(info, "channels") else _values(info, 0))
        self.strides = tuple(info.reduction() if hasattr(info, "reduction") else _values(info, 1))
        self.feature_dim = int(self.model.num_features)

    def levels(self, x: torch.Tensor) -> list[torch.Tensor]:
        """timm's intermediate features; see `Backbone`."""
        return self.model.forward_intermediates(x, intermediates_only=True)

    def feature_map(self, x: torch.Tensor) -> torch.Tensor:
        """timm's last features; see `Backbone`."""
        found = self.model.forward_features(x)
        if found.ndim == 3:  # tokens [batch, n, channels], behind those that stand for no place
            tokens = found[:, getattr(self.model, "num_prefix_tokens", 0) :]
            side = math.isqrt(tokens.shape[1])
            return tokens.transpose(1, 2).unflatten(2, (side, side))
        return found.movedim(-1, 1) if found.shape[1] != self.feature_dim else found


def _values(info: list[dict], which: int) -> list[int]:
    return [int(level[("num_chs", "reduction")[which]]) for level in info]


def _hint(timm: object, name: str) -> str:
    return nearest(name, timm.list_models())  # type: ignore[attr-defined]
