"""Recipes of transfer: one file a benchmark protocol, typed as those of pretraining are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from mlimages.models.detector import DetectorKind
from mlimages.models.heads import HeadName
from mlimages.models.segmenter import SegmenterKind
from mlimages.training.recipe import RecipeFile, find_recipe_of
from mlimages.training.settings import Section

TaskName = Literal["classification", "multilabel", "detection", "segmentation", "probe"]
FOLDER = "transfer"  # of the named recipes, below those of pretraining


@dataclass(frozen=True)
class TransferModel(Section):
    """The network on top of a backbone, and what of the backbone learns."""

    section: ClassVar[str] = "model"
    backbone: str = ""
    """See transfer/backbones.py; the command's --backbone."""
    head: HeadName = "linear"
    """classification, multilabel: from the feature map to the classes."""
    detector: DetectorKind = "fpn"
    """detection: regions from all levels ("fpn"), or from stride 16 alone ("c4")."""
    regions: int = 0
    """detection: regions an update learns from, of each photo. 0: 512 ("fpn") or 128 ("c4")."""
    segmenter: SegmenterKind = "v3"
    """segmentation: DeepLab v3 or v3+."""
    output_stride: int = 32
    """segmentation: 16 or 8."""
    frozen_stages: int = 0
    """The stem and so many stages stay as they are, statistics included. 0: all layers learn."""
    norms: Literal["learn", "fixed"] = "learn"
    """Batch normalisation of the backbone; "fixed" suits batches of a few photos."""
    batch_norm_momentum: float = 0.1
    """Share of a batch in the backbone's running statistics; runs of 100,000 updates take 0.003."""

    def __post_init__(self) -> None:
        self.expect("output_stride", self.output_stride in (8, 16, 32), "8, 16 or 32")
        momentum = 0 < self.batch_norm_momentum <= 1
        self.expect("batch_norm_momentum", momentum, "above 0, up to 1")
        self.expect("regions", 0 <= self.regions <= 4096, "0 to 4096")
        self.expect("frozen_stages", 0 <= self.frozen_stages <= 64, "0 or more")


@dataclass(frozen=True)
class TransferData(Section):
    """Which photos, how large, and in which portions."""

    section: ClassVar[str] = "data"
    layout: Literal["imagenet", "folders", "voc", "coco", "own"] = "folders"
    """How --data is laid out; see transfer/datasets."""
    train: tuple[str, ...] = ()
    """voc, coco: lists to learn from, such as "VOC2007/trainval"."""
    test: tuple[str, ...] = ()
    """voc, coco: lists to test on."""
    folds: int = 0
    """voc: instead of `test`, cut the photos of `train` into so many parts, one of which tests."""
    fold: int = 0
    """Which part tests."""
    coco128: str = ""
    """voc: a folder in the form of COCO128 that joins the photos to learn from. "": none."""
    images_per_class: int = 15
    """folders, probe: N photos of each class to learn from, all others to test on."""
    split: int = 0
    """folders: which of the random splits."""
    size: int = 224
    """Pixels: side of the input; detection: shorter side; segmentation: side of a training crop."""
    long_side: int = 1000
    """detection: which the longer side does not exceed."""
    short_sides: tuple[int, ...] = ()
    """detection: shorter sides to learn from, one drawn each update. Empty: `size` alone."""
    scales: tuple[float, float] = (0.5, 2.0)
    """segmentation: range of the random scale of a training photo."""
    late_size: int = 0
    """classification: side of the input in the last epochs. 0: `size` throughout."""
    late_epochs: float = 0.0
    """How many epochs those are."""
    batch_size: int = 32
    """Photos an update."""
    batch_norm_group: int = 32
    """Photos a forward pass, normalised together, at most. Processes share the groups of a batch;
    a detector's and a segmenter's loss is a mean over each."""
    workers: int = 2
    """Threads that read, decode and augment; the result does not depend on them."""

    def __post_init__(self) -> None:
        self.expect("size", 16 <= self.size <= 4096, "16 to 4096")
        self.expect("late_size", self.late_size == 0 or 16 <= self.late_size <= 4096, "16 to 4096")
        self.expect("batch_size", 1 <= self.batch_size <= 1 << 17, "1 to 131072")
        self.expect("batch_norm_group", self.batch_norm_group >= 2, "2 or more")
        self.expect("images_per_class", self.images_per_class >= 1, "1 or more")
        self.expect("folds", self.folds == 0 or self.folds >= 2, "0, or 2 or more")
        self.expect("fold", 0 <= self.fold < max(1, self.folds), "0 up to data.folds - 1")
        self.expect("split", self.split >= 0, "0 or more")
        low, high = self.scales
        self.expect("scales", 0 < low <= high <= 16, "two numbers, the lower one first")
        self.expect("workers", 1 <= self.workers <= 256, "1 to 256")

    def size_at(self, epoch: float, epochs: float) -> int:
        """Side of the input at a time of a run of so many epochs."""
        late = self.late_size and epoch >= epochs - self.late_epochs
        return self.late_size if late else self.size


