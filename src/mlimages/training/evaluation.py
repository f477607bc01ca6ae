"""Measuring a model on a split of a database, beside a baseline that predicts frequencies."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from mlimages.database import Database
from mlimages.errors import InputError, MlimagesError
from mlimages.images.shards import ShardReader
from mlimages.metrics.consistency import Consistency, ConsistencyMeter
from mlimages.metrics.groups import HEAD_ABOVE, TAIL_BELOW, by_depth, by_frequency
from mlimages.metrics.multilabel import MultilabelMetrics, MultilabelResult
from mlimages.metrics.results import Negatives
from mlimages.selection import KnownAbsences, Selection
from mlimages.taxonomy.hierarchy import Hierarchy
from mlimages.training.distribution import Ranks
from mlimages.training.inference import LoadedModel
from mlimages.training.negatives import KnownNegatives
from mlimages.training.prediction import model_outputs, score_images


@dataclass(frozen=True)
class Vocabulary:
    """What is known of a database's categories before anything is measured.

    Attributes:
        keys: of the categories.
        training_images: int [categories], images with each in the split that is trained on.
        images: of that split.
        hierarchy: over the categories.
    """

    keys: list[str]
    training_images: np.ndarray
    images: int
    hierarchy: Hierarchy

    @classmethod
    def of(cls, db: Database, trained: Selection) -> Vocabulary:
        """Of a database whose split `trained` is what is trained on."""
        keys = [category.key for category in db.taxonomy.categories]
        counts = np.bincount(trained.categories, minlength=len(keys))
        return cls(keys, counts, len(trained), db.taxonomy.hierarchy(db.rules.hierarchy))

    def edges_between(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The edges whose two ends are among some categories (ascending), as places in them."""
        place = np.full(len(self.keys), -1, np.int64)
        place[columns] = np.arange(len(columns))
        child, parent = (place[end] for end in self.hierarchy.edges())
        known = (child >= 0) & (parent >= 0)
        return child[known], parent[known]


@dataclass(frozen=True)
class EvaluationReport:
    """What one model does on one set of images.

    Attributes:
        model: its measures. Categories that the model has no output for, but the images have, count
            too, with the score 0.
        baseline: the same for predicting every category's training frequency.
        keys: the category of each column of both.
        training_images: of each column.
        depths: of each column, in the hierarchy.
        consistency: of the model's scores with the hierarchy, over the categories it scores.
        broken: images that could not be read, "row N: reason"; they are in no measure.
    """

    model: MultilabelResult
    baseline: MultilabelResult
    keys: tuple[str, ...] = field(repr=False)
    training_images: np.ndarray = field(repr=False)
    depths: np.ndarray = field(repr=False)
    consistency: Consistency
    broken: list[str] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """The headline numbers of both, for logs and JSON."""
        return {
            "model": self.model.summary(),
            "baseline": self.baseline.summary(),
            **self.parts(),
            "broken": len(self.broken),
        }

    def parts(self) -> dict[str, Any]:
        """The model's mAP by frequency and by depth, and its agreement with the hierarchy."""
        return {
            "by_frequency": {
                **self.model.of_groups(by_frequency(self.training_images)),
                "limits": {"head_above": HEAD_ABOVE, "tail_below": TAIL_BELOW},
            },
            "by_depth": self.model.of_groups(by_depth(self.depths)),
            "consistency": asdict(self.consistency),
        }

    def by_category(self) -> list[dict[str, Any]]:
        """Of each category with positives: its average precision and what it is measured on."""
        result = self.model
        return [
            {
                "category": self.keys[column],
                "average_precision": float(result.average_precision[column]),
                "positives": int(result.support[column]),
                "negatives": int(result.negative_support[column]),
                "training_images": int(self.training_images[column]),
                "depth": int(self.depths[column]),
            }
            for column in np.flatnonzero(result.support).tolist()
        ]


