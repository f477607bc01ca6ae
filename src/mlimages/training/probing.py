"""Linear and kNN probes of a run's network while it is trained: models/few_shot.py on photos that
the recipe names.

It changes nothing of the run: the network is as it would be used, and the draws have a seed of
their own. The first rank does it, and the others wait.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from mlimages.database import Database
from mlimages.errors import InputError
from mlimages.images.photos import PhotoStream
from mlimages.labels.tags import ASSERTED
from mlimages.models.few_shot import few_shot
from mlimages.models.interface import Model, run_batches
from mlimages.models.probe import read_class_folders
from mlimages.store import Store
from mlimages.training.inference import LoadedModel, loaded_network
from mlimages.training.setup import Setup
from mlimages.training.threads import read_images

logger = logging.getLogger(__name__)

DRAWS = 3


@dataclass(frozen=True)
class LabelledPhotos:
    """Photos, each of one class.

    Attributes:
        place: where they are from.
        labels: int64 [photos].
        read: given a model, the photos that can be read, as (position, RGB uint8 [h, w, 3]).
    """

    place: Path
    labels: np.ndarray
    read: Callable[[Model], Iterator[tuple[int, np.ndarray]]]


class Probe:
    """The probes of a run; without photos in its recipe nothing is measured.

    Args:
        setup: of the run.
        name: that the model is called by in messages.

    Raises:
        InputError: the photos are missing, or fewer than two classes have enough.
    """

    def __init__(self, setup: Setup, name: str) -> None:
        self.setup, self.name = setup, name
        self.settings = setup.recipe.evaluation
        self.photos: LabelledPhotos | None = None
        if self.settings.probe:
            place = Path(self.settings.probe)
            self.photos = setup.ranks.together(
                lambda: labelled_photos(place, self.settings.probe_images)
            )

    def measure(self, epoch: float) -> dict[str, Any] | None:
        """Median accuracy of either method on the network as it is now, at this epoch.

        None without photos.
        """
        setup, photos = self.setup, self.photos
        if photos is None:
            return None
        with setup.state.measured() as network:
            model = loaded_network(self.name, network, setup.model, setup.ranks.device)
            found = setup.ranks.together(
                lambda: self._accuracies(model, photos) if setup.ranks.is_first else {}
            )
        found = setup.ranks.share(found)
        logger.info(
            "epoch %.2f  probes: linear %.4f, kNN %.4f over %d classes",
            epoch,
            found["linear"],
            found["knn"],
            found["classes"],
        )
        return found

    def _accuracies(self, model: LoadedModel, photos: LabelledPhotos) -> dict[str, Any]:
        kept: list[int] = []

        def images() -> Iterator[np.ndarray]:
            for position, image in photos.read(model):
                kept.append(position)
                yield image

        batches = run_batches(model, images(), model.features, self.settings.batch_size)
        features = np.concatenate([np.zeros((0, model.feature_dim), np.float32), *batches])
        count = self.settings.probe_images
        # Again: some photos may be broken.
        chosen, labels = _large_classes(photos.place, photos.labels[kept], count)
        result = few_shot(features[chosen], labels, count, DRAWS)
        return {
            "linear": result.median("linear"),
            "knn": result.median("knn"),
            "images_per_class": count,
            "classes": result.num_classes,
            "test_images": result.num_test,
        }


def labelled_photos(place: Path, images_per_class: int) -> LabelledPhotos:
    """The photos of a folder of class folders, or of a database, of classes with enough of them.

    Raises:
        InputError: there are none, or of fewer than two classes.
    """
    if (place / "database.json").is_file():
        return _from_database(place, images_per_class)
    classes = read_class_folders(place)
    chosen, labels = _large_classes(place, classes.labels, images_per_class)
    paths = [classes.photos[position] for position in chosen]

    def read(model: Model) -> Iterator[tuple[int, np.ndarray]]:
        position_of = {path: position for position, path in enumerate(paths)}
        stream = PhotoStream(paths, model.minimum_side, f"features of {model.name}")
        for image in stream:
            yield position_of[stream.kept[-1]], image

    return LabelledPhotos(place, labels, read)


def _from_database(place: Path, images_per_class: int) -> LabelledPhotos:
    """Single-label images; the class of each is the deepest category that a source asserted."""
    db = Database.open(place)
    packed = db.select(part="single").rows
    images, categories = _asserted(db.store)
    known = np.isin(images, packed)
    images, categories = images[known], categories[known]
    depths = db.taxonomy.hierarchy(db.rules.hierarchy).depths
    order = np.lexsort((-depths[categories], images))
    first = order[np.flatnonzero(np.diff(images[order], prepend=-1))]
    chosen, labels = _large_classes(place, categories[first], images_per_class)
    rows, reader = images[first][chosen], db.reader()

    def read(model: Model) -> Iterator[tuple[int, np.ndarray]]:
        for position, found in read_images(reader, rows, model.minimum_side):
            if not isinstance(found, str):
                yield position, found

    return LabelledPhotos(place, labels, read)


def _asserted(store: Store) -> tuple[np.ndarray, np.ndarray]:
    """Row and category of the tags that a source gave, int32 each."""
    rows, categories = [np.empty(0, np.int32)], [np.empty(0, np.int32)]
    for partition in store.partitions("tags"):
        table = store.table("tags", ["row", "categories", "reasons"], partition)
        tagged = np.repeat(table["row"].to_numpy(), pc.list_value_length(table["categories"]))
        given = pc.list_flatten(table["reasons"]).to_numpy() == ASSERTED
        rows.append(tagged[given])
        categories.append(pc.list_flatten(table["categories"]).to_numpy()[given])
    return np.concatenate(rows), np.concatenate(categories)


def _large_classes(
    place: Path, labels: np.ndarray, images_per_class: int
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the photos of classes with photos to test on too, and labels from 0 on."""
    large = np.bincount(labels) > images_per_class
    if large.sum() < 2:
        raise InputError(
            place,
            f"{large.sum()} classes have more than {images_per_class} photos",
            "lower evaluation.probe_images, or name other photos",
        )
    chosen = np.flatnonzero(large[labels])
    return chosen, (np.cumsum(large) - 1)[labels[chosen]]
