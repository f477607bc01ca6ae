"""The network against the paper's description: sizes, a plain transcription, start values."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mlimages.models.resnet import ResNet, ResNetConfig


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("outputs", "millions"), [(11166, 65.375), (1000, 44.545)])
def test_parameters_of_the_released_network(outputs, millions):
    with torch.device("meta"):
        network = ResNet(ResNetConfig(outputs))
    assert round(count(network) / 1e6, 3) == millions
    assert round((count(network) - count(network.classifier)) / 1e6, 3) == 42.496


@pytest.mark.parametrize(("depth", "blocks"), [(26, 8), (50, 16), (101, 33), (152, 50)])
def test_depth_counts_layers(depth, blocks):
    with torch.device("meta"):
        network = ResNet(ResNetConfig(10, depth=depth))
    assert sum(len(stage) for stage in network.stages) == blocks
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == 1 + 3 * blocks + 4  # stem, bottlenecks, projections


def transcription(weights: dict[str, torch.Tensor], x: torch.Tensor, blocks, stem_pad: int):
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
    return features, features @ weights["classifier.weight"].T + weights["classifier.bias"]


@pytest.mark.parametrize(("stem", "pad"), [("paper", 3), ("small", 1)])
def test_output_equals_a_plain_transcription(stem, pad):
    torch.manual_seed(1)
    network = ResNet(ResNetConfig(7, depth=26, width=0.25, stem=stem)).double()
    for name, buffer in network.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5)
    network.eval()
    x = torch.randn(2, 3, 70, 64, dtype=torch.float64)
    features, logits = transcription(network.state_dict(), x, (2, 2, 2, 2), pad)
    torch.testing.assert_close(network.features(x), features)
    torch.testing.assert_close(network(x), logits)


def test_levels_have_strides_4_to_32():
    network = ResNet(ResNetConfig(3, depth=26, width=0.25)).eval()
    shapes = [tuple(level.shape[1:]) for level in network.levels(torch.zeros(1, 3, 64, 64))]
    assert shapes == [(64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2)]
    assert network.config.feature_dim == 512


def test_weights_start_with_variance_one_over_fan_in():
    torch.manual_seed(0)
    network = ResNet(ResNetConfig(500, depth=26, width=0.5))
    weight = network.stages[3][0].conv2.weight
    fan_in = weight[0].numel()
    assert weight.var().item() * fan_in == pytest.approx(1.0, rel=0.02)
    assert weight.abs().max() <= 2 / 0.8796 / fan_in**0.5 * 1.001
    assert network.classifier.bias.abs().max() == 0


def test_starting_at_the_prior_predicts_frequencies():
    torch.manual_seed(0)
    network = ResNet(ResNetConfig(4, depth=26, width=0.25, stem="small"))
    prior = torch.tensor([0.9, 0.5, 0.01, 0.001])
    network.start_at_prior(prior)
    predicted = torch.sigmoid(network(torch.randn(8, 3, 64, 64))).mean(0)
    torch.testing.assert_close(predicted, prior, rtol=0.2, atol=0.0)


def test_starting_at_the_prior_draws_nothing_and_leaves_small_weights():
    torch.manual_seed(0)
    network = ResNet(ResNetConfig(500, depth=26, width=0.5))
    before = torch.get_rng_state()
    network.start_at_prior(torch.full((500,), 0.01))
    assert torch.equal(torch.get_rng_state(), before)
    weight = network.classifier.weight
    assert weight.var().item() * weight[0].numel() == pytest.approx(0.003, rel=0.02)


def test_batch_norm_momentum_is_the_papers_unless_set():
    assert ResNet(ResNetConfig(2, depth=26, width=0.1)).norm.momentum == 0.003
    assert ResNet(ResNetConfig(2, 26, 0.1, batch_norm_momentum=0.1)).norm.momentum == 0.1


@pytest.mark.parametrize("wrong", [{"depth": 34}, {"width": 0}, {"num_classes": 0}])
def test_impossible_networks_are_refused(wrong):
    with pytest.raises(ValueError, match=r"depth|impossible"):
        ResNetConfig(**{"num_classes": 2} | wrong)
