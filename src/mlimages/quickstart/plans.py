"""What a guided run works on: drawn scenes, or real photos laid out in folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mlimages.errors import InputError
from mlimages.labels.sources import coco_yolo, imagenet, table, voc
from mlimages.labels.streams import Readings
from mlimages.quickstart.dataset import write_scenes
from mlimages.taxonomy.categories import Taxonomy
from mlimages.training.recipe import Recipe, find_recipe

PHOTO_FOLDERS = ("tiny-imagenet", "coco128", "voc2012", "caltech101/101_ObjectCategories")
# coco128 and voc2012 are so few photos that each has to be seen more often.
PHOTO_TEACHER_EPOCHS = 140
ReadSources = Callable[[Taxonomy], Iterator[Readings]]


@dataclass(frozen=True)
class PlannedRun:
    """A training run: its name (and its folder's), what the page calls it, and its recipe."""

    name: str
    label: str
    recipe: Recipe


@dataclass(frozen=True)
class Plan:
    """Data and recipes of a guided run.

    Attributes:
        mode: "scenes" or "photos".
        prepare: makes the data where it has to be made; None where it is there.
        read: yields the sources.
        teacher: trained on the multi-label part, for co-occurrence.
        runs: the networks; the first one is the page's, the others are beside it.
        transfer: folder of class folders that no source contains.
        transfer_name: what the page calls it.
        truth: folder with the truth of the scenes, where it is known.
    """

    mode: str
    prepare: Callable[[], None] | None
    read: ReadSources
    teacher: PlannedRun
    runs: tuple[PlannedRun, ...]
    transfer: Path
    transfer_name: str
    truth: Path | None = None


def scenes_plan(folder: Path, seed: int) -> Plan:
    """Scenes drawn into `folder`."""

    def read(taxonomy: Taxonomy) -> Iterator[Readings]:
        yield imagenet.read(folder / "single", taxonomy, source="scenes-single")
        yield table.read(folder / "multi" / "tags.csv", taxonomy, source="scenes-multi")

    return Plan(
        mode="scenes",
        prepare=lambda: write_scenes(folder, seed),
        read=read,
        teacher=_planned("teacher", "teacher for co-occurrence", "teacher", seed),
        runs=(_planned("network", "paper's loss", "scenes", seed),),
        transfer=folder / "transfer",
        transfer_name="Objects that were kept out of training",
        truth=folder,
    )


def photos_plan(folder: Path, seed: int) -> Plan:
    """Real photos: tiny-imagenet, coco128, voc2012 and caltech101 below `folder`.

    Raises:
        InputError: one of them is missing.
    """
    for name in PHOTO_FOLDERS:
        if not (folder / name).is_dir():
            layout = ", ".join(PHOTO_FOLDERS)
            raise InputError(folder / name, "no such folder", f"--photos needs: {layout}")

    def read(taxonomy: Taxonomy) -> Iterator[Readings]:
        yield imagenet.read(folder / "tiny-imagenet", taxonomy, source="tiny-imagenet")
        yield coco_yolo.read(folder / "coco128", taxonomy, source="coco128")
        yield voc.read(folder / "voc2012", taxonomy, source="voc2012")

    epochs = f"schedule.epochs={PHOTO_TEACHER_EPOCHS}"
    return Plan(
        mode="photos",
        prepare=None,
        read=read,
        teacher=_planned("teacher", "teacher for co-occurrence", "teacher", seed, epochs),
        runs=(
            _planned("network", "paper's loss", "photos", seed),
            _planned("network-bce", "plain cross-entropy", "photos-bce", seed),
        ),
        transfer=folder / "caltech101" / "101_ObjectCategories",
        transfer_name="Caltech-101",
    )


def _planned(name: str, label: str, recipe: str, seed: int, *changes: str) -> PlannedRun:
    # Short runs: logged often for a smooth curve, saved often to lose little when they are killed.
    often = ("hardware.log_seconds=2", "checkpoint.every_minutes=0.5")
    return PlannedRun(name, label, find_recipe(recipe).override(f"seed={seed}", *often, *changes))
