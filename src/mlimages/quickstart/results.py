"""What a guided run found, as typed data: `results.json`, from which the page is made.

Pictures are files beside it; `picture` fields are their paths relative to it.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mlimages.errors import InputError
from mlimages.storage import write_text


@dataclass(frozen=True)
class Stage:
    """One step of the chain: what it did in words, and how long it took."""

    name: str
    title: str
    seconds: float
    summary: str


@dataclass(frozen=True)
class PathTag:
    """A tag with its path up the hierarchy, root first, the tag itself last."""

    name: str
    key: str
    confidence: float
    path: list[str]


@dataclass(frozen=True)
class TaggedPhoto:
    """A photo with the tags that a network gave it."""

    picture: str
    name: str
    tags: list[PathTag]


@dataclass(frozen=True)
class RealPhotos:
    """Tags by the packaged network with real weights; `missing` says why there are none."""

    model: str
    classes: int
    photos: list[TaggedPhoto]
    missing: str | None = None


@dataclass(frozen=True)
class SourceRow:
    """Counts of one import: read = kept + rejected."""

    source: str
    format: str
    read: int
    kept: int
    rejected: int
    facts: int
    first_rejects: list[tuple[str, str]]
    notes: list[str]


@dataclass(frozen=True)
class PackRow:
    """Counts of packing: images = packed + rejected."""

    images: int
    packed: int
    rejected: int
    shards: int
    first_rejects: list[tuple[str, str]]


@dataclass(frozen=True)
class SampleTag:
    """A tag of a sample photo with its reason (asserted, ancestor or cooccurrence) in words."""

    name: str
    confidence: float
    reason: str
    why: str


@dataclass(frozen=True)
class Sample:
    """A photo of the database with all its tags."""

    picture: str
    id: str
    source: str
    tags: list[SampleTag]


@dataclass(frozen=True)
class PairRow:
    """A co-occurring pair; `true_ratio` is the share of the cause's photos that show the effect."""

    cause: str
    effect: str
    images: int
    predicted: int
    ratio: float
    true_ratio: float | None = None


@dataclass(frozen=True)
class AddedTags:
    """Added tags against the truth: precision = right / added, recall = right / wanted."""

    label: str
    added: int
    right: int
    wanted: int
    precision: float
    recall: float


@dataclass(frozen=True)
class Cooccurrence:
    """What the co-occurrence rule did.

    Attributes:
        minimum_probability, minimum_ratio: the thresholds.
        filters: how many candidates passed each filter, by its name, in order.
        pairs: the pairs that passed.
        truth: added tags and pairs against the truth; empty where it is not known.
        tags_before, tags_after: of the database without and with the rule.
    """

    minimum_probability: float
    minimum_ratio: float
    filters: dict[str, int]
    pairs: list[PairRow]
    truth: list[AddedTags]
    tags_before: int
    tags_after: int


@dataclass(frozen=True)
class TrainingRun:
    """A finished training run; `history` has one entry a line of its log."""

    label: str
    loss: str
    network: str
    images: int
    categories: int
    parameters: int
    epochs: float
    batch_size: int
    seconds: float
    images_per_second: float
    history: list[dict[str, float]]


@dataclass(frozen=True)
class MetricColumn:
    """Measures of one model (or of the baseline) under the names of MultilabelResult.summary."""

    label: str
    measures: dict[str, Any]
    baseline: bool = False


@dataclass(frozen=True)
class ExampleTag:
    """A tag given to a validation photo, and whether the photo has it."""

    name: str
    probability: float
    right: bool


@dataclass(frozen=True)
class Example:
    """A validation photo, the surest tags, and tags it has that were not among them."""

    picture: str
    id: str
    tags: list[ExampleTag]
    missed: list[str]


@dataclass(frozen=True)
class ProbeRow:
    """Mean per-class accuracy of a linear probe on one network's features."""

    label: str
    per_split: list[float]
    mean: float
    deviation: float


@dataclass(frozen=True)
class Probe:
    """Transfer to classes unseen in training; every network sees the same splits."""

    name: str
    images_per_class: int
    classes: int
    test_photos: int
    rows: list[ProbeRow]


@dataclass
class Results:
    """All of a guided run. Sections that were not reached are None or empty."""

    mode: str
    seed: int
    version: str = ""
    machine: dict[str, str] = field(default_factory=dict)
    stages: list[Stage] = field(default_factory=list)
    real: RealPhotos | None = None
    statistics: dict[str, Any] | None = None
    sources: list[SourceRow] = field(default_factory=list)
    pack: PackRow | None = None
    samples: list[Sample] = field(default_factory=list)
    cooccurrence: Cooccurrence | None = None
    training: list[TrainingRun] = field(default_factory=list)
    metrics: list[MetricColumn] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    probe: Probe | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; numbers that are not finite become None."""
        return plain(asdict(self))


def write_results(results: dict[str, Any], path: Path | str) -> None:
    """Write plain values, such as `Results.to_dict` gives, as JSON."""
    text = json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_results(path: Path | str) -> dict[str, Any]:
    """The plain values of a `results.json`; raises InputError when it cannot be read."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(path, f"cannot be read ({error})", "run: mlimages quickstart") from None


def plain(value: Any) -> Any:
    """What JSON can hold: tuples as lists, NumPy values as numbers, NaN and infinity as None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
