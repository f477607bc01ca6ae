"""kNN, a logistic probe and a linear SVM from N photos a class, over several random draws.

Kolesnikov et al., "Big Transfer", ECCV 2020, tell the minimum, median and maximum of five runs.
kNN compares features by cosine and takes the class with the largest sum of similarities among the
nearest; the probe is that of probe.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from mlimages.errors import require
from mlimages.images.photos import PhotoStream
from mlimages.models.interface import Model, run_batches
from mlimages.models.probe import (
    check_counts,
    linear_probe,
    per_class_accuracy,
    read_class_folders,
    split,
)

NEIGHBOURS = 5
SVM_PENALTY = 0.001  # the same for every network and N, as the logistic probe's


@dataclass(frozen=True)
class FewShotResult:
    """Accuracies of several draws.

    Attributes:
        images_per_class, num_classes, num_test: of each draw.
        accuracies: by method ("knn", "linear", "svm"), mean per-class accuracy of each draw.
        excluded: clutter folders that were left out.
    """

    images_per_class: int
    num_classes: int
    num_test: int
    accuracies: dict[str, list[float]]
    excluded: list[str] = field(default_factory=list)

    def median(self, method: str) -> float:
        """Of the draws."""
        return float(np.median(self.accuracies[method]))


def few_shot(
    features: np.ndarray, labels: ArrayLike, images_per_class: int, draws: int = 5, seed: int = 0
) -> FewShotResult:
    """Both methods on the same draws.

    Args:
        features: float [photos, dimension].
        labels: int [photos], 0 .. classes - 1.
        images_per_class: N, photos of each class to learn from.
        draws: how many random draws.
        seed: of the draws, the same as of `linear_probe`.

    Raises:
        InputError: as `linear_probe`.
    """
    labels = np.asarray(labels, np.int64)
    linear = linear_probe(features, labels, images_per_class, draws, seed)
    nearest: list[float] = []
    machine: list[float] = []
    for number in range(draws):
        train = split(labels, images_per_class, seed, number)
        known, asked = (features[train], labels[train]), features[~train]
        for found, predicted in (
            (nearest, nearest_neighbours(*known, asked)),
            (machine, support_vectors(*known, asked)),
        ):
            found.append(per_class_accuracy(predicted, labels[~train]))
    return FewShotResult(
        images_per_class,
        linear.num_classes,
        linear.num_test,
        {"knn": nearest, "linear": linear.per_split, "svm": machine},
    )


def support_vectors(known: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The class of each asked feature by scikit-learn's linear SVM, one class against the rest.

    Args:
        known: float [n, dimension], standardised inside as for the logistic probe.
        labels: int [n].
        asked: float [m, dimension].
    """
    pipeline = require("sklearn.pipeline", extra="train")
    preprocessing = require("sklearn.preprocessing", extra="train")
    svm = require("sklearn.svm", extra="train").LinearSVC(C=SVM_PENALTY, random_state=0)
    model = pipeline.make_pipeline(preprocessing.StandardScaler(), svm)
    return model.fit(known, labels).predict(asked)


def nearest_neighbours(
    known: np.ndarray, labels: np.ndarray, asked: np.ndarray, k: int = NEIGHBOURS
) -> np.ndarray:
    """The class of each asked feature by the nearest known ones, int [asked].

    Args:
        known: float [n, dimension].
        labels: int [n].
        asked: float [m, dimension].
        k: neighbours; never more than the photos of the smallest class.
    """
    k = max(1, min(k, int(np.bincount(labels).min())))
    similar = _units(asked) @ _units(known).T
    nearest = np.argsort(-similar, axis=1, kind="stable")[:, :k]
    votes = np.zeros((len(asked), int(labels.max()) + 1))
    rows = np.arange(len(asked))[:, None]
    np.add.at(votes, (rows, labels[nearest]), np.take_along_axis(similar, nearest, 1))
    return votes.argmax(1)


def _units(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)


def few_shot_folder(
    model: Model,
    folder: Path | str,
    images_per_class: int,
    draws: int = 5,
    seed: int = 0,
    batch_size: int = 64,
) -> FewShotResult:
    """Probe a network on a folder that holds one folder of photos a class.

    Raises:
        InputError: as `probe.probe_folder`.
    """
    classes = read_class_folders(folder)
    check_counts(classes.labels, images_per_class, classes.names)
    stream = PhotoStream(classes.photos, model.minimum_side, f"features of {model.name}")
    empty = np.zeros((0, model.feature_dim), np.float32)
    features = np.concatenate([empty, *run_batches(model, stream, model.features, batch_size)])
    kept = set(stream.kept)
    labels = classes.labels[np.array([photo in kept for photo in classes.photos])]
    check_counts(labels, images_per_class, classes.names)
    found = few_shot(features, labels, images_per_class, draws, seed)
    return replace(found, excluded=classes.excluded)
