"""The sections of a recipe, as typed data with range checks.

The defaults are the paper's values wherever the paper has one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from mlimages.errors import RecipeError
from mlimages.models.heads import HeadName
from mlimages.models.resnet import STAGE_BLOCKS

TIMM = "timm:"
Unknown = Literal["negative", "ignore", "weighted"]


class Section:
    """A part of a recipe; `expect` turns a value out of range into a line that names it."""

    section: ClassVar[str] = ""

    def expect(self, name: str, holds: bool, range_: str) -> None:
        """Raise RecipeError for the field `name` unless the condition holds."""
        if not holds:
            key = f"{self.section}.{name}" if self.section else name
            raise RecipeError(key, f"{getattr(self, name)!r} is out of range", f"use {range_}")


@dataclass(frozen=True)
class ModelSettings(Section):
    """The network; see models/network.py."""

    section: ClassVar[str] = "model"
    backbone: str = "resnet"
    """The paper's network, or timm's of this name, such as "timm:resnet50"."""
    head: HeadName = "linear"
    """From the feature map to the categories; see models/heads.py."""
    depth: int = 101
    """resnet: layers, 26, 50, 101 or 152."""
    width: float = 1.0
    """resnet: factor on the number of channels."""
    stem: Literal["paper", "small"] = "paper"
    """resnet: first convolution, 7x7 ("paper") or 3x3 ("small", for images of about 64 pixels)."""
    batch_norm_momentum: float = 0.003
    """resnet: share of a batch in the running statistics; short runs need about 0.1."""
    start_at_prior: bool = False
    """Start the head's bias at log(prior / (1 - prior)) of each category's frequency."""

    def __post_init__(self) -> None:
        known = self.backbone == "resnet" or self.backbone.startswith(TIMM)
        self.expect("backbone", known, "resnet or timm:NAME")
        self.expect("depth", self.depth in STAGE_BLOCKS, "26, 50, 101 or 152")
        self.expect("width", 0.05 <= self.width <= 8, "0.05 to 8")
        self.expect("batch_norm_momentum", 0 < self.batch_norm_momentum <= 1, "above 0, up to 1")


@dataclass(frozen=True)
class DataSettings(Section):
    """What is trained on, and in which portions."""

    section: ClassVar[str] = "data"
    split: str = "train"
    """Split of the database."""
    part: Literal["all", "multi", "single"] = "all"
    """Images annotated by multi-label sources, by single-label ones only, or all."""
    image_size: int = 224
    """Side of the square network input, pixels."""
    early_sizes: tuple[int, ...] = ()
    """Sides before that, each until its epoch of `size_epochs` (progressive size)."""
    size_epochs: tuple[float, ...] = ()
    """Epochs, rising, at which the next size begins; the last one is `image_size`."""
    batch_size: int = 4096
    """Images an update; the status of categories comes from all of them."""
    micro_batch: int = 0
    """Images a forward pass, to fit memory; gradients add up. It takes whole groups. 0: one."""
    batch_norm_group: int = 32
    """Images that batch normalisation takes together, whatever the processes and passes."""
    minimum_images: int = 1
    """Training images that a category needs to become an output."""
    lanes: int = 128
    """Lanes of the data order; the number of processes must divide it."""
    window: int = 0
    """Samples of a lane permuted together. 0: all for shards here, 1,024 in an object store."""
    workers: int = 2
    """Workers that read, decode and augment; the result does not depend on them. 0: none."""
    worker_kind: Literal["threads", "processes"] = "threads"
    """Processes help where many workers would wait for Python's lock."""
    read_seconds: float = 60.0
    """Longest wait for an image's bytes before another takes its place. 0: for ever."""
    cache: str = ""
    """Folder on this machine that keeps parts of shards in an object store. "": none."""
    cache_gb: float = 100.0
    """Its greatest size; below (lanes / processes) x window x image size it helps little."""
    broken_limit: float = 0.01
    """Share of the images that may turn out broken (they are replaced) before training stops."""

    def __post_init__(self) -> None:
        self.expect("image_size", 16 <= self.image_size <= 2048, "16 to 2048")
        self.expect(
            "early_sizes", all(16 <= n <= 2048 for n in self.early_sizes), "16 to 2048 each"
        )
        ends = self.size_epochs
        rising = list(ends) == sorted(set(ends)) and all(epoch > 0 for epoch in ends)
        fits = rising and len(ends) == len(self.early_sizes)
        self.expect("size_epochs", fits, "a rising epoch above 0 for each of data.early_sizes")
        self.expect("batch_size", 2 <= self.batch_size <= 1 << 17, "2 to 131072")
        self.expect("batch_norm_group", self.batch_norm_group >= 2, "2 or more")
        least = min(self.batch_norm_group, self.batch_size)
        fits = self.micro_batch == 0 or least <= self.micro_batch <= self.batch_size
        between = "the batch size" if least == self.batch_size else f"{least} to the batch size"
        self.expect("micro_batch", fits, f"0, {between}, or lower data.batch_norm_group")
        self.expect("minimum_images", self.minimum_images >= 1, "1 or more")
        self.expect("lanes", 1 <= self.lanes <= 65536, "1 to 65536")
        self.expect("window", 0 <= self.window <= 1 << 30, "0 to 2**30")
        self.expect("read_seconds", self.read_seconds >= 0, "0 or more")
        self.expect("workers", 0 <= self.workers <= 256, "0 to 256")
        self.expect("cache_gb", self.cache_gb > 0, "above 0")
        self.expect("broken_limit", 0 <= self.broken_limit <= 1, "0 to 1")

    def size_at(self, epoch: float) -> int:
        """Side of the images of an update, by the epochs seen before it."""
        begun = sum(epoch >= end for end in self.size_epochs)
        return (*self.early_sizes, self.image_size)[begun]


