"""`mlimages statistics`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import Positional

from mlimages.cli.output import Json, emit, table

if TYPE_CHECKING:
    from mlimages.labels.statistics import Spread, Statistics


def statistics(
    db: Annotated[Positional[Path], tyro.conf.arg(metavar="DB", help="The database.")],
    *,
    json: Json = False,
) -> None:
    """Count images, categories and tags: the paper's table, by source, split and reason.

    With --json also the data of the paper's two plots: images of each category, and images by
    number of tags.

    Example: mlimages statistics DB
    """
    from mlimages.database import Database

    counted = Database.open(db).statistics()
    emit(counted, json, _text(counted))


def _text(counted: Statistics) -> str:
    rows: list[list[Any]] = [
        ["images", counted.images],
        ["  with tags", counted.images_with_tags],
        *([f"  in split {name}", count] for name, count in counted.images_by_split.items()),
        *([f"  in the {name}-label part", n] for name, n in counted.images_by_part.items()),
        ["categories", counted.categories],
        ["  with images", counted.categories_with_images],
        ["  trainable (over 100 train images)", counted.trainable_categories],
        ["  with images of both parts", counted.categories_in_both_parts],
        ["tags", counted.tags],
        *([f"  {reason}", count] for reason, count in counted.tags_by_reason.items()),
    ]
    spreads = [
        ["tags an image", *_spread(counted.tags_per_image)],
        ["images a category", *_spread(counted.images_per_category)],
    ]
    sources = [
        [s.source, s.format, s.images, s.present_facts, s.absent_facts, s.exhaustive_categories]
        for s in counted.sources
    ]
    header = ["source", "format", "images", "present", "absent", "exhaustive for"]
    frequent = [[key, name, count] for key, name, count in counted.most_frequent]
    parts = [
        table(rows),
        table(spreads, ["", "mean", "least", "most"]),
        table(sources, header),
        table(frequent, ["most frequent", "", "images"]),
    ]
    return "\n\n".join(parts)


def _spread(spread: Spread) -> list[Any]:
    return [round(spread.mean, 2), spread.minimum, spread.maximum]
