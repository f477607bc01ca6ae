"""One update of the weights: forward, backward, check, step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from mlimages.training.data import StepData
from mlimages.training.optimizers import set_rate
from mlimages.training.state import MEAN, SCALE, TrainingState

AUTOCAST = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class NonFiniteLossError(ArithmeticError):
    """The loss or the gradient is infinite or NaN; the weights were not changed."""

    def __init__(self, loss: float, gradient_norm: float) -> None:
        super().__init__(f"loss {loss}, gradient norm {gradient_norm}")


def ran_out_of_memory(error: RuntimeError | MemoryError) -> bool:
    """Whether PyTorch's error is about memory; on the CPU it has no class of its own."""
    known = (torch.OutOfMemoryError, MemoryError)
    return isinstance(error, known) or "can't allocate memory" in str(error)


def update(
    state: TrainingState,
    batch: StepData,
    rate: float,
    precision: str,
    device: torch.device,
    clip_norm: float = 0.0,
) -> tuple[float, float]:
    """Do one update with the gradients of all micro-batches together.

    Args:
        state: changed in place, unless an error is raised.
        batch: images and targets of the step.
        rate: the learning rate.
        precision: the recipe's hardware.precision.
        device: where the network is.
        clip_norm: the recipe's optimizer.clip_norm.

    Returns:
        the loss, and the 2-norm of the gradient before it was clipped.

    Raises:
        NonFiniteLossError: before any weight is changed. With float16, only after so many updates
            with infinite gradients were skipped that the loss's factor is below 1.
    """
    set_rate(state.optimizer, rate)
    # The status of the categories comes from the whole batch, before its first part.
    state.loss.begin_step(batch.targets.to(device), state.step)
    state.optimizer.zero_grad()
    loss = torch.zeros((), device=device)
    dtype = AUTOCAST[precision]
    with running_statistics_once(state.network, len(batch.parts)):
        for images, targets in batch.parts:
            inputs = normalise(images.to(device, non_blocking=True))
            with torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
                logits = state.network(inputs)
            part = state.loss(logits, targets.to(device))
            state.scaler.scale(part).backward()
            loss += part.detach()
    state.scaler.unscale_(state.optimizer)
    norm = gradient_norm(state.network)
    # With float16 an infinite gradient is how the scaler finds its factor: it skips the update.
    watched = loss if state.scaler.is_enabled() else loss + norm
    if not torch.isfinite(watched):
        raise NonFiniteLossError(float(loss), float(norm))
    if clip_norm and norm > clip_norm:
        for parameter in state.network.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(clip_norm / norm)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    if state.scaler.is_enabled() and state.scaler.get_scale() < 1:
        # Halved at each infinite gradient: no factor would help, and no update is made any more.
        raise NonFiniteLossError(float(loss), float(norm))
    state.step += 1
    if state.average is not None:
        state.average.update(state.network, state.step)
    return float(loss), float(norm)


@contextmanager
def running_statistics_once(network: nn.Module, parts: int) -> Iterator[None]:
    """Inside, `parts` forward passes move the running statistics as far as one pass does outside.

    A pass keeps the share 1 - m of them, so each of k passes must keep (1 - m) ** (1 / k).
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum or 0.0 for norm in norms]
    try:
        if parts > 1:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = 1 - (1 - momentum) ** (1 / parts)
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def normalise(images: torch.Tensor) -> torch.Tensor:
    """uint8 [batch, height, width, 3] -> float32 [batch, 3, height, width] in [-1, 1]."""
    # The permuted bytes lie as channels_last wants them: no copy but the conversion.
    return images.permute(0, 3, 1, 2).float().sub_(MEAN).div_(SCALE)


def gradient_norm(network: nn.Module) -> torch.Tensor:
    """2-norm of the gradient of all weights together."""
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    return torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients]).norm()
