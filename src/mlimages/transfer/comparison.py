"""Whether one network's results on the same test photos are better than another's.

A paired bootstrap (Efron and Tibshirani, 1993): photos are drawn with replacement, both networks
are measured on the same draw, and the interval is that of the difference over many draws.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlimages.metrics.detection import VOCDetection
from mlimages.transfer.datasets.records import BoxedPhotos

Measure = Callable[[list[dict[str, Any]]], float]
"""From lines of images.jsonl, of one photo each, to a measure of all of them."""


@dataclass(frozen=True)
class Comparison:
    """Measures of two networks, and the interval of their difference.

    Attributes:
        first, second: on all photos.
        low, high: of first - second, between which 95 of 100 draws lie.
        photos, draws: how many.
    """

    first: float
    second: float
    low: float
    high: float
    photos: int
    draws: int


def compare(
    first: Iterable[dict[str, Any]],
    second: Iterable[dict[str, Any]],
    measure: Measure,
    draws: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Measure two networks on the same photos.

    Args:
        first, second: lines of images.jsonl, by `read_images`; matched by the photo's name.
        measure: of a list of lines; a photo may be in it several times.
        draws: how many.
        seed: of the draws.

    Raises:
        ValueError: the photos are not the same.
    """
    ours = {line["image"]: line for line in first}
    theirs = {line["image"]: line for line in second}
    if ours.keys() != theirs.keys():
        raise ValueError("the two networks were not tested on the same photos")
    names = sorted(ours)
    generator = np.random.default_rng(seed)
    differences = []
    for _ in range(draws):
        drawn = [names[i] for i in generator.integers(0, len(names), len(names))]
        pair = (measure([lines[name] for name in drawn]) for lines in (ours, theirs))
        one, other = pair
        differences.append(one - other)
    low, high = np.percentile(differences, [2.5, 97.5])
    whole = [measure([lines[name] for name in names]) for lines in (ours, theirs)]
    return Comparison(whole[0], whole[1], float(low), float(high), len(names), draws)


def read_images(runs: Iterable[Path]) -> list[dict[str, Any]]:
    """The lines of images.jsonl of several runs, such as the folds of one network."""
    return [
        json.loads(line)
        for run in runs
        for line in (run / "images.jsonl").read_text(encoding="utf-8").splitlines()
    ]


def mean_iou(lines: list[dict[str, Any]]) -> float:
    """mIoU of segmentation, over the classes that occur in truth or answer."""
    right, there, found = (
        np.sum([line[key] for line in lines], axis=0) for key in ("right", "there", "found")
    )
    union = there + found - right
    return float((right[union > 0] / union[union > 0]).mean())


def voc_average_precision(truth: BoxedPhotos) -> Measure:
    """mAP of detection by VOC's 11 points, over the classes that occur among the photos drawn.

    Args:
        truth: the boxes that are there.
    """
    position = {path.name: number for number, path in enumerate(truth.paths)}

    def measure(lines: list[dict[str, Any]]) -> float:
        meter = VOCDetection(len(truth.classes))
        for line in lines:
            i = position[line["image"]]
            meter.update(
                np.asarray(line["boxes"], float).reshape(-1, 4),
                np.asarray(line["scores"], float),
                np.asarray(line["labels"], int),
                truth.boxes[i],
                truth.labels[i],
                truth.difficult[i],
            )
        return float(np.nan_to_num(meter.compute().voc07))

    return measure
