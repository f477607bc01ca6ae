"""What every model offers to those who use it, whatever runs it: torch or onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np


@dataclass(frozen=True)
class ModelCategory:
    """One output of a model.

    Attributes:
        key: WordNet id such as `n02084071`, or `namespace:key`.
        name: its names for people, such as "dog, domestic dog".
        parents: keys of its direct parents, which need not be outputs themselves.
    """

    key: str
    name: str
    parents: tuple[str, ...] = ()


class Model(Protocol):
    """A network ready for use, with all that is needed to feed it and to read its answers.

    Attributes:
        name: what was asked for.
        categories: the outputs, in order.
        activation: "sigmoid" (categories are judged apart) or "softmax" (they compete).
        feature_dim: length of the vector before the classifier.
        minimum_side: shorter side, in pixels, to which decoding may shrink large photos. None: it
            must not.
    """

    @property
    def name(self) -> str: ...
    @property
    def categories(self) -> tuple[ModelCategory, ...]: ...
    @property
    def activation(self) -> Literal["sigmoid", "softmax"]: ...
    @property
    def feature_dim(self) -> int: ...
    @property
    def minimum_side(self) -> int | None: ...

    def preprocess(self, image: np.ndarray) -> np.ndarray:
        """RGB uint8 [height, width, 3] -> float32 [3, size, size], as the network wants it."""

    def probabilities(self, batch: np.ndarray) -> np.ndarray:
        """float32 [batch, 3, size, size] -> float32 [batch, categories], each in [0, 1]."""

    def features(self, batch: np.ndarray) -> np.ndarray:
        """float32 [batch, 3, size, size] -> float32 [batch, feature_dim]."""


def run_batches(
    model: Model,
    items: Iterable[np.ndarray],
    function: Callable[[np.ndarray], np.ndarray],
    batch_size: int = 64,
) -> Iterator[np.ndarray]:
    """Preprocess photos, run a method of the model over batches of them, and yield its results.

    Args:
        model: whose `preprocess` prepares each photo.
        items: RGB uint8 [height, width, 3], each of any size.
        function: `model.probabilities` or `model.features`.
        batch_size: photos a batch; memory is proportional to it.

    Yields:
        The function's result for each batch, in order; the last may be shorter.
    """
    waiting: list[np.ndarray] = []
    for item in items:
        waiting.append(model.preprocess(item))
        if len(waiting) == batch_size:
            yield function(np.stack(waiting))
            waiting.clear()
    if waiting:
        yield function(np.stack(waiting))
