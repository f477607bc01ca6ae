"""The network against the paper's description: sizes, a plain transcription, start values."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mlimages.models.network import NetworkConfig, TagNetwork
from mlimages.models.resnet import ResNet, ResNetConfig


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("outputs", "millions"), [(11166, 65.375), (1000, 44.545)])
def test_parameters_of_the_released_network(outputs, millions):
    with torch.device("meta"):
        network = TagNetwork(NetworkConfig(ResNetConfig()), outputs)
    assert round(count(network) / 1e6, 3) == millions
    assert round(count(network.backbone) / 1e6, 3) == 42.496


@pytest.mark.parametrize(("depth", "blocks"), [(26, 8), (50, 16), (101, 33), (152, 50)])
def test_depth_counts_layers(depth, blocks):
    with torch.device("meta"):
        network = ResNet(ResNetConfig(depth))
    assert sum(len(stage) for stage in network.stages) == blocks
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == 1 + 3 * blocks + 4  # stem, bottlenecks, projections


def transcription(weights: dict, head: dict, x: torch.Tensor, blocks, stem_pad: int):
    """The released code's graph, written out with functions only (evaluation mode)."""

    def norm_relu(x, name):
        return torch.relu(
            (x - weights[f"{name}.running_mean"][:, None, None])
            / torch.sqrt(weights[f"{name}.running_var"][:, None, None] + 1e-5)
            * weights[f"{name}.weight"][:, None, None]
            + weights[f"{name}.bias"][:, None, None]
        )

    def conv(x, name, stride=1, pad=0):
        x = F.pad(x, (pad, pad, pad, pad))  # explicit padding, then VALID
        return F.conv2d(x, weights[f"{name}.weight"], stride=stride)

    x = conv(x, "stem", 2, stem_pad)
    for stage, number in enumerate(blocks):
        for block in range(number):
            name, stride = f"stages.{stage}.{block}", 2 if block == 0 else 1
            shortcut = x
            if block == 0:
                shortcut = conv(norm_relu(x, f"{name}.shortcut_norm"), f"{name}.shortcut", 2)
            y = conv(norm_relu(x, f"{name}.norm1"), f"{name}.conv1")
            y = conv(norm_relu(y, f"{name}.norm2"), f"{name}.conv2", stride, 1)
            y = conv(norm_relu(y, f"{name}.norm3"), f"{name}.conv3")
            x = shortcut + y
    features = norm_relu(x, "norm").mean((2, 3))
    return features, features @ head["weight"].T + head["bias"]


@pytest.mark.parametrize(("stem", "pad"), [("paper", 3), ("small", 1)])
def test_output_equals_a_plain_transcription(stem, pad):
    torch.manual_seed(1)
    network = TagNetwork(NetworkConfig(ResNetConfig(26, 0.25, stem)), 7).double()
    for name, buffer in network.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5)
    network.eval()
    x = torch.randn(2, 3, 70, 64, dtype=torch.float64)
    backbone, head = network.backbone.state_dict(), network.head.state_dict()
    features, logits = transcription(backbone, head, x, (2, 2, 2, 2), pad)
    torch.testing.assert_close(network.features(x), features)
    torch.testing.assert_close(network(x), logits)


@pytest.mark.parametrize(
    ("output_stride", "sides"),
    [(32, (16, 8, 4, 2)), (16, (16, 8, 4, 4)), (8, (16, 8, 8, 8))],
)
def test_levels_have_the_strides_that_are_asked_for(output_stride, sides):
    network = ResNet(ResNetConfig(26, 0.25, output_stride=output_stride)).eval()
    levels = network.levels(torch.zeros(1, 3, 64, 64))
    channels = (64, 128, 256, 512)
    shapes = [(c, side, side) for c, side in zip(channels, sides, strict=True)]
    assert [tuple(level.shape[1:]) for level in levels] == shapes
    assert network.strides == tuple(64 // side for side in sides)
    assert network.channels == channels
    assert network.feature_dim == 512


@pytest.mark.parametrize("output_stride", [16, 8])
def test_dilation_gives_the_same_features_more_densely(output_stride):
    torch.manual_seed(0)
    plain = ResNet(ResNetConfig(26, 0.125)).double().eval()
    dense = ResNet(ResNetConfig(26, 0.125, output_stride=output_stride)).double().eval()
    dense.load_state_dict(plain.state_dict())
    x = torch.randn(1, 3, 96, 160, dtype=torch.float64)
    step = 32 // output_stride
    torch.testing.assert_close(dense.feature_map(x)[..., ::step, ::step], plain.feature_map(x))


def test_weights_start_with_variance_one_over_fan_in():
    torch.manual_seed(0)
    network = TagNetwork(NetworkConfig(ResNetConfig(26, 0.5)), 500)
    weight = network.backbone.stages[3][0].conv2.weight
    fan_in = weight[0].numel()
    assert weight.var().item() * fan_in == pytest.approx(1.0, rel=0.02)
    assert weight.abs().max() <= 2 / 0.8796 / fan_in**0.5 * 1.001
    assert network.head.bias.abs().max() == 0
    weight = network.head.weight
    assert weight.var().item() * weight[0].numel() == pytest.approx(1.0, rel=0.02)


def test_batch_norm_momentum_is_the_papers_unless_set():
    assert ResNet(ResNetConfig(26, 0.1)).norm.momentum == 0.003
    assert ResNet(ResNetConfig(26, 0.1, batch_norm_momentum=0.1)).norm.momentum == 0.1


@pytest.mark.parametrize("wrong", [{"depth": 34}, {"width": 0}, {"output_stride": 4}])
def test_impossible_networks_are_refused(wrong):
    with pytest.raises(ValueError, match=r"depth|impossible"):
        ResNetConfig(**wrong)