@dataclass(frozen=True)
class LossSettings(Section):
    """The loss; see losses/. Settings that the chosen one does not use change nothing."""

    section: ClassVar[str] = "loss"
    name: Literal[
        "paper",
        "bce",
        "focal",
        "asymmetric",
        "selective",
        "class-balanced",
        "distribution-balanced",
        "semantic-softmax",
    ] = "paper"
    """The paper's adaptive loss, binary cross-entropy, or another of losses/."""
    reduction: Literal["sum", "mean"] = "sum"
    """Over categories. For equal steps "mean" needs a learning rate times their number."""
    unknown: Unknown = "negative"
    """What categories are of which nothing is known: negatives, as in the paper; left out; or
    negatives that count `unknown_weight`. Known absences and silences of exhaustive sources always
    count in full."""
    unknown_weight: float = 0.1
    """With "weighted": factor on the terms of such categories."""
    hierarchical: bool = False
    """Compute the loss on scores that agree with the hierarchy (losses/hierarchical.py)."""
    variant: Literal["paper", "code"] = "paper"
    """paper: how absent categories are counted, as in the paper or as in the released code."""
    positive_weight: float = 12.0
    """paper: eta, weight of the positive term."""
    keep_negatives: float = 0.1
    """paper: share of a batch's absent categories that count."""
    status_threshold: float = 0.7
    """paper: confidence from which a tag makes its category present in the batch."""
    gamma: float = 2.0
    """focal: exponent of all terms."""
    gamma_positive: float = 1.0
    """asymmetric, selective: exponent of the positive term."""
    gamma_negative: float = 4.0
    """asymmetric, selective: exponent of the terms of stated negatives."""
    gamma_unknown: float = 4.0
    """asymmetric, selective: exponent of the terms of categories of which nothing is said."""
    clip: float = 0.05
    """asymmetric, selective: probability below which a negative costs nothing."""
    likely_ignored: int = 5
    """selective: most likely unknown categories of an image, which are ignored."""
    prior_ignored: float = 0.5
    """selective: unknown categories of a larger share of the images are ignored."""
    balance_beta: float = 0.9999
    """class-balanced: 0 weighs categories alike, towards 1 by the inverse of their frequency."""
    smoothing: float = 0.0
    """semantic-softmax: share of a target that is spread over all categories of a depth."""

    def __post_init__(self) -> None:
        self.expect("positive_weight", self.positive_weight > 0, "above 0")
        self.expect("keep_negatives", 0 <= self.keep_negatives <= 1, "0 to 1")
        self.expect("status_threshold", 0 < self.status_threshold <= 1, "above 0, up to 1")
        for name in ("gamma", "gamma_positive", "gamma_negative", "gamma_unknown"):
            self.expect(name, 0 <= getattr(self, name) <= 16, "0 to 16")
        self.expect("clip", 0 <= self.clip < 1, "0 up to (not including) 1")
        self.expect("likely_ignored", self.likely_ignored >= 0, "0 or more")
        self.expect("prior_ignored", 0 < self.prior_ignored <= 1, "above 0, up to 1")
        self.expect("balance_beta", 0 <= self.balance_beta < 1, "0 up to (not including) 1")
        self.expect("smoothing", 0 <= self.smoothing < 1, "0 up to (not including) 1")
        softmax = self.name == "semantic-softmax"
        self.expect("hierarchical", not (self.hierarchical and softmax), "false with a softmax")
        self.expect("unknown_weight", 0 <= self.unknown_weight <= 1, "0 to 1")
        # The categories of a softmax compete: none can be left out. "selective" leaves out its own.
        self.expect("unknown", self.unknown == "negative" or not softmax, "negative with a softmax")
        selects = self.name == "selective" and self.unknown == "ignore"
        self.expect("unknown", not selects, "negative or weighted with the loss selective")

    @property
    def weight_of_unknown(self) -> float:
        """Factor on the terms of categories of which nothing is known."""
        return {"negative": 1.0, "ignore": 0.0, "weighted": self.unknown_weight}[self.unknown]

    @property
    def tells_absent_from_unknown(self) -> bool:
        """Whether it makes a difference what is known to be absent."""
        exponents = self.name == "asymmetric" and self.gamma_negative != self.gamma_unknown
        return self.unknown != "negative" or self.name == "selective" or exponents


