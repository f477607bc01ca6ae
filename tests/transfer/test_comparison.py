"""Two networks on the same photos: pooled measures and paired intervals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.transfer import worlds

from mlimages.metrics.segmentation import Segmentation
from mlimages.transfer.comparison import compare, mean_iou, read_images, voc_average_precision
from mlimages.transfer.datasets.voc import read_detection


def test_pooled_iou_is_that_of_all_pixels() -> None:
    generator, meter, lines = np.random.default_rng(0), Segmentation(4), []
    for number in range(5):
        truth, found = generator.integers(0, 3, (2, 6, 7))
        meter.update(found, truth)
        pairs = np.zeros((4, 4), int)
        np.add.at(pairs, (truth, found), 1)
        line = {"right": np.diag(pairs), "there": pairs.sum(1), "found": pairs.sum(0)}
        lines.append({"image": str(number), **line})
    assert mean_iou(lines) == pytest.approx(meter.compute().mean_iou)


def test_perfect_detections_have_the_precision_one(tmp_path: Path) -> None:
    truth = read_detection(worlds.write_voc(tmp_path), ["VOC2007/test"])
    lines = [
        {"image": path.name, "boxes": b.tolist(), "scores": [1.0] * len(b), "labels": k.tolist()}
        for path, b, k in zip(truth.paths, truth.boxes, truth.labels, strict=True)
    ]
    nothing = [{**line, "boxes": [], "scores": [], "labels": []} for line in lines]
    found = compare(lines, nothing, voc_average_precision(truth), draws=20)
    assert (found.first, found.second) == (1, 0)
    assert (found.low, found.high) == (1, 1)


def test_an_interval_holds_the_true_difference_and_shrinks_with_photos() -> None:
    def lines(count: int, mean: float) -> list[dict]:
        scores = np.random.default_rng(1).normal(size=count) + mean
        return [{"image": str(i), "value": float(score)} for i, score in enumerate(scores)]

    def measure(drawn: list[dict]) -> float:
        return float(np.mean([line["value"] for line in drawn]))

    same = compare(lines(50, 1), lines(50, 0), measure, draws=200)
    assert same.low == pytest.approx(1)  # paired: the photos' own differences cancel out
    assert same.high == pytest.approx(1)
    noisy = [
        {**line, "value": noise}
        for line, noise in zip(
            lines(400, 0), np.random.default_rng(2).normal(size=400).tolist(), strict=True
        )
    ]
    wide = compare(lines(400, 0)[:40], noisy[:40], measure, draws=300)
    narrow = compare(lines(400, 0), noisy, measure, draws=300)
    assert narrow.high - narrow.low < wide.high - wide.low
    assert narrow.low < 0 < narrow.high


def test_other_photos_are_refused() -> None:
    with pytest.raises(ValueError, match="same photos"):
        compare([{"image": "a"}], [{"image": "b"}], len)


def test_folds_are_read_together(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "images.jsonl").write_text(json.dumps({"image": name}) + "\n")
    assert [line["image"] for line in read_images([tmp_path / "a", tmp_path / "b"])] == ["a", "b"]
