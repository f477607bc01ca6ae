"""`mlimages evaluate`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from tyro.conf import Positional

from mlimages.cli.arguments import DatabasePath
from mlimages.cli.output import Json, emit, table

if TYPE_CHECKING:
    from mlimages.metrics.consistency import Consistency


def evaluate(
    model: Annotated[Positional[str], tyro.conf.arg(metavar="MODEL")],
    db: DatabasePath,
    *,
    split: str = "validation",
    subset: Literal["all", "multi", "single"] = "all",
    minimum_positives: int = 10,
    negatives: Literal["closed-world", "verified", "exhaustive"] = "closed-world",
    device: str = "auto",
    json: Json = False,
) -> None:
    """Measure a network on a split, beside a baseline that predicts category frequencies.

    Mean average precision is also told by frequency (head: above 100 training images, tail: below
    20) and by depth in the hierarchy, and how often a category outscores its parent. --json has
    every category.

    Example: mlimages evaluate runs/photos DB --split validation

    Args:
        model: A run, a checkpoint, efficientnet-lite0, or untrained:MODEL.
        split: Split to measure on.
        subset: Images of multi-label sources, of single-label sources, or all.
        minimum_positives: Positives that a category needs to enter mean average precision.
        negatives: Of average precision: images without the tag (closed-world); those of which
            someone said that it is absent (verified); those of sources that name all they see
            (exhaustive).
        device: auto, cpu or cuda.
    """
    from mlimages.database import Database
    from mlimages.training.evaluation import evaluate_database
    from mlimages.training.inference import load_model

    database = Database.open(db)
    loaded = load_model(model, device)
    report = evaluate_database(loaded, database, split, subset, minimum_positives, negatives)
    metrics, baseline = report.model.summary(), report.baseline.summary()
    parts = report.parts()
    content = {
        "metrics": metrics,
        "baseline": baseline,
        **parts,
        "categories": report.by_category(),
        "broken": report.broken,
    }
    named = ("images", "categories", "minimum_positives", "negatives")
    rows = [[name, metrics[name], baseline[name]] for name in metrics if name not in named]
    about = (
        f"{metrics['images']:,} images; mAP over {metrics['categories']:,} categories with "
        f"{metrics['minimum_positives']} or more positives; negatives: {metrics['negatives']}"
    )
    groups = [
        [f"{kind}{name}", group["categories"], group["positives"], group["map_macro"]]
        for kind, found in (("", parts["by_frequency"]), ("depth ", parts["by_depth"]))
        for name, group in found.items()
        if name != "limits" and group["categories"]
    ]
    emit(
        content,
        json,
        f"{about}\n{table(rows, ['', 'model', 'frequencies'])}\n\n"
        f"{table(groups, ['by frequency, by depth', 'categories', 'positives', 'map_macro'])}\n\n"
        f"{_told(report.consistency)}",
    )


def _told(consistency: Consistency) -> str:
    return (
        f"a category outscores its parent in {consistency.violations:.2%} of "
        f"{consistency.edges:,} edges an image, and in {consistency.images_with_violations:.1%} "
        "of the images somewhere"
    )
