"""The photos of a recipe: found, checked and described before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlimages.errors import InputError, RecipeError
from mlimages.transfer.backbones import LoadedBackbone, load_backbone
from mlimages.transfer.datasets import coco, folders, voc
from mlimages.transfer.datasets.records import (
    BoxedPhotos,
    LabelledPhotos,
    MaskedPhotos,
    TaggedPhotos,
)
from mlimages.transfer.recipe import TransferRecipe
from mlimages.transfer.tasks.base import Task
from mlimages.transfer.tasks.classification import Classification
from mlimages.transfer.tasks.detection import Detection
from mlimages.transfer.tasks.segmentation import SegmentationTask

AnyPhotos = LabelledPhotos | TaggedPhotos | BoxedPhotos | MaskedPhotos
_TASKS = {
    LabelledPhotos: Classification,
    TaggedPhotos: Classification,
    BoxedPhotos: Detection,
    MaskedPhotos: SegmentationTask,
}


@dataclass(frozen=True)
class TransferPhotos:
    """Photos to learn from and to test on, and lines that say what they are."""

    train: AnyPhotos
    test: AnyPhotos
    lines: list[str]


def read_data(recipe: TransferRecipe, place: Path | str) -> TransferPhotos:
    """Find and check the photos of a recipe.

    Args:
        recipe: whose `data` says how `place` is laid out.
        place: the folder of the benchmark.

    Raises:
        InputError: names the file, the cause and the fix.
        RecipeError: the layout has nothing for the task.
    """
    settings, task = recipe.data, recipe.task
    for name in ("train", "test") if settings.layout in ("voc", "coco") else ():
        if not getattr(settings, name) and not (name == "test" and settings.folds):
            raise RecipeError(f"data.{name}", "names no list", 'write such as ["VOC2007/trainval"]')
    train: AnyPhotos
    test: AnyPhotos
    if settings.layout == "imagenet" and task == "classification":
        train, test = folders.read_imagenet(place)
    elif settings.layout == "folders" and task == "classification":
        per_class, split = settings.images_per_class, settings.split
        train, test = folders.read_folders(place, per_class, recipe.seed, split)
    elif settings.layout == "coco" and task == "multilabel":
        train, test = (
            coco.read_multilabel(place, only[0]) for only in (settings.train, settings.test)
        )
    elif settings.layout == "voc" and task in ("multilabel", "detection", "segmentation"):
        train, test = _voc(recipe, place)
    else:
        cause = f"{settings.layout!r} has no data for {task}"
        raise RecipeError("data.layout", cause, "use voc for detection and segmentation")
    return TransferPhotos(train, test, _described(train, test))


def build_task(recipe: TransferRecipe, photos: TransferPhotos) -> Task:
    """The recipe's task on its backbone; raises as `load_backbone`."""
    if not recipe.model.backbone:
        raise RecipeError("model.backbone", "none is named", "add --backbone MODEL")
    stride = recipe.model.output_stride
    size = recipe.data.late_size or recipe.data.size
    backbone: LoadedBackbone = load_backbone(recipe.model.backbone, size, stride, recipe.seed)
    kind = _TASKS[type(photos.train)]
    try:
        return kind(recipe, backbone, photos.train, photos.test)  # type: ignore[arg-type]
    except ValueError as error:  # a detector or segmenter that this backbone cannot carry
        raise InputError(recipe.model.backbone, str(error), "use another backbone") from None


def _voc(recipe: TransferRecipe, place: Path | str) -> tuple[AnyPhotos, AnyPhotos]:
    readers: dict[str, Callable[..., AnyPhotos]] = {
        "multilabel": voc.read_multilabel,
        "detection": voc.read_detection,
        "segmentation": voc.read_segmentation,
    }
    settings = recipe.data
    everything: AnyPhotos = readers[recipe.task](place, settings.train)
    test: AnyPhotos
    if settings.folds:
        part = np.random.default_rng([recipe.seed, 7]).permutation(len(everything))
        tested = part % settings.folds == settings.fold
        train = everything.take(np.flatnonzero(~tested))
        test = everything.take(np.flatnonzero(tested))
    else:
        train, test = everything, readers[recipe.task](place, settings.test)
    if settings.coco128:
        if isinstance(train, BoxedPhotos):
            train = train.joined(coco.read_yolo_boxes(settings.coco128))
        elif isinstance(train, MaskedPhotos):
            train = train.joined(coco.read_semantic_masks(settings.coco128))
        else:
            raise RecipeError("data.coco128", "has no tags", "leave it empty for multilabel")
    return train, test


def _described(train: AnyPhotos, test: AnyPhotos) -> list[str]:
    classes = f"{len(train.classes):,} classes"
    lines = [f"{len(train):,} photos to learn from, {len(test):,} to test on, {classes}"]
    for photos, name in ((train, "learn"), (test, "test")):
        if isinstance(photos, BoxedPhotos):
            boxes, hard = sum(map(len, photos.boxes)), sum(int(d.sum()) for d in photos.difficult)
            lines.append(f"{name}: {boxes:,} boxes, {hard:,} of them difficult")
    return lines
