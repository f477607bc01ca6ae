"""Any network of timm as a backbone, by its name.

Wightman, PyTorch Image Models. Its input is RGB scaled to [-1, 1] like that of all backbones here,
and is brought to the scale that the weights expect.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from mlimages.errors import InputError, nearest, require
from mlimages.models.backbone import Backbone

HALF = (0.5, 0.5, 0.5)  # the scale of inputs in [-1, 1]


class TimmBackbone(Backbone):
    """A timm model without its classifier; transformers give their tokens as a map.

    Args:
        name: as timm knows it, such as "resnet50" or "vit_small_patch16_224".
        image_size: side of its input; only models that are built for one size look at it.
        output_stride: 32, or 16 or 8 for dense prediction; only convolutional networks have others.
        mean, deviation: of each channel, in [0, 1], by which the weights expect their input scaled.

    Raises:
        InputError: timm has no such model, or it cannot be built like this.
        MissingExtraError: timm is not installed.
    """

    factor: torch.Tensor
    shift: torch.Tensor

    def __init__(
        self,
        name: str,
        image_size: int = 224,
        output_stride: int = 32,
        mean: tuple[float, ...] = HALF,
        deviation: tuple[float, ...] = HALF,
    ) -> None:
        super().__init__()
        timm = require("timm", extra="train")
        if not timm.is_model(name):
            raise InputError(f"model {name}", "timm has none of this name", _hint(timm, name))
        options: dict[str, Any] = {"pretrained": False, "num_classes": 0}
        if output_stride != 32:
            options["output_stride"] = output_stride
        try:
            self.model = timm.create_model(name, img_size=image_size, **options)
        except TypeError:  # convolutional networks take any size
            self.model = self._convolutional(timm, name, options)
        info = self.model.feature_info
        self.channels = tuple(info.channels() if hasattr(info, "channels") else _values(info, 0))
        self.strides = tuple(info.reduction() if hasattr(info, "reduction") else _values(info, 1))
        self.feature_dim = int(self.model.num_features)
        # From [-1, 1] to what the weights expect: (x / 2 + 1 / 2 - mean) / deviation.
        self.scaled = (mean, deviation) != (HALF, HALF)
        factor, shift = (torch.tensor(v).reshape(1, -1, 1, 1) for v in _affine(mean, deviation))
        self.register_buffer("factor", factor, persistent=False)
        self.register_buffer("shift", shift, persistent=False)

    @staticmethod
    def _convolutional(timm: Any, name: str, options: dict[str, Any]) -> Any:
        try:
            return timm.create_model(name, **options)
        except TypeError:
            stride = options.get("output_stride")
            raise InputError(
                f"model {name}", f"cannot be built with output stride {stride}", "name another"
            ) from None

    def _rescaled(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor + self.shift if self.scaled else x

    def levels(self, x: torch.Tensor) -> list[torch.Tensor]:
        """timm's intermediate features; see `Backbone`."""
        return self.model.forward_intermediates(self._rescaled(x), intermediates_only=True)

    def feature_map(self, x: torch.Tensor) -> torch.Tensor:
        """timm's last features; see `Backbone`."""
        found = self.model.forward_features(self._rescaled(x))
        if found.ndim == 3:  # tokens [batch, n, channels], behind those that stand for no place
            tokens = found[:, getattr(self.model, "num_prefix_tokens", 0) :]
            side = math.isqrt(tokens.shape[1])
            return tokens.transpose(1, 2).unflatten(2, (side, side))
        return found.movedim(-1, 1) if found.shape[1] != self.feature_dim else found


def _affine(mean: tuple[float, ...], deviation: tuple[float, ...]) -> tuple[list, list]:
    pairs = list(zip(mean, deviation, strict=True))
    return [0.5 / d for _, d in pairs], [(0.5 - m) / d for m, d in pairs]


def _values(info: list[dict], which: int) -> list[int]:
    return [int(level[("num_chs", "reduction")[which]]) for level in info]


def _hint(timm: object, name: str) -> str:
    return nearest(name, timm.list_models())  # type: ignore[attr-defined]
