"""The sections of a recipe that say how a run is carried out: saving, measuring, hardware."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar, Literal

from mlimages.metrics.results import Negatives
from mlimages.training.settings import Section


@dataclass(frozen=True)
class CheckpointSettings(Section):
    """When the run is saved; it always is at its end and when it is asked to stop."""

    section: ClassVar[str] = "checkpoint"
    every_minutes: float = 10.0
    """0: not by time."""
    every_steps: int = 0
    """0: not by steps."""
    keep: int = 2
    """Newest checkpoints that stay."""

    def __post_init__(self) -> None:
        self.expect("every_minutes", self.every_minutes >= 0, "0 or more")
        self.expect("every_steps", self.every_steps >= 0, "0 or more")
        self.expect("keep", self.keep >= 1, "1 or more")

    def is_due(self, step: int, saved_at: float) -> bool:
        """Whether to save after an update; `saved_at` is of `time.monotonic`."""
        if self.every_steps and step % self.every_steps == 0:
            return True
        return self.every_minutes > 0 and time.monotonic() - saved_at >= 60 * self.every_minutes


@dataclass(frozen=True)
class EvaluationSettings(Section):
    """Measuring on another split; see metrics/multilabel.py."""

    section: ClassVar[str] = "evaluation"
    split: str = "validation"
    """Split to measure on; "" for none."""
    every_epochs: int = 0
    """0: only at the end."""
    minimum_positives: int = 10
    """Positives that a category needs to enter mean average precision."""
    negatives: Negatives = "closed-world"
    """Of average precision: what has no tag, is "verified" to be absent, or left unsaid by an
    "exhaustive" source; see metrics/multilabel.py."""
    batch_size: int = 100
    probe: str = ""
    """A folder of class folders, or a database with single-label images, on whose features a linear
    and a kNN classifier are tried (training/probing.py). "": none."""
    probe_every_epochs: int = 0
    """0: only at the end."""
    probe_images: int = 5
    """Photos of each class to learn from; classes with no more than that are left out."""
    crop_fraction: float = 0.875
    """Share of the shorter side that the central crop keeps (224 of 256 is 0.875)."""

    def __post_init__(self) -> None:
        self.expect("every_epochs", self.every_epochs >= 0, "0 or more")
        self.expect("probe_every_epochs", self.probe_every_epochs >= 0, "0 or more")
        self.expect("probe_images", self.probe_images >= 1, "1 or more")
        self.expect("minimum_positives", self.minimum_positives >= 1, "1 or more")
        self.expect("batch_size", self.batch_size >= 1, "1 or more")
        self.expect("crop_fraction", 0.1 <= self.crop_fraction <= 1, "0.1 to 1")


@dataclass(frozen=True)
class HardwareSettings(Section):
    """Where and how the network runs."""

    section: ClassVar[str] = "hardware"
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the network's passes (autocast); the loss is float32 always."""
    channels_last: bool = True
    """Keep the channels of a place together in memory, which convolutions like."""
    compile: bool = False
    """Compile the network with torch.compile: minutes at the start, faster steps on GPUs."""
    compression: Literal["none", "float16", "bfloat16"] = "none"
    """Of the gradients that several processes exchange: half the bytes, rounded."""
    log_seconds: float = 10.0
    """Between two lines of the log, and of metrics.jsonl."""

    def __post_init__(self) -> None:
        self.expect("log_seconds", self.log_seconds >= 0, "0 or more")


@dataclass(frozen=True)
class LoggingSettings(Section):
    """What a run leaves beside metrics.jsonl; see training/logs.py and pages/training.py."""

    section: ClassVar[str] = "logging"
    csv: bool = True
    """metrics.csv, written when a session ends."""
    page: bool = True
    """index.html with curves, measures and settings, where matplotlib is installed."""
    tensorboard: bool = False
    """RUN/tensorboard; needs tensorboard."""
    wandb: str = ""
    """Project of Weights & Biases; needs wandb. "": none."""
