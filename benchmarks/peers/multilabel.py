"""The measures of an evaluation by torchmetrics, as its documentation has them.

Average precision, macro and micro, exact (`thresholds=None`) and from one shared state
(`MetricCollection` with compute groups); precision and recall of the k highest scores a category,
and an image (`multidim_average="samplewise"`), from the chosen ones as 0 and 1. Arguments are not
checked (`validate_args=False`), which is faster. F1 follows from the averaged P and R.
https://lightning.ai/docs/torchmetrics/stable/classification/average_precision.html
https://lightning.ai/docs/torchmetrics/stable/pages/overview.html#metriccollection
"""

from __future__ import annotations

import torch
from torchmetrics import MetricCollection
from torchmetrics.classification import (
    MultilabelAveragePrecision,
    MultilabelPrecision,
    MultilabelRecall,
)
from torchmetrics.functional.classification import multilabel_stat_scores


class MultilabelSet:
    """P, R and F1 at 5 and 10 an image and a category, and mean average precision.

    Args:
        num_categories: columns of the scores.
    """

    def __init__(self, num_categories: int) -> None:
        self.num_categories, unchecked = num_categories, {"validate_args": False}
        self.ranking = MetricCollection(
            {
                average: MultilabelAveragePrecision(num_categories, average, **unchecked)
                for average in ("macro", "micro")
            }
        )
        self.top = {
            k: MetricCollection(
                {
                    "precision": MultilabelPrecision(num_categories, average="macro", **unchecked),
                    "recall": MultilabelRecall(num_categories, average="macro", **unchecked),
                }
            )
            for k in (5, 10)
        }
        self.images: dict[int, list[torch.Tensor]] = {k: [] for k in self.top}

    def update(self, scores: torch.Tensor, truth: torch.Tensor) -> None:
        """Add float [B, num_categories] and their 0 or 1."""
        self.ranking.update(scores, truth)
        best = scores.topk(max(self.top)).indices
        for k, metrics in self.top.items():
            chosen = torch.zeros_like(truth).scatter_(1, best[:, :k], 1)
            metrics.update(chosen, truth)
            found = multilabel_stat_scores(
                chosen[..., None],
                truth[..., None],
                self.num_categories,
                average="micro",
                multidim_average="samplewise",
                validate_args=False,
            )
            self.images[k].append(found)  # [B, (tp, fp, tn, fn, support)]

    def compute(self) -> dict[str, float]:
        """All measures under the names that `MultilabelResult.summary` has."""
        values = self.ranking.compute()
        numbers = {f"map_{average}": float(value) for average, value in values.items()}
        for k, metrics in self.top.items():
            for name, value in metrics.compute().items():
                numbers[f"class_{name}_top{k}"] = float(value)
            right, wrong, _, missed, _ = torch.cat(self.images[k]).double().unbind(1)
            numbers[f"instance_precision_top{k}"] = float((right / (right + wrong)).mean())
            numbers[f"instance_recall_top{k}"] = float((right / (right + missed)).mean())
            for level in ("class", "instance"):
                p, r = (numbers[f"{level}_{name}_top{k}"] for name in ("precision", "recall"))
                numbers[f"{level}_f1_top{k}"] = 2 * p * r / (p + r)
        return numbers
