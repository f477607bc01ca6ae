"""Streaming metrics at 11,166 categories against torchmetrics computing the same set.

Images come in batches of 100 with long-tailed tags and scores as a trained network gives them.
Every category has a positive and every image a tag, because the two sides treat those without
differently. Both compute mean average precision, macro and micro, and precision, recall and F1 of
the 5 and 10 highest scores an image and a category; all are equal to 1e-6 before any time counts.
Both sides have one core; seconds are of the processor.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from harness import Outcome, interleaved, medians, one_core
from peers.multilabel import MultilabelSet

from mlimages.metrics.multilabel import MultilabelMetrics

CATEGORIES, TAGS, BATCH = 11_166, 9, 100


def measure(quick: bool) -> Outcome:
    """Both sides from the first batch to the numbers."""
    images = 2_000 if quick else 4_000
    dense, scores = draw(images)
    starts = range(0, images, BATCH)
    sparse = [in_rows(dense[i : i + BATCH]) for i in starts]
    pieces = [scores[i : i + BATCH] for i in starts]
    truth = [torch.from_numpy(dense[i : i + BATCH]).long() for i in starts]
    found: dict[str, dict[str, float | int | str]] = {}

    def ours() -> None:
        metrics = MultilabelMetrics(CATEGORIES)
        for piece, tags in zip(pieces, sparse, strict=True):
            metrics.update(piece, *tags)
        found["ours"] = metrics.compute().summary()

    def torchmetrics() -> None:
        metrics = MultilabelSet(CATEGORIES)
        for piece, tags in zip(pieces, truth, strict=True):
            metrics.update(torch.from_numpy(piece), tags)
        found["torchmetrics"] = dict(metrics.compute())

    with one_core():
        times = interleaved(
            {"ours": ours, "torchmetrics": torchmetrics}, 1 if quick else 3, time.process_time
        )
    difference = max(
        abs(float(value) - float(found["ours"][name]))
        for name, value in found["torchmetrics"].items()
    )
    if not difference <= 1e-6:
        raise SystemExit(f"error: the two sides differ by {difference}: {found}")
    seconds = medians(times)
    return Outcome(
        seconds={f"metrics {side}": value for side, value in seconds.items()},
        ratios={"metrics_vs_torchmetrics": seconds["torchmetrics"] / seconds["ours"]},
        raw={f"metrics {side}": values for side, values in times.items()},
        figures={"metrics images": images, "metrics greatest difference": difference},
    )


def draw(images: int) -> tuple[np.ndarray, np.ndarray]:
    """Tags, bool, and scores, float32, [images, CATEGORIES]."""
    generator = np.random.default_rng(0)
    share = 1 / np.arange(1, CATEGORIES + 1) ** 0.9
    share /= share.sum()
    tags = generator.choice(CATEGORIES, images * TAGS, p=share)
    tags[:CATEGORIES] = generator.permutation(CATEGORIES)
    dense = np.zeros((images, CATEGORIES), bool)
    dense[np.arange(images * TAGS) % images, tags] = True
    logits = generator.normal(-6, 1.5, dense.shape).astype(np.float32)
    logits += 0.3 * np.log(CATEGORIES * share).astype(np.float32) + 4 * dense
    return dense, 1 / (1 + np.exp(-logits))


def in_rows(dense: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each image's tags begin, [B + 1], and their categories."""
    rows, categories = dense.nonzero()
    return np.searchsorted(rows, np.arange(len(dense) + 1)), categories
