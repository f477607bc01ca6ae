"""What an evaluation measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Negatives = Literal["closed-world", "verified", "exhaustive"]


def is_measured(
    positives: np.ndarray, negatives: np.ndarray, minimum_positives: int, kind: Negatives
) -> np.ndarray:
    """Whether each category enters the means: with the positives and negatives that it has."""
    enough = positives >= minimum_positives
    return enough if kind == "closed-world" else enough & (negatives > 0)


@dataclass(frozen=True)
class TopScores:
    """Precision, recall and F1 (from the averaged two) of the k highest scores."""

    precision: float
    recall: float
    f1: float

    @classmethod
    def of(cls, precision: float, recall: float) -> TopScores:
        """Complete P and R with their harmonic mean."""
        total = precision + recall
        return cls(precision, recall, 2 * precision * recall / total if total > 0 else 0.0)


@dataclass(frozen=True)
class MultilabelResult:
    """All measures of one model on one set of images.

    Attributes:
        images: number of images.
        categories: number of categories in the macro mean, those with `minimum_positives`.
        minimum_positives: positives a category needs to enter macro and micro mAP.
        instance: by "top5" and "top10", averaged over images.
        per_class: by "top5" and "top10", averaged over categories.
        map_macro, map_micro: mean average precision; NaN when no category has enough positives.
        average_precision: [all categories], NaN where there is no positive.
        support: positives of each category.
        negatives: what counts as a negative.
        negative_support: negatives of each category, [all categories].
    """

    images: int
    categories: int
    minimum_positives: int
    instance: dict[str, TopScores]
    per_class: dict[str, TopScores]
    map_macro: float
    map_micro: float
    average_precision: np.ndarray = field(repr=False)
    support: np.ndarray = field(repr=False)
    negatives: Negatives = "closed-world"
    negative_support: np.ndarray = field(default_factory=lambda: np.zeros(0, int), repr=False)

    def of_groups(self, groups: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
        """Macro mAP of some groups of categories, such as head, middle and tail.

        Args:
            groups: by name, the categories of each; those with too few positives are left out.

        Returns:
            by name, the number of categories that count, their positives, map_macro (None
            without any), and its negatives.
        """
        found: dict[str, dict[str, Any]] = {}
        measured = is_measured(
            self.support, self.negative_support, self.minimum_positives, self.negatives
        )
        for name, members in groups.items():
            counted = members[measured[members]]
            values = self.average_precision[counted]
            found[name] = {
                "categories": len(counted),
                "positives": int(self.support[counted].sum()),
                "map_macro": float(values.mean()) if len(counted) else None,
                "negatives": self.negatives,
            }
        return found

    def summary(self) -> dict[str, float | int | str]:
        """The headline numbers under flat names, for logs and tables."""
        numbers: dict[str, float | int | str] = {
            "images": self.images,
            "categories": self.categories,
            "minimum_positives": self.minimum_positives,
            "negatives": self.negatives,
            "map_macro": self.map_macro,
            "map_micro": self.map_micro,
        }
        for level, scores in (("instance", self.instance), ("class", self.per_class)):
            for top, values in scores.items():
                numbers[f"{level}_precision_{top}"] = values.precision
                numbers[f"{level}_recall_{top}"] = values.recall
                numbers[f"{level}_f1_{top}"] = values.f1
        return numbers
