"""An exponential moving average of the weights, which often does better than the last ones.

After each update the average moves towards the weights by 1 - d, where early on d is
min(decay, (1 + updates) / (10 + updates)), as TensorFlow's: the average of a short run should not
be its first weights. Statistics of batch normalisation are averaged as weights are; counters are
copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from mlimages.training.checkpoint import Tensors


class WeightAverage:
    """The average of a network's weights and statistics.

    Args:
        network: averaged from its present state on.
        decay: d above, of late updates.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors = {name: value.clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, updates: int) -> None:
        """Move towards the weights.

        Args:
            network: after an update.
            updates: done so far, this one included.
        """
        decay = min(self.decay, (1 + updates) / (10 + updates))
        for name, value in network.state_dict().items():
            average = self.tensors[name]
            if average.is_floating_point():
                average.lerp_(value, 1 - decay)
            else:
                average.copy_(value)

    def restore(self, tensors: Tensors) -> None:
        """Take back saved tensors of the same names."""
        for name, average in self.tensors.items():
            average.copy_(tensors[name])

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """Inside, the network has the averaged weights."""
        own = {name: value.clone() for name, value in network.state_dict().items()}
        network.load_state_dict(self.tensors)
        try:
            yield
        finally:
            network.load_state_dict(own)
