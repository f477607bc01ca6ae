"""Linear probe: how well a network's features carry over to other classes, N photos a class.

The protocol of Caltech-101 and Caltech-256: N photos of every class to learn from, all others to
test on; accuracy is averaged over classes, so that a large class weighs no more than a small one;
and the whole is repeated over several random splits. The network is not trained any further: a
multinomial logistic regression learns on its features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from mlimages.errors import InputError, require
from mlimages.images.photos import PhotoReject, PhotoStream, find_photos
from mlimages.models.interface import Model, run_batches
from mlimages.progress import track

# Folders of photos of nothing in particular, which published figures leave out.
CLUTTER = ("BACKGROUND_Google", "257.clutter")
# Inverse strength of the L2 penalty, in scikit-learn's form, on standardised features. One value
# for all networks and numbers of photos: a choice on test photos could flatter one of them.
REGULARISATION = 0.01


@dataclass(frozen=True)
class ProbeResult:
    """Accuracy of a linear probe.

    Attributes:
        images_per_class: photos of each class to learn from.
        num_classes: classes.
        num_train, num_test: photos to learn from, and to test on, in each split.
        per_split: mean per-class accuracy of each split, in [0, 1].
        mean: of the splits.
        deviation: sample standard deviation over the splits; NaN for a single one.
        seed: the splits are a function of it and of the labels.
    """

    images_per_class: int
    num_classes: int
    num_train: int
    num_test: int
    per_split: list[float]
    mean: float
    deviation: float
    seed: int


@dataclass(frozen=True)
class PhotoClasses:
    """A folder of class folders.

    Attributes:
        names: the classes, sorted.
        photos: files, class by class.
        labels: int[photos], positions in `names`.
        excluded: clutter folders that were left out.
    """

    names: list[str]
    photos: list[Path]
    labels: np.ndarray
    excluded: list[str]


@dataclass(frozen=True)
class FolderProbe:
    """Probes of one or more networks on the same splits of one folder.

    Attributes:
        results: by the model's name.
        excluded: clutter folders that were left out.
        files: how many files the class folders hold.
        rejects: those that could not be read as photos, and why.
    """

    results: dict[str, ProbeResult]
    excluded: list[str]
    files: int
    rejects: list[PhotoReject]


def linear_probe(
    features: np.ndarray,
    labels: ArrayLike,
    images_per_class: int,
    splits: int = 5,
    seed: int = 0,
    names: Sequence[str] | None = None,
) -> ProbeResult:
    """Probe features that are at hand.

    Features are standardised by the mean and deviation of the training photos.

    Args:
        features: float [photos, dimension].
        labels: int [photos], the class of each, 0 .. classes - 1.
        images_per_class: N, photos of each class to learn from.
        splits: how many random splits.
        seed: of the splits. They depend on nothing else but the labels, so that two networks with
            the same seed are compared on the same photos.
        names: what errors call the classes (their numbers by default).

    Raises:
        InputError: fewer than two classes, or a class with fewer than N + 1 photos.
        MissingExtraError: scikit-learn is not installed.
    """
    labels = np.asarray(labels, np.int64)
    if len(labels) != len(features):
        cause = f"{len(features)} features, {len(labels)} labels"
        raise InputError("linear probe", cause, "give one label a photo")
    if splits < 1:
        raise InputError(f"splits {splits}", "out of range", "use 1 or more")
    check_counts(labels, images_per_class, names)
    parts = [split(labels, images_per_class, seed, number) for number in range(splits)]
    accuracies = [
        _accuracy(features, labels, train) for train in track(parts, "probing", unit="splits")
    ]
    num_train = int(parts[0].sum())
    return ProbeResult(
        images_per_class=images_per_class,
        num_classes=int(labels.max()) + 1,
        num_train=num_train,
        num_test=len(labels) - num_train,
        per_split=accuracies,
        mean=float(np.mean(accuracies)),
        deviation=float(np.std(accuracies, ddof=1)) if splits > 1 else float("nan"),
        seed=seed,
    )


def probe_folder(
    models: Sequence[Model],
    folder: Path | str,
    images_per_class: int = 15,
    splits: int = 5,
    seed: int = 0,
    batch_size: int = 64,
) -> FolderProbe:
    """Probe networks on a folder that holds one folder of photos a class.

    Args:
        models: all see the same splits.
        folder: such as Caltech-101's `101_ObjectCategories`. Its clutter class is left out.
        images_per_class, splits, seed: as for `linear_probe`.
        batch_size: photos given to a network at a time.

    Raises:
        InputError: as `linear_probe`; or the folder is missing or holds no class folders. Broken
            photos do not count towards a class.
    """
    classes = read_class_folders(folder)
    check_counts(classes.labels, images_per_class, classes.names)
    results = {}
    rejects: list[PhotoReject] = []
    for model in models:
        stream = PhotoStream(classes.photos, model.minimum_side, f"features of {model.name}")
        empty = np.zeros((0, model.feature_dim), np.float32)
        batches = run_batches(model, stream, model.features, batch_size)
        vectors = np.concatenate([empty, *batches])
        rejects = stream.rejects
        kept = set(stream.kept)
        readable = np.array([photo in kept for photo in classes.photos])
        labels = classes.labels[readable]
        results[model.name] = linear_probe(
            vectors, labels, images_per_class, splits, seed, classes.names
        )
    return FolderProbe(results, classes.excluded, len(classes.photos), rejects)


def read_class_folders(folder: Path | str) -> PhotoClasses:
    """List the photos of a folder of class folders, without its clutter class.

    Raises:
        InputError: it is missing, or holds fewer than two class folders, or one holds no file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(folder, "no such folder", "name a folder with one folder a class")
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    excluded = [path.name for path in inside if path.name in CLUTTER]
    classes = [path for path in inside if path.name not in CLUTTER]
    if len(classes) < 2:
        cause = f"holds {len(classes)} class folders"
        raise InputError(folder, cause, "name a folder with one folder a class")
    photos = [find_photos([path]) for path in classes]
    labels = np.repeat(np.arange(len(classes)), [len(files) for files in photos])
    names = [path.name for path in classes]
    return PhotoClasses(names, [file for files in photos for file in files], labels, excluded)


