"""Released checkpoints become models: equal to TensorFlow's own outputs, and back again."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mlimages.cli import run
from mlimages.convert.tensor_bundle import TensorBundle, write_bundle
from mlimages.convert.tensorflow import KERNEL, MOMENTA, from_tensorflow, to_tensorflow
from mlimages.errors import CheckpointError, InputError
from mlimages.models.network import NetworkConfig, TagNetwork
from mlimages.models.resnet import ResNetConfig
from mlimages.taxonomy.categories import Taxonomy, released_taxonomy
from mlimages.training.checkpoint import newest_checkpoint, write_checkpoint
from mlimages.training.inference import load_model
from mlimages.training.state import describe_network

ORACLE = Path(__file__).with_name("tensorflow_oracle.py")
KEYS = ["n02084071", "n02121620", "n04285146"]


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return released_taxonomy()


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet-50 of three outputs as the released code would save it, counters included."""
    folder = tmp_path_factory.mktemp("released")
    network = TagNetwork(NetworkConfig(ResNetConfig(50)), len(KEYS))
    categories = [{"key": key, "name": key, "parents": []} for key in KEYS]
    model = describe_network(network.config, "sigmoid", 224, 0.875, categories)
    momentum = {f"{MOMENTA}{name}": p.detach() * 2 for name, p in network.named_parameters()}
    write_checkpoint(folder / "run", model, network.state_dict(), {"step": 42}, momentum, keep=1)
    to_tensorflow(folder / "run", folder / "plain")
    bundle = TensorBundle(folder / "plain")
    tensors = {name: bundle.read(name) for name in bundle.entries}
    tensors |= {"Variable": np.zeros(3, np.float32), "Variable_1": np.ones(3, np.float32)}
    write_bundle(folder / "ckpt", tensors)
    return folder / "ckpt"


def test_a_checkpoint_goes_there_and_back_unchanged(
    released: Path, tmp_path: Path, taxonomy: Taxonomy
) -> None:
    report = from_tensorflow(released, tmp_path / "model", taxonomy, KEYS)
    assert (report.depth, report.outputs, report.step) == (50, 3, 42)
    assert report.left_out == ["Variable", "Variable_1"]
    assert report.found == report.used + report.momentum + 2
    to_tensorflow(tmp_path / "model", tmp_path / "again")
    before, after = TensorBundle(released), TensorBundle(tmp_path / "again")
    assert after.entries.keys() == before.entries.keys() - {"Variable", "Variable_1"}
    for name in after.entries:
        np.testing.assert_array_equal(after.read(name), before.read(name))


def test_the_model_has_the_weights_categories_and_preprocessing(
    released: Path, tmp_path: Path, taxonomy: Taxonomy
) -> None:
    from_tensorflow(released, tmp_path / "model", taxonomy, KEYS)
    original = newest_checkpoint(released.parent / "run")
    assert original is not None
    network = TagNetwork(NetworkConfig(ResNetConfig(50)), 3)
    network.load_state_dict(original.model_tensors())
    model = load_model(tmp_path / "model")
    photo = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    batch = model.preprocess(photo)[None]
    with torch.inference_mode():
        expected = torch.sigmoid(network.eval()(torch.from_numpy(batch))).numpy()
    np.testing.assert_allclose(model.probabilities(batch), expected, atol=1e-6)
    assert [category.key for category in model.categories] == KEYS
    assert model.categories[0].name.startswith("dog")
    assert batch.shape == (1, 3, 224, 224)
    assert batch.min() >= -1
    assert batch.max() <= 1


def rewritten(released: Path, folder: Path, **changed: np.ndarray | None) -> Path:
    bundle = TensorBundle(released)
    tensors = {name: bundle.read(name) for name in bundle.entries}
    for name, tensor in changed.items():
        if tensor is None:
            del tensors[name]
        else:
            tensors[name] = tensor
    write_bundle(folder / "changed", tensors)
    return folder / "changed"


