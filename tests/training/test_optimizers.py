"""Optimizers: what decays, how fast layers learn, and that nothing is forgotten over a restart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.training.fakes import FakeDatabase, statistics_of, tiny_recipe

from mlimages.models.network import NetworkConfig, TagNetwork, TimmConfig
from mlimages.models.resnet import ResNetConfig
from mlimages.training.averaging import WeightAverage
from mlimages.training.checkpoint import newest_checkpoint
from mlimages.training.loop import train
from mlimages.training.optimizers import build_optimizer, layers_of, set_rate
from mlimages.training.settings import OptimizerSettings
from mlimages.training.state import build_state
from mlimages.training.update import update

RESNET = NetworkConfig(ResNetConfig(26, 0.0625))


def group_of(optimizer: torch.optim.Optimizer, parameter: torch.Tensor) -> dict:
    return next(g for g in optimizer.param_groups if any(p is parameter for p in g["params"]))


@pytest.mark.parametrize("name", ["sgd", "adamw", "lamb"])
def test_normalisation_does_not_decay_and_biases_only_with_sgd(name):
    network = TagNetwork(RESNET, 3)
    optimizer = build_optimizer(OptimizerSettings(name, weight_decay=0.1), network)
    block = network.backbone.stages[1][0]
    assert group_of(optimizer, block.conv1.weight)["weight_decay"] == 0.1
    assert group_of(optimizer, block.norm1.weight)["weight_decay"] == 0
    assert group_of(optimizer, network.head.bias)["weight_decay"] == (0.1 if name == "sgd" else 0)
    count = sum(len(group["params"]) for group in optimizer.param_groups)
    assert count == len(list(network.parameters()))


def test_with_layer_decay_each_layer_learns_at_a_share_of_the_next():
    network = TagNetwork(RESNET, 3)
    optimizer = build_optimizer(OptimizerSettings(layer_decay=0.5), network)
    set_rate(optimizer, 1.0)
    stages = network.backbone.stages
    expected = {
        network.head.weight: 1.0,
        network.backbone.norm.weight: 1.0,
        stages[3][1].conv1.weight: 0.5,
        stages[3][0].norm2.weight: 0.25,
        stages[0][0].conv1.weight: 0.5**8,
        network.backbone.stem.weight: 0.5**9,
    }
    for parameter, rate in expected.items():
        assert group_of(optimizer, parameter)["lr"] == rate


@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224"])
def test_layers_of_timm_networks_ascend_from_the_image_to_the_head(name):
    network = TagNetwork(NetworkConfig(TimmConfig(name, 32)), 3)
    layers, last = layers_of(network)
    assert layers.keys() == {name for name, _ in network.named_parameters()}
    assert layers["head.weight"] == last
    first = next(name for name in layers if "stem" in name or "conv1" in name or "patch" in name)
    assert layers[first] == 0
    assert len(set(layers.values())) > 4


@pytest.mark.parametrize("name", ["sgd", "adamw", "lamb"])
def test_seven_steps_and_the_rest_equal_all_of_them(name, tmp_path):
    changes = [
        f"optimizer.name={name}",
        "optimizer.learning_rate=0.01",
        "optimizer.layer_decay=0.9",
        "optimizer.average_decay=0.9",
        "optimizer.clip_norm=0.5",
        "schedule.epochs=3",
        "checkpoint.every_steps=4",
        "checkpoint.keep=9",
    ]
    recipe = tiny_recipe(*changes)
    train(FakeDatabase(), recipe, tmp_path / "whole")
    whole = newest_checkpoint(tmp_path / "whole")
    assert whole is not None
    folder = tmp_path / "part"
    train(FakeDatabase(), recipe, folder)
    for late in sorted((folder / "checkpoints").iterdir())[1:]:
        for file in late.iterdir():
            file.unlink()
        late.rmdir()
    (folder / "result.json").unlink()
    train(FakeDatabase(), None, folder, resume=True)
    again = newest_checkpoint(folder)
    assert again is not None
    assert again.step == whole.step > 4
    for ours, theirs in (
        (again.model_tensors(), whole.model_tensors()),
        (again.training_tensors(), whole.training_tensors()),
    ):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_the_average_follows_its_formula_and_is_what_is_saved():
    network = TagNetwork(RESNET, 3)
    average = WeightAverage(network, 0.5)
    expected = network.head.weight.detach().clone()
    for number, decay in ((1, 2 / 11), (2, 3 / 12), (20, 0.5)):
        with torch.no_grad():
            network.head.weight.add_(1.0)
        average.update(network, number)
        expected = decay * expected + (1 - decay) * network.head.weight.detach()
        torch.testing.assert_close(average.tensors["head.weight"], expected)
    own = network.head.weight.detach().clone()
    with average.applied(network):
        assert torch.equal(network.head.weight, average.tensors["head.weight"])
    assert torch.equal(network.head.weight, own)


def test_a_long_gradient_is_shortened_before_the_update():
    from mlimages.training.data import TrainingData

    recipe, cpu = tiny_recipe("optimizer.momentum=0", "optimizer.weight_decay=0"), "cpu"
    changes, norms = [], []
    for clip_norm in (0.0, 0.25):
        state = build_state(recipe, statistics_of([40, 20, 14, 8]), torch.device(cpu))
        before = torch.cat([p.detach().clone().ravel() for p in state.network.parameters()])
        batch = first_batch(recipe, TrainingData)
        _, norm = update(state, batch, 0.1, "float32", clip_norm)
        after = torch.cat([p.detach().ravel() for p in state.network.parameters()])
        changes.append((after - before).norm().item())
        norms.append(norm)
    assert norms[0] == norms[1] > 0.25
    assert changes[0] == pytest.approx(0.1 * norms[0], rel=1e-4)
    assert changes[1] == pytest.approx(0.1 * 0.25, rel=1e-4)


def first_batch(recipe, data):
    from mlimages.training.tags import TagMatrix

    db = FakeDatabase()
    selection = db.select("train")
    tags = TagMatrix(selection, np.arange(4))
    return next(data(db.reader(), selection, tags, recipe).steps(0, 1))


def test_the_learning_rate_is_scaled_with_the_batch():
    settings = OptimizerSettings(learning_rate=0.1, reference_batch=256)
    assert settings.rate_for(1024) == pytest.approx(0.4)
    assert OptimizerSettings(learning_rate=0.1).rate_for(1024) == 0.1
