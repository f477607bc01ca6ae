"""The weighted cross-entropy of a few columns, with its gradient from the same exponentials.

For confidence z, logit x, positive weight eta and column weight r, an element costs

    r (eta z softplus(-x) + (1 - z) softplus(x))

which is r softplus(x) where there is no tag: only tagged elements need more. The slope of softplus
is sigmoid; both follow from exp(-|x|).
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from mlimages.losses.targets import UNKNOWN


class ColumnCrossEntropy(torch.autograd.Function):
    """The sum over images and some columns; nothing as large as the logits but their gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: torch.Tensor,
        columns: torch.Tensor,
        weights: torch.Tensor,
        entries: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
        positive_weight: float,
    ) -> torch.Tensor:
        """Value and gradient.

        Args:
            ctx: keeps the gradient.
            logits: [B, num_classes], of any floating type; computed in float32 at least.
            columns: int64 [K], without repeats.
            weights: [K], r.
            entries: image, position in `columns` and z of each tag; z may be UNKNOWN.
            positive_weight: eta.
        """
        x = logits.index_select(1, columns)  # [B, K]
        x = x if x.dtype == torch.float64 else x.float()
        weights = weights.to(x.dtype)
        cost, slope = softplus_and_sigmoid(x)
        rows, places, z = entries
        tagged, z = (rows, places), z.to(x.dtype)
        opposite, opposite_slope = softplus_and_sigmoid(-x[tagged])
        positive, absent, known = positive_weight * z, 1 - z, z != UNKNOWN
        cost[tagged] = torch.where(known, positive * opposite + absent * cost[tagged], 0.0)
        steep = absent * slope[tagged] - positive * opposite_slope
        slope[tagged] = torch.where(known, steep, 0.0)
        ctx.save_for_backward(columns, slope.mul_(weights))
        ctx.shape, ctx.dtype = logits.shape, logits.dtype
        return (cost.sum(0) * weights).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradient of the logits."""
        columns, slope = ctx.saved_tensors
        gradient = torch.zeros(ctx.shape, dtype=ctx.dtype, device=slope.device)
        gradient.index_copy_(1, columns, (slope * grad_output).to(ctx.dtype))
        return gradient, None, None, None, None


def softplus_and_sigmoid(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """log(1 + exp(x)) and its slope, each to a few units in the last place."""
    power = x.abs().neg_().exp_()
    total = power + 1
    # log(total) alone loses small powers to rounding; torch's log1p does not, but is ten times
    # slower. The factor undoes the rounding of `total` (Kahan; Goldberg 1991, theorem 4).
    cost = torch.where(total == 1, power, total.log().mul_(power / (total - 1)))
    slope = x.clamp(max=0).exp_().div_(total)
    return cost.add_(x.clamp(min=0)), slope