@dataclass(frozen=True)
class TransferLoss(Section):
    """Of classification; detection and segmentation have their own."""

    section: ClassVar[str] = "loss"
    name: Literal["softmax", "bce", "asymmetric"] = "softmax"
    """softmax for one class a photo; binary cross-entropy, or the asymmetric loss, for several."""
    label_smoothing: float = 0.0
    """softmax: share of a target that is spread over all classes."""

    def __post_init__(self) -> None:
        self.expect("label_smoothing", 0 <= self.label_smoothing < 1, "0 up to 1")


@dataclass(frozen=True)
class TransferEvaluation(Section):
    """How the test photos are looked at."""

    section: ClassVar[str] = "evaluation"
    every_epochs: int = 0
    """0: only at the end."""
    sizes: tuple[int, ...] = ()
    """classification: sides of the input, each measured, and their mean; detection: shorter sides,
    whose boxes are joined. Empty: data.size alone."""
    crops: int = 1
    """classification: 1 (the centre) or 10 (corners and centre, and mirrored)."""
    crop_fraction: float = 0.875
    """classification: share of the shorter side that the central crop keeps."""
    scales: tuple[float, ...] = (1.0,)
    """segmentation: of the photo, whose scores are averaged."""
    short_side: int = 0
    """segmentation: to which photos are made smaller first; scores go back up. 0: as they are."""
    flip: bool = False
    """detection, segmentation: look at the mirrored photo too."""
    batch_size: int = 64
    """classification: crops a forward pass."""
    draws: int = 5
    """probe: random draws, of which minimum, median and maximum are told."""
    pictures: int = 6
    """Best and worst photos on the page, so many of each."""

    def __post_init__(self) -> None:
        self.expect("every_epochs", self.every_epochs >= 0, "0 or more")
        self.expect("crops", self.crops in (1, 10), "1 or 10")
        self.expect("crop_fraction", 0.1 <= self.crop_fraction <= 1, "0.1 to 1")
        self.expect("sizes", all(16 <= size <= 4096 for size in self.sizes), "16 to 4096")
        self.expect("scales", all(0 < s <= 16 for s in self.scales or (0,)), "above 0, up to 16")
        self.expect("batch_size", self.batch_size >= 1, "1 or more")
        self.expect("draws", self.draws >= 1, "1 or more")
        self.expect("pictures", 0 <= self.pictures <= 100, "0 to 100")


@dataclass(frozen=True)
class TransferRecipe(RecipeFile):
    """A whole transfer experiment."""

    task: TaskName = "classification"
    model: TransferModel = field(default_factory=TransferModel)
    data: TransferData = field(default_factory=TransferData)
    loss: TransferLoss = field(default_factory=TransferLoss)
    evaluation: TransferEvaluation = field(default_factory=TransferEvaluation)

    def __post_init__(self) -> None:
        super().__post_init__()
        # Its gradients need a scaler, which exact resume would have to know of.
        float16 = self.hardware.precision == "float16"
        long_enough = self.task != "detection" or self.data.long_side >= self.data.size
        self.data.expect("long_side", long_enough, "data.size or more")
        self.hardware.expect("precision", not float16, "float32 or bfloat16 in transfer")


def find_transfer_recipe(name_or_path: str | Path) -> TransferRecipe:
    """Read a recipe by name, such as "voc2007-detection-07", or by path; raises RecipeError."""
    return find_recipe_of(TransferRecipe, name_or_path, FOLDER)
