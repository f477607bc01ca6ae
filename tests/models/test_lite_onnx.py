"""EfficientNet-lite0 on onnxruntime: the torch network's answers, without torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import pytest

from mlimages.errors import CheckpointError
from mlimages.models import lite_onnx, lite_package
from mlimages.training import inference


@pytest.fixture(scope="module")
def model() -> lite_onnx.LiteModel:
    return lite_onnx.LiteModel()


def photos() -> np.ndarray:
    datasets = pytest.importorskip("sklearn.datasets")
    images = datasets.load_sample_images().images
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    return [*images, noise]


def test_the_graph_is_valid() -> None:
    weights = lite_package.read_weights(lite_package.packaged_weights())
    onnx.checker.check_model(lite_onnx.build_graph(weights), full_check=True)


def test_answers_and_features_equal_those_of_torch(model: lite_onnx.LiteModel) -> None:
    torch_model = inference.load_model("efficientnet-lite0")
    assert model.categories == torch_model.categories
    assert (model.activation, model.feature_dim, model.minimum_side) == (
        torch_model.activation,
        torch_model.feature_dim,
        torch_model.minimum_side,
    )
    batch = np.stack([model.preprocess(photo) for photo in photos()])
    theirs = np.stack([torch_model.preprocess(photo) for photo in photos()])
    np.testing.assert_array_equal(batch, theirs)
    np.testing.assert_allclose(
        model.probabilities(batch), torch_model.probabilities(batch), atol=1e-4
    )
    np.testing.assert_allclose(model.features(batch), torch_model.features(batch), atol=1e-3)


def test_a_missing_tensor_is_named() -> None:
    weights = lite_package.read_weights(lite_package.packaged_weights())
    del weights["_blocks.3._bn1.running_var"]
    with pytest.raises(CheckpointError, match=r"_blocks\.3\._bn1\.running_var: missing"):
        lite_onnx.build_graph(weights)


def test_tagging_needs_neither_torch_nor_timm() -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['timm'] = sys.modules['cv2'] = None\n"
        "from mlimages.tagging.loading import load_model\n"
        "from mlimages.tagging.tagger import Tagger\n"
        "import numpy as np\n"
        "tagger = Tagger(load_model('efficientnet-lite0'))\n"
        "print(len(list(tagger.tag_images([np.zeros((64, 64, 3), np.uint8)]))))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "1", run.stderr
