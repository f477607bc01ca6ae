"""`mlimages complete`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro

from mlimages.cli.arguments import DatabasePath
from mlimages.cli.output import Json, emit


def complete(
    db: DatabasePath,
    *,
    hierarchy: Literal["tencent", "wordnet"] = "tencent",
    predictions: Annotated[Path | None, tyro.conf.arg(metavar="P.parquet")] = None,
    minimum_probability: float = 0.95,
    minimum_ratio: float = 0.5,
    cooccurrence_counts: Literal["asserted", "all"] = "asserted",
    cooccurrence_from: Literal["predictions", "tags"] = "predictions",
    minimum_images: int | None = None,
    json: Json = False,
) -> None:
    """Derive all tags from the facts: every ancestor, and with predictions what co-occurs.

    Tags follow from the facts anew each time, so a rule is undone by completing without it. Only
    the partitions of images whose inputs changed are computed.

    Example: mlimages complete DB --predictions predictions.parquet

    Args:
        hierarchy: tencent (the released forest) or wordnet (all hypernyms).
        predictions: What `mlimages predict` wrote of the single-label part: a file, a folder or a
            pattern.
        minimum_probability: A prediction counts when its probability is greater.
        minimum_ratio: A pair co-occurs when a greater share of the cause's images is predicted.
        cooccurrence_counts: What is counted as a cause: asserted tags, or all tags.
        cooccurrence_from: What tells which categories co-occur: predictions, or without a network
            the tags of images of multi-label sources.
        minimum_images: A pair co-occurs when its cause has so many images; by default 1 with
            predictions and 100 with tags.
    """
    from mlimages.database import Database
    from mlimages.labels.derivation.rules import Rules

    rules = Rules(
        hierarchy,
        minimum_probability,
        minimum_ratio,
        cooccurrence_counts,
        cooccurrence_from,
        minimum_images,
    )
    report = Database.open(db).complete(rules, predictions)
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in report.by_reason.items())
    lines = [
        f"{report.tags:,} tags on {report.images:,} images ({reasons}); "
        f"{report.categories_with_images:,} categories have images",
        f"partitions: {report.partitions_recomputed:,} computed, {report.partitions_kept:,} kept",
    ]
    if report.cooccurrence_filters:
        lines.append(f"{report.cooccurrence_pairs:,} pairs of categories co-occur strongly")
        passed = ", ".join(f"{n:,} {name}" for name, n in report.cooccurrence_filters.items())
        lines.append(f"  passed each filter: {passed}")
    emit(report, json, "\n".join(lines))
