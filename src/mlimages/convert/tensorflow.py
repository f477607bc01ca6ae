"""Between the released TensorFlow checkpoints and ours, without TensorFlow.

The released networks are `models.resnet` by other names. A convolution `S/conv2d/kernel` is
[height, width, in, out], a dense kernel [in, out]; a normalisation has `gamma`, `beta`,
`moving_mean` and `moving_variance`. S is, from image to classes:

    init/init_conv
    stages_I_block_J/conv1_b1[_bn]             the shortcut of a stage's first block
    stages_I_block_J/conv{1,2,3}_b2[_bn]       the branch
    global_pool/bn, logits/dense

Beside them a checkpoint may hold momentum (`.../Momentum`), `global_step`, and the loss's counters,
which have no names of their own (`Variable`, `Variable_1`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch

from mlimages.convert.tensor_bundle import TensorBundle, write_bundle
from mlimages.errors import CheckpointError, InputError
from mlimages.models.lite_package import imagenet_keys
from mlimages.models.network import NetworkConfig, TagNetwork
from mlimages.models.resnet import STAGE_BLOCKS, Bottleneck, ResNet, ResNetConfig
from mlimages.taxonomy.categories import Taxonomy
from mlimages.training.checkpoint import (
    is_checkpoint,
    newest_checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from mlimages.training.state import describe_network, network_from

IMAGE_SIZE, CROP_FRACTION = 224, 224 / 256  # shorter side to 256, the middle 224, as released
IMAGENET_CLASSES = 1000
RELEASED = {depth: blocks for depth, blocks in STAGE_BLOCKS.items() if depth >= 50}
KERNEL = "logits/dense/kernel"
MOMENTUM = "/Momentum"
MOMENTA = "optimizer.momentum_buffer."
_NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


@dataclass(frozen=True)
class ConversionReport:
    """What became of a checkpoint's tensors; found = used + momentum + left_out.

    Attributes:
        depth: layers of the network.
        outputs: categories of its classifier.
        step: updates done, by its `global_step`; 0 without one.
        found: tensors in the checkpoint.
        used: of these, weights and statistics of the network.
        momentum: momenta, which are kept for training on.
        left_out: names of the others: counters, and what is no part of the network.
        folder: where the converted checkpoint is.
    """

    depth: int
    outputs: int
    step: int
    found: int
    used: int
    momentum: int
    left_out: list[str]
    folder: Path


def from_tensorflow(
    prefix: Path | str,
    out: Path,
    taxonomy: Taxonomy,
    keys: Sequence[str] | None = None,
    activation: Literal["sigmoid", "softmax"] | None = None,
) -> ConversionReport:
    """Convert a released checkpoint into a run folder that every command takes as a model.

    Args:
        prefix: of PREFIX.index and PREFIX.data-...
        out: the run's folder.
        taxonomy: tells names and parents of the outputs.
        keys: categories of the outputs, in order. By default the released vocabulary for 11,166
            outputs, and the classes of ILSVRC-2012 for 1,000.
        activation: "sigmoid" for many tags an image, "softmax" for one; by default softmax for
            1,000 outputs, which the released code fine-tuned so.

    Raises:
        CheckpointError: a file is missing or damaged, or holds another network.
        InputError: there are more or fewer categories than outputs.
        StorageError: the disk is full or not writable.
    """
    bundle = TensorBundle(prefix)
    network = _network_of(bundle)
    outputs = network.num_classes
    if keys is None:
        keys = imagenet_keys() if outputs == IMAGENET_CLASSES else _released_keys(taxonomy)
    if len(keys) != outputs:
        raise InputError(
            bundle.prefix,
            f"has {outputs:,} outputs, and {len(keys):,} categories are named",
            "name its own, one key a line, with --categories",
        )
    if activation is None:
        activation = "softmax" if outputs == IMAGENET_CLASSES else "sigmoid"
    model = describe_network(
        network.config, activation, IMAGE_SIZE, CROP_FRACTION, _categories(taxonomy, keys)
    )
    model["origin"] = {"format": "tensorflow", "name": bundle.prefix.name}
    tensors = {name: _read(bundle, place) for name, place in _places(network)}
    for name in network.state_dict():
        if name.endswith("num_batches_tracked"):
            tensors[name] = torch.zeros((), dtype=torch.int64)
    momentum = {
        f"{MOMENTA}{name}": _read(bundle, place, MOMENTUM)
        for name, place in _places(network)
        if place.variable + MOMENTUM in bundle.entries
    }
    step = int(bundle.read("global_step")) if "global_step" in bundle.entries else 0
    used = {place.variable for _, place in _places(network)}
    left_out = [
        name
        for name in bundle.entries
        if name not in used and name.removesuffix(MOMENTUM) not in used and name != "global_step"
    ]
    folder = write_checkpoint(out, model, tensors, {"step": step}, momentum, keep=1)
    found = len(bundle.entries) - ("global_step" in bundle.entries)
    return ConversionReport(
        *(_resnet(network).config.depth, outputs, step, found),
        *(len(used), len(momentum), sorted(left_out), folder),
    )


def to_tensorflow(source: Path, prefix: Path) -> int:
    """Write a checkpoint as the released code names its tensors.

    Args:
        source: a run (its newest intact checkpoint) or a checkpoint of our ResNet.
        prefix: of the files to write.

    Returns:
        The number of tensors written.

    Raises:
        CheckpointError: there is no intact checkpoint, or it is of a network of another form.
        StorageError: the disk is full or not writable.
    """
    found = read_checkpoint(source) if is_checkpoint(source) else newest_checkpoint(source)
    if found is None:
        raise InputError(source, "holds no checkpoint", "name a run of: mlimages train")
    network = network_from(found.model, found.folder)
    backbone, shapes = network.config.backbone, [ResNetConfig(depth) for depth in RELEASED]
    if isinstance(backbone, ResNetConfig):  # the momentum of the statistics is no matter of form
        backbone = replace(backbone, batch_norm_momentum=ResNetConfig.batch_norm_momentum)
    if backbone not in shapes or network.config.head != "linear":
        cause = "is of a network that the released code does not know"
        raise CheckpointError(found.folder, cause, f"train one of depth {sorted(RELEASED)}")
    ours, training = found.model_tensors(), found.training_tensors()
    written = {"global_step": np.array(found.step, np.int64)}
    for name, place in _places(network):
        written[place.variable] = _turned_back(ours[name], place)
        momentum = training.get(f"{MOMENTA}{name}")
        if momentum is not None:
            written[place.variable + MOMENTUM] = _turned_back(momentum, place)
    write_bundle(prefix, written)
    return len(written)


@dataclass(frozen=True)
class _Place:
    """A variable, and the order of its dimensions in ours."""

    variable: str
    dimensions: tuple[int, ...]


def _resnet(network: TagNetwork) -> ResNet:
    return cast(ResNet, network.backbone)


def _places(network: TagNetwork) -> Iterator[tuple[str, _Place]]:
    """(our name, TensorFlow's place) of every weight and statistic of a network."""
    yield "backbone.stem.weight", _Place("init/init_conv/conv2d/kernel", (3, 2, 0, 1))
    for i, stage in enumerate(_resnet(network).stages):
        for j, block in enumerate(cast(Iterable[Bottleneck], stage)):
            yield from _block_places(f"backbone.stages.{i}.{j}.", f"stages_{i}_block_{j}/", block)
    yield from _norm_places("backbone.norm", "global_pool/bn")
    yield "head.weight", _Place(KERNEL, (1, 0))
    yield "head.bias", _Place("logits/dense/bias", (0,))


def _block_places(ours: str, scope: str, block: Bottleneck) -> Iterator[tuple[str, _Place]]:
    branches = [(f"norm{n}", f"conv{n}", f"conv{n}_b2") for n in (1, 2, 3)]
    if block.projects:
        branches.append(("shortcut_norm", "shortcut", "conv1_b1"))
    for norm, convolution, name in branches:
        yield from _norm_places(f"{ours}{norm}", f"{scope}{name}_bn")
        yield f"{ours}{convolution}.weight", _Place(f"{scope}{name}/conv2d/kernel", (3, 2, 0, 1))


def _norm_places(ours: str, scope: str) -> Iterator[tuple[str, _Place]]:
    for name, variable in _NORM.items():
        yield f"{ours}.{name}", _Place(f"{scope}/batch_normalization/{variable}", (0,))


def _network_of(bundle: TensorBundle) -> TagNetwork:
    """The network whose variables a checkpoint holds, all of them and of the right shapes."""
    blocks = tuple(_num_blocks(bundle.entries, stage) for stage in range(4))
    depth = next((depth for depth, known in RELEASED.items() if known == blocks), None)
    if depth is None or KERNEL not in bundle.entries:
        cause = f"holds none of the released networks (blocks of its stages: {blocks})"
        action = f"convert one of depth {', '.join(map(str, RELEASED))}"
        raise CheckpointError(bundle.prefix, cause, action)
    kernel = bundle.entries[KERNEL].shape
    if len(kernel) != 2 or not 1 <= kernel[1] <= 1_000_000:
        cause = f"its classifier has the shape {kernel}"
        raise CheckpointError(bundle.index, cause, "download it again, all its files")
    # Without memory for the weights: they are to come from the checkpoint.
    with torch.device("meta"):
        network = TagNetwork(NetworkConfig(ResNetConfig(depth)), kernel[1])
    shapes = network.state_dict()
    for name, place in _places(network):
        entry = bundle.entries.get(place.variable)
        wanted = [0] * len(place.dimensions)
        for ours, theirs in enumerate(place.dimensions):
            wanted[theirs] = shapes[name].shape[ours]
        if entry is None or entry.shape != tuple(wanted):
            has = "is missing" if entry is None else f"has the shape {entry.shape}, not {wanted}"
            raise CheckpointError(bundle.prefix, f"{place.variable} {has}", "convert another one")
    return network


def _num_blocks(names: Iterable[str], stage: int) -> int:
    found = {m[1] for name in names if (m := re.match(rf"stages_{stage}_block_(\d+)/", name))}
    return len(found)


def _read(bundle: TensorBundle, place: _Place, suffix: str = "") -> torch.Tensor:
    array = bundle.read(place.variable + suffix)
    if array.ndim != len(place.dimensions):
        cause = f"{place.variable + suffix} has the shape {array.shape}"
        raise CheckpointError(bundle.prefix, cause, "convert another one")
    return torch.from_numpy(array.transpose(place.dimensions).astype(np.float32, order="C"))


def _turned_back(tensor: torch.Tensor, place: _Place) -> np.ndarray:
    back = np.argsort(place.dimensions)
    return np.ascontiguousarray(tensor.float().numpy().transpose(back))


def _released_keys(taxonomy: Taxonomy) -> list[str]:
    return [category.key for category in taxonomy.categories]


def _categories(taxonomy: Taxonomy, keys: Sequence[str]) -> list[dict[str, Any]]:
    hierarchy = taxonomy.hierarchy("wordnet")
    described = []
    for key in keys:
        index = taxonomy.index(key)
        category = taxonomy.categories[index]
        parents = [taxonomy.categories[parent].key for parent in hierarchy.parents_of(index)]
        described.append({"key": key, "name": category.name, "parents": parents})
    return described
