"""Measuring a model on a split of a database, beside a baseline that predicts frequencies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from mlimages.database import Database
from mlimages.errors import InputError, MlimagesError
from mlimages.images.shards import ShardReader
from mlimages.metrics.multilabel import MultilabelMetrics, MultilabelResult, frequency_baseline
from mlimages.selection import Selection
from mlimages.training.distribution import Ranks
from mlimages.training.inference import LoadedModel
from mlimages.training.prediction import model_outputs, score_images


@dataclass(frozen=True)
class EvaluationReport:
    """What one model does on one set of images.

    Attributes:
        model: its measures. Categories that the model has no output for, but the images have, count
            too, with the score 0.
        baseline: the same for predicting every category's training frequency.
        keys: the category of each column of both.
        broken: images that could not be read, "row N: reason"; they are in no measure.
    """

    model: MultilabelResult
    baseline: MultilabelResult
    keys: tuple[str, ...] = field(repr=False)
    broken: list[str] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """The headline numbers of both, for logs and JSON."""
        return {
            "model": self.model.summary(),
            "baseline": self.baseline.summary(),
            "broken": len(self.broken),
        }


def evaluate(
    model: LoadedModel,
    reader: ShardReader,
    keys: list[str],
    selection: Selection,
    frequencies: np.ndarray,
    minimum_positives: int = 10,
    batch_size: int = 100,
    ranks: Ranks | None = None,
) -> EvaluationReport:
    """Measure a model.

    Args:
        model: its categories are matched to the vocabulary by key.
        reader: decodes an image by its row.
        keys: the database's vocabulary.
        selection: the images, with tags as vocabulary indices.
        frequencies: share of the training images with each category, [vocabulary].
        minimum_positives: positives that a category needs to enter mean average precision.
        batch_size: images a forward pass.
        ranks: processes that all call this and each measure a part of the images.

    Raises:
        InputError: no image can be read, the model's outputs are not finite, or it has no category
            of the vocabulary.
    """
    ranks = ranks or Ranks()
    outputs, places = model_outputs(model, keys)
    columns = np.union1d(places, np.unique(selection.categories)).astype(np.int64)
    column_of = np.full(len(keys), -1, dtype=np.int64)
    column_of[columns] = np.arange(len(columns))
    metrics = MultilabelMetrics(len(columns), minimum_positives, ranks=ranks)
    mine = np.arange(ranks.rank, len(selection), ranks.size)
    broken: list[str] = []
    kept_indptr, kept_categories = [np.zeros(1, dtype=np.int64)], []
    scored = score_images(model, reader, selection.rows[mine], batch_size, broken)
    for positions, probabilities in scored:
        if not np.isfinite(probabilities).all():
            raise InputError(
                model.name, "its outputs are not finite numbers", "use an earlier checkpoint"
            )
        scores = np.zeros((len(positions), len(columns)), dtype=np.float32)
        scores[:, column_of[places]] = probabilities[:, outputs]
        indptr, categories = _tags_of(selection, mine[positions])
        metrics.update(scores, indptr, column_of[categories])
        kept_indptr.append(indptr[1:] + kept_indptr[-1][-1])
        kept_categories.append(column_of[categories])
    broken = [line for lines in ranks.collect(broken) for line in lines]
    if not ranks.sum(np.array(len(kept_indptr) - 1)):
        problem = f"none of {len(selection):,} can be read" + (f" ({broken[0]})" if broken else "")
        raise InputError("the images to measure on", problem, "run: mlimages check DB")
    baseline = frequency_baseline(
        frequencies[columns],
        np.concatenate(kept_indptr),
        np.concatenate([np.empty(0, np.int64), *kept_categories]),
        minimum_positives,
        ranks,
    )
    names = tuple(keys[column] for column in columns)
    return EvaluationReport(metrics.compute(), baseline, names, broken)


def evaluate_database(
    model: LoadedModel,
    db: Database,
    split: str = "validation",
    part: Literal["all", "multi", "single"] = "all",
    minimum_positives: int = 10,
) -> EvaluationReport:
    """Measure a model on a split of a database.

    The baseline's frequencies are those of the split "train", or, without one, of all images.
    """
    keys = [category.key for category in db.taxonomy.categories]
    selection = db.select(split=split, part=part)
    try:
        seen = db.select(split="train", packed=False)
    except MlimagesError:
        seen = db.select(packed=False)
    frequencies = training_frequencies(seen, len(keys))
    return evaluate(model, db.reader(), keys, selection, frequencies, minimum_positives)


def training_frequencies(selection: Selection, num_categories: int) -> np.ndarray:
    """Share of the images with each category, float64 [num_categories]."""
    return np.bincount(selection.categories, minlength=num_categories) / max(1, len(selection))


def _tags_of(selection: Selection, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    parts = [selection.categories[selection.indptr[p] : selection.indptr[p + 1]] for p in positions]
    indptr = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
    return indptr, np.concatenate(parts).astype(np.int64)
