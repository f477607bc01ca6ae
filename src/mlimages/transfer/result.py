"""What a finished run of a transfer did."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TransferResult:
    """What a finished run did.

    Attributes:
        run, checkpoint: its folder, and that of its last checkpoint.
        recipe, task, backbone, expected: of the recipe.
        steps, epochs, images, test_images: how far it went, and on what.
        parameters, learning: weights of the network, and those of them that learn.
        seconds, images_per_second: of training alone.
        loss: mean of the last line of the log.
        metric, value: the headline.
        measures: all of them by name.
        per_class: by class, None where it does not occur.
    """

    run: str
    checkpoint: str
    recipe: str
    task: str
    backbone: str
    expected: str
    steps: int
    epochs: float
    images: int
    test_images: int
    parameters: int
    learning: int
    seconds: float
    images_per_second: float
    loss: float | None
    metric: str
    value: float
    measures: dict[str, float]
    per_class: dict[str, dict[str, float]]
