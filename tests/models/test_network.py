"""Backbones of timm beside the paper's: maps, vectors, levels and descriptions."""

from __future__ import annotations

import pytest
import torch

from mlimages.errors import InputError
from mlimages.models.network import NetworkConfig, TagNetwork, TimmConfig
from mlimages.models.resnet import ResNetConfig

TIMM = ["resnet10t", "efficientnet_lite0", "vit_tiny_patch16_224", "mobilenetv3_small_050"]


@pytest.mark.parametrize("name", TIMM)
def test_timm_models_give_maps_vectors_and_levels(name):
    network = TagNetwork(NetworkConfig(TimmConfig(name, 96)), 5).eval()
    x = torch.randn(2, 3, 96, 96)
    feature_map = network.backbone.feature_map(x)
    assert feature_map.shape[:2] == (2, network.feature_dim)
    assert feature_map.ndim == 4
    torch.testing.assert_close(network.features(x), feature_map.mean((2, 3)))
    assert network(x).shape == (2, 5)
    levels = network.backbone.levels(x)
    assert [level.shape[1] for level in levels] == list(network.backbone.channels)
    strides = [96 // level.shape[-1] for level in levels]
    assert strides == list(network.backbone.strides)


def test_an_unknown_model_is_named_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'resnet50'"):
        TagNetwork(NetworkConfig(TimmConfig("resnet_50")), 5)


@pytest.mark.parametrize("backbone", [ResNetConfig(26, 0.25), TimmConfig("resnet10t", 64)])
def test_a_network_is_rebuilt_from_its_description(backbone):
    config = NetworkConfig(backbone, "csra")
    again = NetworkConfig.from_dict(config.to_dict())
    assert again == config
    state = TagNetwork(config, 3).state_dict()
    TagNetwork(again, 3).load_state_dict(state)
