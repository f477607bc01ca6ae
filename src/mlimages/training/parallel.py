"""The network as the ranks run it: with their gradients averaged, and compiled if wanted."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from typing import Any

import torch
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from torch.nn.parallel import DistributedDataParallel

from mlimages.models.network import TagNetwork, TimmConfig
from mlimages.training.distribution import Ranks
from mlimages.training.operation import HardwareSettings

_NAMES = signature(DistributedDataParallel.__init__).parameters
# Newer releases of torch have another name for it, and warn of the old one.
BUFFERS = next(n for n in ("forward_sync_buffers", "broadcast_buffers") if n in _NAMES)
COMPRESSIONS = {
    "float16": default_hooks.fp16_compress_hook,
    "bfloat16": default_hooks.bf16_compress_hook,
}


def parallel(network: TagNetwork, ranks: Ranks, settings: HardwareSettings) -> nn.Module:
    """What forward passes call: the network, or DistributedDataParallel around it.

    Args:
        network: on the ranks' device; it keeps its weights, and stays what is saved and measured.
        ranks: with more than one, gradients become their mean, and weights those of the first.
        settings: of the recipe.
    """
    if settings.compile:
        network.compile()  # in place: the names of its weights stay
    if ranks.size == 1:
        return network
    return connected(network, ranks, settings, _has_unused_parameters(network, ranks))


def connected(
    network: nn.Module, ranks: Ranks, settings: HardwareSettings, unused: bool
) -> DistributedDataParallel:
    """DistributedDataParallel around a network whose buffers batch_norm.py keeps equal.

    Args:
        network: on the ranks' device.
        ranks: more than one.
        settings: of the recipe.
        unused: whether there are weights that the output does not depend on. To look for them in
            every step takes time, and not to look makes the exchange fail.
    """
    buffers: dict[str, Any] = {BUFFERS: False}  # are averaged once a step, see batch_norm.py
    wrapped = DistributedDataParallel(
        network,
        device_ids=[ranks.device] if ranks.device.type == "cuda" else None,
        **buffers,
        gradient_as_bucket_view=True,
        find_unused_parameters=unused,
    )
    if settings.compression != "none":
        wrapped.register_comm_hook(None, COMPRESSIONS[settings.compression])
    return wrapped


def gradients_exchanged(network: nn.Module, now: bool) -> AbstractContextManager[None]:
    """Around a forward and backward pass: whether the ranks exchange their gradients in it."""
    if isinstance(network, DistributedDataParallel) and not now:
        return network.no_sync()
    return nullcontext()


def _has_unused_parameters(network: TagNetwork, ranks: Ranks) -> bool:
    """Whether there are weights behind what is used, as timm's networks may have."""
    if not isinstance(network.config.backbone, TimmConfig):
        return False
    size, was_training = network.config.backbone.image_size, network.training
    images = torch.zeros(2, 3, size, size, device=ranks.device)
    output = network.eval()(images).sum()  # evaluation leaves the running statistics alone
    network.train(was_training)
    return leaves_weights_out(network, output)


def leaves_weights_out(network: nn.Module, output: torch.Tensor) -> bool:
    """Whether a number that the network gave does not depend on some of the weights that learn."""
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    return None in torch.autograd.grad(output, weights, allow_unused=True)
