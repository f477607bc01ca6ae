"""Batch normalisation over groups of a fixed size, whatever the ranks and forward passes.

Within a step every group is normalised by its own statistics, and the running statistics move once,
towards the mean over all groups of all ranks. So neither depends on how many processes train, nor
on how many images a forward pass has room for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from mlimages.training.distribution import Ranks

Forward = Callable[[torch.Tensor], torch.Tensor]


class BatchNormGroups:
    """The batch normalisations of a network while it is trained.

    Args:
        network: has any modules; those that keep running statistics and are in training mode take
            part.
    """

    def __init__(self, network: nn.Module) -> None:
        self.sizes: Sequence[int] = ()  # of the groups of the forward pass to come
        kind = nn.modules.batchnorm._BatchNorm
        self._norms = [
            module
            for module in network.modules()
            if isinstance(module, kind) and module.running_mean is not None and module.training
        ]
        self._momenta = [norm.momentum or 0.0 for norm in self._norms]
        self._sums = [torch.zeros_like(tensor) for tensor in self._statistics()]
        pairs = zip(self._sums[::2], self._sums[1::2], strict=True)
        self._forwards = [
            self._grouped(norm, mean, variance)
            for norm, (mean, variance) in zip(self._norms, pairs, strict=True)
        ]

    def _statistics(self) -> list[torch.Tensor]:
        """Mean and variance of each norm, in turn."""
        found = [(norm.running_mean, norm.running_var) for norm in self._norms]
        return [tensor for pair in found for tensor in pair if tensor is not None]

    def _grouped(self, norm: nn.Module, mean: torch.Tensor, variance: torch.Tensor) -> Forward:
        """The norm's forward function, group by group, adding up their statistics."""
        plain: Forward = norm.forward

        def forward(x: torch.Tensor) -> torch.Tensor:
            outputs = []
            for part in x.split(list(self.sizes)) if len(self.sizes) > 1 else (x,):
                outputs.append(plain(part))
                mean.add_(norm.running_mean)  # type: ignore[arg-type]
                variance.add_(norm.running_var)  # type: ignore[arg-type]
            return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

        return forward

    @contextmanager
    def step(self, groups: int, ranks: Ranks) -> Iterator[None]:
        """Around the forward passes of an update; an error inside leaves all statistics as before.

        Args:
            groups: of all ranks together.
            ranks: exchange their statistics.
        """
        if not self._norms:
            yield
            return
        statistics = self._statistics()
        before = [tensor.clone() for tensor in statistics]
        counters = [c for norm in self._norms if (c := norm.num_batches_tracked) is not None]
        counts = [counter.clone() for counter in counters]
        torch._foreach_zero_(self._sums)
        self._install()
        try:
            yield
            self._average(groups, ranks)
        except BaseException:
            torch._foreach_copy_(statistics, before)
            torch._foreach_copy_(counters, counts)
            raise
        finally:
            self._remove()
        torch._foreach_copy_(counters, torch._foreach_add(counts, 1))  # however it was divided
        for number, (tensor, old) in enumerate(zip(statistics, before, strict=True)):
            tensor.copy_(old.lerp_(self._sums[number], self._momenta[number // 2]))

    def _install(self) -> None:
        for norm, forward in zip(self._norms, self._forwards, strict=True):
            norm.momentum = 1.0  # the running statistics are then those of the last group alone
            norm.forward = forward  # type: ignore[method-assign, assignment]

    def _remove(self) -> None:
        for norm, momentum in zip(self._norms, self._momenta, strict=True):
            norm.momentum = momentum
            del norm.forward

    @torch.no_grad()
    def _average(self, groups: int, ranks: Ranks) -> None:
        if ranks.size > 1:
            flat = ranks.sum_tensor(torch.cat(self._sums))
            lengths = [tensor.numel() for tensor in self._sums]
            for tensor, whole in zip(self._sums, flat.split(lengths), strict=True):
                tensor.copy_(whole)
        torch._foreach_div_(self._sums, groups)