@dataclass(frozen=True)
class OptimizerSettings(Section):
    """How gradients change weights; see training/optimizers.py."""

    section: ClassVar[str] = "optimizer"
    name: Literal["sgd", "adamw", "lamb"] = "sgd"
    learning_rate: float = 0.08
    """After the warm-up, before any decay."""
    reference_batch: int = 0
    """The batch size the learning rate is meant for: with another it is scaled in proportion
    (Goyal et al., 2017). 0: it is meant for data.batch_size."""
    momentum: float = 0.9
    """sgd: not Nesterov."""
    beta1: float = 0.9
    """adamw, lamb: of the mean gradient."""
    beta2: float = 0.999
    """adamw, lamb: of the mean square."""
    epsilon: float = 1e-8
    """adamw, lamb: beside the root of the mean square."""
    weight_decay: float = 1e-4
    """On all weights but normalisation; with sgd, as in the paper, on biases too."""
    layer_decay: float = 1.0
    """Learning rate of each layer, as a share of the one after it."""
    clip_norm: float = 0.0
    """Largest 2-norm of the gradient; a longer one is shortened to it. 0: any."""
    average_decay: float = 0.0
    """Of the moving average of the weights, which is then what is measured and used. 0: none."""

    def __post_init__(self) -> None:
        self.expect("learning_rate", 0 < self.learning_rate < 1e6, "above 0")
        self.expect("reference_batch", 0 <= self.reference_batch <= 1 << 17, "0 to 131072")
        for name in ("momentum", "beta1", "beta2", "average_decay"):
            self.expect(name, 0 <= getattr(self, name) < 1, "0 up to (not including) 1")
        self.expect("epsilon", 0 < self.epsilon <= 1, "above 0, up to 1")
        self.expect("weight_decay", 0 <= self.weight_decay < 1, "0 up to (not including) 1")
        self.expect("layer_decay", 0.1 <= self.layer_decay <= 1, "0.1 to 1")
        self.expect("clip_norm", self.clip_norm >= 0, "0 or more")

    def rate_for(self, batch_size: int) -> float:
        """The learning rate for a batch size."""
        return self.learning_rate * batch_size / (self.reference_batch or batch_size)


@dataclass(frozen=True)
class ScheduleSettings(Section):
    """Length and learning rate; all epochs may be fractions."""

    section: ClassVar[str] = "schedule"
    name: Literal["step", "cosine"] = "step"
    epochs: float = 60.0
    warmup: Literal["stairs", "linear"] = "stairs"
    """The paper's staircase, or a straight line up (Goyal et al., 2017)."""
    warmup_epochs: float = 8.0
    """Length of the warm-up."""
    warmup_start: float = 0.125
    """Its first learning rate, as a share of optimizer.learning_rate."""
    warmup_stairs: int = 8
    """stairs: their number."""
    warmup_growth: float = 1.297
    """stairs: factor from one to the next."""
    decay_epochs: tuple[float, ...] = (25.0, 50.0)
    """Epochs, counted from the start of training, at which the learning rate decays ("step")."""
    decay_factor: float = 0.1

    def __post_init__(self) -> None:
        self.expect("epochs", 0 < self.epochs <= 10_000, "above 0, up to 10000")
        self.expect("warmup_epochs", 0 <= self.warmup_epochs <= 10_000, "0 or more")
        self.expect("warmup_stairs", 1 <= self.warmup_stairs <= 1_000_000, "1 or more")
        self.expect("warmup_start", 0 < self.warmup_start <= 1, "above 0, up to 1")
        self.expect("warmup_growth", 1 <= self.warmup_growth <= 100, "1 to 100")
        self.expect("decay_factor", 0 < self.decay_factor <= 1, "above 0, up to 1")
        rising = list(self.decay_epochs) == sorted(self.decay_epochs)
        known = all(epoch >= 0 for epoch in self.decay_epochs)
        self.expect("decay_epochs", rising and known, "epochs of 0 or more in rising order")
