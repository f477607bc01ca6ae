"""One update of the weights: forward, backward, check, step."""

from __future__ import annotations

import torch
from torch import nn

from mlimages.training.data import MicroBatch, StepData
from mlimages.training.distribution import Ranks
from mlimages.training.optimizers import set_rate
from mlimages.training.parallel import gradients_exchanged
from mlimages.training.state import MEAN, SCALE, TrainingState

AUTOCAST = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class NonFiniteLossError(ArithmeticError):
    """The loss or the gradient is infinite or NaN; the weights were not changed.

    Args:
        loss, gradient_norm: of the whole batch.
        own_loss: the part of this rank.
    """

    def __init__(self, loss: float, gradient_norm: float, own_loss: float) -> None:
        super().__init__(f"loss {loss}, gradient norm {gradient_norm}")
        self.own_loss = own_loss


def ran_out_of_memory(error: RuntimeError | MemoryError) -> bool:
    """Whether PyTorch's error is about memory; on the CPU it has no class of its own."""
    known = (torch.OutOfMemoryError, MemoryError)
    return isinstance(error, known) or "can't allocate memory" in str(error)


def update(
    state: TrainingState,
    batch: StepData,
    rate: float,
    precision: str = "float32",
    clip_norm: float = 0.0,
    ranks: Ranks | None = None,
) -> tuple[float, float]:
    """Do one update with the gradients of all micro-batches of all ranks together.

    Args:
        state: changed in place, unless an error is raised.
        batch: images and targets of the step.
        rate: the learning rate.
        precision: the recipe's hardware.precision.
        clip_norm: the recipe's optimizer.clip_norm.
        ranks: the processes that take part; this one when left out.

    Returns:
        the loss of the whole batch, and the 2-norm of the gradient before it was clipped.

    Raises:
        NonFiniteLossError: on all ranks, before any weight or counter is changed. With float16,
            only after so many updates with infinite gradients were skipped that the loss's factor
            is below 1.
    """
    ranks = ranks or Ranks()
    set_rate(state.optimizer, rate)
    counters = {name: value.clone() for name, value in state.loss.state_dict().items()}
    # The status of the categories comes from the whole batch, before its first part.
    state.loss.begin_step(batch.targets.to(ranks.device), state.step)
    try:
        with state.batch_norms.step(batch.groups, ranks):
            own_loss = _gradients(state, batch, precision, ranks)
            loss, norm = ranks.sum_tensor(own_loss.clone()), gradient_norm(state.network)
            # With float16 an infinite gradient is how the scaler finds its factor: it skips the
            # update.
            watched = loss if state.scaler.is_enabled() else loss + norm
            if not torch.isfinite(watched):
                raise NonFiniteLossError(float(loss), float(norm), float(own_loss))
    except NonFiniteLossError:
        state.loss.load_state_dict(counters)
        raise
    clip_gradient(state.network, norm, clip_norm)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    if state.scaler.is_enabled() and state.scaler.get_scale() < 1:
        # Halved at each infinite gradient: no factor would help, and no update is made any more.
        raise NonFiniteLossError(float(loss), float(norm), float(own_loss))
    state.step += 1
    if state.average is not None:
        state.average.update(state.network, state.step)
    return float(loss), float(norm)


def _gradients(state: TrainingState, batch: StepData, precision: str, ranks: Ranks) -> torch.Tensor:
    """This rank's part of the loss; the gradient of all ranks is left in the parameters."""
    state.optimizer.zero_grad()
    loss = torch.zeros((), device=ranks.device)
    for number, part in enumerate(batch.parts, start=1):
        with gradients_exchanged(state.parallel, number == len(batch.parts)):
            logits = forward_logits(state, part, precision, ranks.device)
            value = state.loss(logits, part.targets.to(ranks.device))
            # Ranks take the mean of their gradients, and the parts of the loss add up.
            state.scaler.scale(value * ranks.size).backward()
        loss += value.detach()
    state.scaler.unscale_(state.optimizer)
    return loss


def forward_logits(
    state: TrainingState, part: MicroBatch, precision: str, device: torch.device
) -> torch.Tensor:
    """The logits of a micro-batch, [b, num_classes]; inside `state.batch_norms.step`."""
    state.batch_norms.sizes = part.group_sizes
    inputs = normalise(part.images.to(device, non_blocking=True))
    dtype = AUTOCAST[precision]
    with torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
        return state.parallel(inputs)


def normalise(images: torch.Tensor) -> torch.Tensor:
    """uint8 [batch, height, width, 3] -> float32 [batch, 3, height, width] in [-1, 1]."""
    # The permuted bytes lie as channels_last wants them: no copy but the conversion.
    return images.permute(0, 3, 1, 2).float().sub_(MEAN).div_(SCALE)


def clip_gradient(network: nn.Module, norm: torch.Tensor, clip_norm: float) -> None:
    """Shorten a gradient of this 2-norm to `clip_norm`, if it is longer; 0 leaves it as it is."""
    if clip_norm and norm > clip_norm:
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(clip_norm / norm)


def gradient_norm(network: nn.Module) -> torch.Tensor:
    """2-norm of the gradient of all weights together."""
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    return torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients]).norm()
