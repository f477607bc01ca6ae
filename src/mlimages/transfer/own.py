"""Fine-tuning on one's own labels: what the data is decides head, loss and measure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from json import dumps
from pathlib import Path

import numpy as np

from mlimages.transfer.data import TransferPhotos
from mlimages.transfer.datasets.records import LabelledPhotos, TaggedPhotos
from mlimages.transfer.datasets.table import read_own
from mlimages.transfer.loop import TransferResult, transfer
from mlimages.transfer.recipe import TransferRecipe, find_transfer_recipe
from mlimages.transfer.tasks.classification import describe_classes

RECIPE = "own"
LEAST_UPDATES = 100  # fewer would leave the head where it started


@dataclass(frozen=True)
class OwnLabels:
    """What was found, and what follows from it.

    Attributes:
        recipe: with task and loss chosen.
        photos: to learn from and to test on.
        choices: lines that say what was chosen, and why.
    """

    recipe: TransferRecipe
    photos: TransferPhotos
    choices: list[str]


def plan(
    backbone: str,
    data: Path | str,
    changes: tuple[str, ...] = (),
    photos: Path | None = None,
    skip_missing: bool = False,
    separator: str | None = None,
) -> OwnLabels:
    """Read the labels and choose.

    Args:
        backbone: see backbones.py.
        data: a folder of class folders, or a table; see datasets/table.py.
        changes: settings that differ from the recipe `own`.
        photos, skip_missing, separator: of a table.

    Raises:
        InputError, RecipeError: names the thing, the cause and the fix.
    """
    recipe = find_transfer_recipe(RECIPE)
    train, test, missing = read_own(data, photos, 0.2, recipe.seed, skip_missing, separator)
    single = bool((train.tags.sum(1) == 1).all() and (test.tags.sum(1) == 1).all())
    if single:
        chosen = ["task=classification", "loss.name=softmax"]
        reason = "every photo has one tag: softmax cross-entropy, mean per-class accuracy"
    else:
        chosen = ["task=multilabel", "loss.name=bce"]
        reason = "photos have several tags: binary cross-entropy, mean average precision"
    wordnet = not describe_classes(train.classes)[0]["key"].startswith("own:")
    kind = "WordNet ids" if wordnet else "your own"
    counts = train.tags.sum(0)
    epochs = _epochs(recipe.override(*changes), len(train))
    lengthened = not any(change.startswith("schedule.epochs") for change in changes)
    lengthened = lengthened and epochs > recipe.schedule.epochs
    if lengthened:
        chosen.append(f"schedule.epochs={epochs}")
    choices = [
        f"{len(train):,} photos to learn from, {len(test):,} held out to test on",
        f"{len(train.classes):,} categories ({kind}), {int(counts.min()):,} to "
        f"{int(counts.max()):,} photos each",
        f"{reason}; a linear head on {backbone}",
    ]
    if lengthened:
        choices.append(
            f"{epochs:,} epochs in place of {recipe.schedule.epochs:g}, as the photos are few; "
            "change it with --set schedule.epochs=N"
        )
    if missing:
        choices.append(f"{missing:,} rows were left out: no photo")
    named = recipe.override(*chosen, f"model.backbone={dumps(backbone)}", *changes)
    if single:
        return OwnLabels(named, TransferPhotos(_labelled(train), _labelled(test), choices), choices)
    return OwnLabels(named, TransferPhotos(train, test, choices), choices)


def finetune(own: OwnLabels, out: Path | str, resume: bool = False) -> TransferResult:
    """Train, measure and save; the result works wherever a checkpoint does.

    Raises:
        As `loop.transfer`.
    """
    return transfer(own.recipe, own.photos, out, resume)


def _epochs(recipe: TransferRecipe, images: int) -> int:
    """How often all photos have to be seen for LEAST_UPDATES."""
    return math.ceil(LEAST_UPDATES * recipe.data.batch_size / images)


def _labelled(photos: TaggedPhotos) -> LabelledPhotos:
    return LabelledPhotos(photos.classes, photos.paths, np.argmax(photos.tags, 1))
