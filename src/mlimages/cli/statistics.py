"""`mlimages statistics`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from mlimages.cli.arguments import DatabasePath
from mlimages.cli.output import Json, emit, table

if TYPE_CHECKING:
    from mlimages.labels.statistics.long_tail import LongTail
    from mlimages.labels.statistics.summary import Spread, Statistics


def statistics(
    db: DatabasePath,
    *,
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    examples: int = 4,
    include_sensitive: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    json: Json = False,
) -> None:
    """Count images, categories and tags: the paper's table, by source, split, depth and reason.

    With --json also the data of the paper's two plots: images of each category, and images by
    number of tags. With --out the plots themselves, and pages to browse: one a category.

    Example: mlimages statistics DB --out statistics/

    Args:
        out: A new folder for index.html, a page a category, plots and statistics.json.
        examples: Photos on the page of a category, where images are packed.
        include_sensitive: Also name sensitive categories on the pages.
    """
    from mlimages.database import Database

    database = Database.open(db)
    if out is None:
        counted = database.statistics()
        emit(counted, json, _text(counted))
        return
    from mlimages.pages.statistics import write_statistics

    counted, written = write_statistics(
        database, out, examples=examples, include_sensitive=include_sensitive
    )
    pages = f"{written.pages:,} pages of categories, {written.photos:,} photos: {out}/index.html"
    emit(counted, json, f"{_text(counted)}\n\n{pages}")


def _text(counted: Statistics) -> str:
    from mlimages.labels.statistics.summary import compare_with_published

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
    if counted.duplicates:
        rows.insert(1, ["  duplicates of these, not counted", counted.duplicates])
    if counted.removed:
        rows.insert(1, ["  removed on request, not counted", counted.removed])
    published = [
        [row["label"], *(f"{row[side]:,.{row['digits']}f}" for side in ("here", "published"))]
        for row in compare_with_published(counted)
    ]
    spreads = [
        ["tags an image", *_spread(counted.tags_per_image)],
        ["images a category", *_spread(counted.images_per_category)],
    ]
    sources = [
        [s.source, s.format, s.images, s.present_facts, s.absent_facts, s.exhaustive_categories]
        for s in counted.sources
    ]
    depths = [[d.depth, d.categories, d.with_images, d.tags] for d in counted.depths]
    header = ["source", "format", "images", "present", "absent", "exhaustive for"]
    frequent = [[key, name, count] for key, name, count in counted.most_frequent]
    parts = [
        table(rows),
        table(published, ["the paper's table", "this database", "published"]),
        table(_tail(counted.long_tail)),
        table(depths, ["depth", "categories", "with images", "tags"]),
        table(spreads, ["", "mean", "least", "most"]),
        table(sources, header),
        table(frequent, ["most frequent", "", "images"]),
    ]
    return "\n\n".join(parts)


def _tail(tail: LongTail) -> list[list[Any]]:
    shots = [
        [f"{s.name}: share of categories, of tags", s.share_of_categories, s.share_of_tags]
        for s in tail.shots
    ]
    measures = [
        ["Gini coefficient", tail.gini, ""],
        ["tags of the top 20 % of categories", tail.pareto_share, ""],
        ["most over least frequent", round(tail.imbalance_ratio), ""],
        ["Zipf slope", tail.zipf_slope, ""],
        ["equally frequent categories of the same entropy", tail.effective_categories, ""],
    ]
    return [*measures, *shots]


def _spread(spread: Spread) -> list[Any]:
    return [round(spread.mean, 2), spread.minimum, spread.maximum]