def check_counts(
    labels: np.ndarray, images_per_class: int, names: Sequence[str] | None = None
) -> None:
    """Make sure that every class has photos to learn from and at least one to test on.

    Raises:
        InputError: names the smallest class and its count.
    """
    if images_per_class < 1:
        raise InputError(f"{images_per_class} images a class", "out of range", "use 1 or more")
    counts = np.bincount(labels, minlength=len(names) if names is not None else 0)
    if len(counts) < 2:
        raise InputError("linear probe", "fewer than two classes", "give two or more")
    smallest = int(np.argmin(counts))
    if counts[smallest] > images_per_class:
        return
    name = names[smallest] if names is not None else str(smallest)
    few = int((counts <= images_per_class).sum()) - 1
    others = f" (and {few} more classes have too few)" if few else ""
    raise InputError(
        f"class {name}",
        f"{counts[smallest]} readable photos, but {images_per_class} to learn from and 1 to test "
        f"on need {images_per_class + 1}{others}",
        "use fewer images a class, or leave the class out",
    )


def split(labels: np.ndarray, images_per_class: int, seed: int, number: int) -> np.ndarray:
    """Draw a split: bool[photos], true for the N photos of each class to learn from."""
    rng = np.random.default_rng([seed, number])
    train = np.zeros(len(labels), bool)
    for category in range(int(labels.max()) + 1):
        members = np.flatnonzero(labels == category)
        train[rng.permutation(members)[:images_per_class]] = True
    return train


def per_class_accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """The mean over classes of the share of a class's photos that were recognised."""
    total = np.bincount(labels)
    right = np.bincount(labels[predicted == labels], minlength=len(total))
    return float((right[total > 0] / total[total > 0]).mean())


def _accuracy(features: np.ndarray, labels: np.ndarray, train: np.ndarray) -> float:
    linear_model = require("sklearn.linear_model", extra="train")
    preprocessing = require("sklearn.preprocessing", extra="train")
    scaler = preprocessing.StandardScaler().fit(features[train])
    classifier = linear_model.LogisticRegression(C=REGULARISATION, max_iter=1000)
    classifier.fit(scaler.transform(features[train]), labels[train])
    predicted = classifier.predict(scaler.transform(features[~train]))
    return per_class_accuracy(predicted, labels[~train])
