"""`mlimages split`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import tyro

from mlimages.cli.arguments import DatabasePath
from mlimages.cli.output import Json, emit, table

if TYPE_CHECKING:
    from mlimages.labels.splits.splitting import SplitReport


def split(
    db: DatabasePath,
    *,
    validation: float,
    seed: int = 0,
    minimum: int = 1,
    keep: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SOURCE ...")] = (),
    json: Json = False,
) -> None:
    """Deal the images out to train and validation so that every category gives its share.

    The split depends on the images' ids and tags and on the seed, not on the order of imports.
    Images of other splits, such as test, stay there; duplicates go with the image that stands for
    them.

    Example: mlimages split DB --validation 0.01

    Args:
        validation: Share of the images for validation, at most 0.5.
        seed: Another one gives another split.
        minimum: Validation images of each category whose share is half of that or more.
        keep: Sources whose images stay in the split that they are in.
    """
    from mlimages.database import Database

    report = Database.open(db).split(validation, seed, minimum, keep)
    emit(report, json, _text(report))


def _text(report: SplitReport) -> str:
    counts: list[list[Any]] = [
        ["train", report.train],
        ["validation", report.validation],
        ["of these kept as they were", report.kept],
        ["in other splits", report.untouched],
        ["duplicates of others", report.duplicates],
        ["removed on request", report.removed],
    ]
    here, chance = report.stratified, report.random
    rows: list[list[Any]] = [
        ["deviation of a category, images", here.images, chance.images],
        ["deviation of a category, share", here.share, chance.share],
        ["label distribution (LD)", here.label_distribution, chance.label_distribution],
        ["categories without validation", here.without_validation, chance.without_validation],
        ["categories without training", here.without_training, chance.without_training],
    ]
    compared = table(rows, [f"over {report.categories:,} categories", "this split", "random"])
    return f"{table(counts)}\n\n{compared}"
