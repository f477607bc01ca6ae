"""Loading a network and running it with torch: the `models.interface.Model` of every kind of it.

model = load_model("runs/photos")            # or a checkpoint folder, or "efficientnet-lite0"
batch = np.stack([model.preprocess(photo) for photo in photos])
probabilities = model.probabilities(batch)   # [photos, categories]
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from mlimages.errors import InputError, nearest
from mlimages.images.views import evaluation_image
from mlimages.models.interface import ModelCategory
from mlimages.models.network import TagNetwork
from mlimages.training.checkpoint import (
    is_checkpoint,
    load_into,
    newest_checkpoint,
    read_checkpoint,
)
from mlimages.training.device import choose_device
from mlimages.training.state import network_from

logger = logging.getLogger(__name__)

UNTRAINED = "untrained:"
PACKAGED_MODELS = ("efficientnet-lite0",)


@dataclass(frozen=True)
class LoadedModel:
    """A network ready for use, with all that is needed to feed it and to read its answers.

    Attributes:
        name: what `load_model` was asked for.
        categories: the outputs, in order.
        activation: "sigmoid" (categories are judged apart) or "softmax" (they compete).
        feature_dim: length of the vector before the classifier.
        image_size: side of the square input, in pixels.
        module: the network; has `features(x)` and `forward(x)` on float32 [batch, 3, size, size].
        prepare: RGB uint8 [height, width, 3] -> RGB uint8 [size, size, 3].
        mean, scale: the network's input is (pixel - mean) / scale.
        device: where the network lives.
        minimum_side: shorter side, in pixels, to which decoding may shrink large photos. None: it
            must not.
    """

    name: str
    categories: tuple[ModelCategory, ...]
    activation: Literal["sigmoid", "softmax"]
    feature_dim: int
    image_size: int
    module: nn.Module
    prepare: Callable[[np.ndarray], np.ndarray]
    mean: float = 127.5
    scale: float = 127.5
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    minimum_side: int | None = None

    def preprocess(self, image: np.ndarray) -> np.ndarray:
        """RGB uint8 [height, width, 3] -> float32 [3, size, size], as the network wants it."""
        square = self.prepare(image).astype(np.float32)
        return np.ascontiguousarray(((square - self.mean) / self.scale).transpose(2, 0, 1))

    def probabilities(self, batch: np.ndarray) -> np.ndarray:
        """float32 [batch, 3, size, size] -> float32 [batch, categories], each in [0, 1]."""
        logits = self._run(self.module, batch)
        if self.activation == "softmax":
            return torch.softmax(logits, dim=1).cpu().numpy()
        return torch.sigmoid(logits).cpu().numpy()

    def features(self, batch: np.ndarray) -> np.ndarray:
        """float32 [batch, 3, size, size] -> float32 [batch, feature_dim]."""
        return self._run(self.module.features, batch).cpu().numpy()  # type: ignore[arg-type]

    @torch.inference_mode()
    def _run(
        self, function: Callable[[torch.Tensor], torch.Tensor], batch: np.ndarray
    ) -> torch.Tensor:
        images = torch.from_numpy(batch).to(self.device)
        return function(images.contiguous(memory_format=torch.channels_last)).float()


def load_model(spec: str | Path, device: str = "cpu") -> LoadedModel:
    """Load a model by name or place.

    Args:
        spec: a run folder (its newest intact checkpoint), a checkpoint folder, a packaged model
            such as "efficientnet-lite0", or "untrained:" followed by any of these for the same
            architecture with random weights (seed 0).
        device: "cpu", "cuda", or "auto" for whichever is there.

    Raises:
        InputError: there is no such model.
        CheckpointError: the run holds no intact checkpoint.
        MissingExtraError: a packaged model's weights are not installed.
    """
    name = str(spec)
    trained = not name.startswith(UNTRAINED)
    target = name.removeprefix(UNTRAINED)
    where = choose_device(device)
    if target in PACKAGED_MODELS:
        return _load_efficientnet_lite(name, trained, where)
    if not Path(target).is_dir():
        raise InputError(
            target, "no such run or model", nearest(target, PACKAGED_MODELS) + " or a run folder"
        )
    return _load_checkpoint(name, Path(target), trained, where)


def _load_efficientnet_lite(name: str, trained: bool, device: torch.device) -> LoadedModel:
    from mlimages.models import efficientnet_lite, lite_package

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module: Any = efficientnet_lite.build(pretrained=trained)
    module = module.eval().to(device, memory_format=torch.channels_last)
    return LoadedModel(
        name=name,
        categories=lite_package.categories(),
        activation="softmax",
        feature_dim=lite_package.FEATURE_DIM,
        image_size=lite_package.IMAGE_SIZE,
        module=module,
        prepare=lite_package.prepare,
        mean=lite_package.MEAN,
        scale=lite_package.SCALE,
        device=device,
        minimum_side=lite_package.MINIMUM_SIDE,
    )


def _load_checkpoint(name: str, folder: Path, trained: bool, device: torch.device) -> LoadedModel:
    checkpoint = read_checkpoint(folder) if is_checkpoint(folder) else newest_checkpoint(folder)
    if checkpoint is None:
        raise InputError(folder, "holds no checkpoint", "name a run of: mlimages train")
    network = network_from(checkpoint.model, checkpoint.folder)
    if trained:
        load_into(network, checkpoint.model_tensors(), checkpoint.folder)
    network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return loaded_network(name, network, checkpoint.model, device)


def loaded_network(
    name: str, network: TagNetwork, model: dict[str, Any], device: torch.device
) -> LoadedModel:
    """Wrap a network with what its model.json says; the network must be in evaluation mode."""
    preprocessing = model["preprocessing"]
    size, fraction = int(preprocessing["image_size"]), float(preprocessing["crop_fraction"])
    categories = tuple(
        ModelCategory(entry["key"], entry["name"], tuple(entry["parents"]))
        for entry in model["categories"]
    )
    return LoadedModel(
        name=name,
        categories=categories,
        activation=model["activation"],
        feature_dim=network.feature_dim,
        image_size=size,
        module=network,
        prepare=partial(evaluation_image, size=size, crop_fraction=fraction),
        mean=float(preprocessing["mean"]),
        scale=float(preprocessing["scale"]),
        device=device,
        minimum_side=math.ceil(size / fraction),
    )