def evaluate(
    model: LoadedModel,
    reader: ShardReader,
    vocabulary: Vocabulary,
    selection: Selection,
    minimum_positives: int = 10,
    batch_size: int = 100,
    ranks: Ranks | None = None,
    negatives: Negatives = "closed-world",
    known: KnownAbsences | None = None,
) -> EvaluationReport:
    """Measure a model.

    Args:
        model: its categories are matched to the vocabulary by key.
        reader: decodes an image by its row.
        vocabulary: the database's.
        selection: the images, with tags as vocabulary indices.
        minimum_positives: positives that a category needs to enter mean average precision.
        batch_size: images a forward pass.
        ranks: processes that all call this and each measure a part of the images.
        negatives: of average precision; see metrics/multilabel.py.
        known: what is known not to be in the images; for all negatives but "closed-world".

    Raises:
        InputError: no image can be read, the model's outputs are not finite, it has no category
            of the vocabulary, or there are no such negatives.
    """
    ranks, keys = ranks or Ranks(), vocabulary.keys
    outputs, places = model_outputs(model, keys)
    columns = np.union1d(places, np.unique(selection.categories)).astype(np.int64)
    column_of = np.full(len(keys), -1, dtype=np.int64)
    column_of[columns] = np.arange(len(columns))
    counted = (
        KnownNegatives(negatives, known, selection, vocabulary.hierarchy, columns)
        if known is not None
        else None
    )
    metrics, baseline = (
        MultilabelMetrics(
            len(columns),
            minimum_positives,
            negatives,
            counted.exhaustive if counted else None,
            ranks,
        )
        for _ in range(2)
    )
    frequencies = vocabulary.training_images[columns] / max(1, vocabulary.images)
    order = np.argsort(places)
    meter = ConsistencyMeter(*vocabulary.edges_between(places[order]), ranks)
    mine = np.arange(ranks.rank, len(selection), ranks.size)
    broken, seen = list[str](), 0
    scored = score_images(model, reader, selection.rows[mine], batch_size, broken)
    for positions, probabilities in scored:
        if not np.isfinite(probabilities).all():
            raise InputError(
                model.name, "its outputs are not finite numbers", "use an earlier checkpoint"
            )
        scores = np.zeros((len(positions), len(columns)), dtype=np.float32)
        scores[:, column_of[places]] = probabilities[:, outputs]
        indptr, categories = _tags_of(selection, mine[positions])
        tags = column_of[categories]
        absent = counted.of(mine[positions], indptr, tags) if counted else {}
        metrics.update(scores, indptr, tags, **absent)
        # A view: it needs no memory of its own.
        constant = np.broadcast_to(frequencies.astype(np.float32), scores.shape)
        baseline.update(constant, indptr, tags, **absent)
        seen += len(positions)
        meter.update(probabilities[:, outputs[order]])
    broken = [line for lines in ranks.collect(broken) for line in lines]
    if not ranks.sum(np.array(seen)):
        problem = f"none of {len(selection):,} can be read" + (f" ({broken[0]})" if broken else "")
        raise InputError("the images to measure on", problem, "run: mlimages check DB")
    names = tuple(keys[column] for column in columns)
    return EvaluationReport(
        metrics.compute(),
        baseline.compute(),
        names,
        vocabulary.training_images[columns],
        vocabulary.hierarchy.depths[columns],
        meter.compute(),
        broken,
    )


def evaluate_database(
    model: LoadedModel,
    db: Database,
    split: str = "validation",
    part: Literal["all", "multi", "single"] = "all",
    minimum_positives: int = 10,
    negatives: Negatives = "closed-world",
) -> EvaluationReport:
    """Measure a model on a split of a database; arguments and errors are those of `evaluate`.

    The baseline's frequencies are those of the split "train", or, without one, of all images.
    """
    selection = db.select(split=split, part=part)
    try:
        seen = db.select(split="train", packed=False)
    except MlimagesError:
        seen = db.select(packed=False)
    known = None if negatives == "closed-world" else db.absences(selection)
    return evaluate(
        model,
        db.reader(),
        Vocabulary.of(db, seen),
        selection,
        minimum_positives,
        negatives=negatives,
        known=known,
    )


def _tags_of(selection: Selection, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    parts = [selection.categories[selection.indptr[p] : selection.indptr[p + 1]] for p in positions]
    indptr = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
    return indptr, np.concatenate(parts).astype(np.int64)