def test_a_checkpoint_with_a_missing_or_misshapen_tensor_is_refused(
    released: Path, tmp_path: Path, taxonomy: Taxonomy
) -> None:
    name = "stages_1_block_2/conv2_b2/conv2d/kernel"
    for tensor, message in ((None, "is missing"), (np.zeros((1, 2), np.float32), "has the shape")):
        prefix = rewritten(released, tmp_path, **{name: tensor})
        with pytest.raises(CheckpointError, match=f"{name} {message}"):
            from_tensorflow(prefix, tmp_path / "model", taxonomy, KEYS)
    prefix = rewritten(released, tmp_path, **{KERNEL: None})
    with pytest.raises(CheckpointError, match="none of the released networks"):
        from_tensorflow(prefix, tmp_path / "model", taxonomy, KEYS)
    assert not (tmp_path / "model").exists()


def test_another_number_of_categories_is_refused(
    released: Path, tmp_path: Path, taxonomy: Taxonomy
) -> None:
    with pytest.raises(InputError, match="3 outputs, and 11,166 categories"):
        from_tensorflow(released, tmp_path / "model", taxonomy)


def test_the_command_line_converts_both_ways(
    released: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "keys.txt").write_text("\n".join(KEYS) + "\n")
    model, prefix = str(tmp_path / "model"), str(tmp_path / "back")
    arguments = ["convert", "from-tensorflow", str(released), model]
    assert run([*arguments, "--categories", str(tmp_path / "keys.txt")]) == 0
    assert "ResNet-50, 3 outputs, step 42" in capsys.readouterr().out
    assert run(["convert", "to-tensorflow", model, prefix]) == 0
    assert TensorBundle(prefix).read("global_step") == 42
    assert run(arguments) == 1
    assert "exists already" in capsys.readouterr().err
    Path(f"{prefix}.index").write_bytes(b"\0" * 100)
    assert run(["convert", "from-tensorflow", prefix, f"{model}2"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "damaged" in error


def tensorflow_python() -> str:
    """An interpreter with TensorFlow: MLIMAGES_TENSORFLOW, or this one."""
    chosen = os.environ.get("MLIMAGES_TENSORFLOW")
    if chosen:
        return chosen
    if importlib.util.find_spec("tensorflow") and importlib.util.find_spec("tf_keras"):
        return sys.executable
    pytest.skip("no TensorFlow: set MLIMAGES_TENSORFLOW to a Python that has it and tf_keras")


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "outputs"), [(50, 1000), (101, 11_166)])
def test_outputs_equal_tensorflows(
    depth: int, outputs: int, tmp_path: Path, taxonomy: Taxonomy
) -> None:
    python, prefix, arrays = tensorflow_python(), tmp_path / "ckpt", tmp_path / "arrays.npz"
    command = [python, str(ORACLE), str(prefix), str(arrays), str(depth), str(outputs)]
    subprocess.run(command, check=True, capture_output=True)
    report = from_tensorflow(prefix, tmp_path / "model", taxonomy)
    assert (report.depth, report.outputs, report.step) == (depth, outputs, 7)
    assert report.left_out == ["Variable", "Variable_1"]
    model, found = load_model(tmp_path / "model"), np.load(arrays)
    assert model.activation == ("softmax" if outputs == 1000 else "sigmoid")
    images = torch.from_numpy(found["images"].transpose(0, 3, 1, 2).copy())
    with torch.inference_mode():
        features, logits = model.module.features(images), model.module(images)  # type: ignore[operator]
    for ours, theirs in ((features, found["features"]), (logits, found["logits"])):
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours.numpy() / scale, theirs / scale, atol=1e-4)
    to_tensorflow(tmp_path / "model", tmp_path / "back")
    command = [python, str(ORACLE), "--read", str(tmp_path / "back"), str(tmp_path / "back.npz")]
    subprocess.run(command, check=True, capture_output=True)
    original = TensorBundle(prefix)
    with np.load(tmp_path / "back.npz") as read_back:
        assert set(read_back.files) == original.entries.keys() - {"Variable", "Variable_1"}
        for name in read_back.files:
            np.testing.assert_array_equal(read_back[name], original.read(name))
