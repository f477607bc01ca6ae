"""`mlimages quality`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from mlimages.cli.arguments import DatabasePath
from mlimages.cli.output import Json, emit, table

if TYPE_CHECKING:
    from mlimages.labels.quality.examining import Named, NoiseReport, QualityReport

SHOWN = 10


def quality(
    db: DatabasePath,
    *,
    predictions: Annotated[Path | None, tyro.conf.arg(metavar="P.parquet")] = None,
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    limit: int = 50,
    include_sensitive: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    json: Json = False,
) -> None:
    """Find labels that may be wrong: contradictions, improbable pairs of tags, doubtful tags.

    Everything is counted; the worst is listed with the images' ids. Nothing is changed.

    Example: mlimages quality DB --predictions predictions.parquet --out quality/

    Args:
        predictions: What `mlimages predict` wrote: a file, a folder or a pattern; it finds
            doubtful and missing tags.
        out: A new folder for a page with photos (where packed), and the report as JSON.
        limit: How many of each kind are listed.
        include_sensitive: Also list what is about sensitive categories.
    """
    from mlimages.database import Database
    from mlimages.errors import InputError
    from mlimages.labels.prediction_files import PredictionFiles

    if limit < 1:
        raise InputError("limit", f"{limit}", "use 1 or more")
    database = Database.open(db)
    found = PredictionFiles(predictions).dataset() if predictions is not None else None
    report = database.quality(found, limit=limit, include_sensitive=include_sensitive)
    text = _text(report)
    if out is not None:
        from mlimages.pages.quality import write_quality

        write_quality(database, report, out)
        text += f"\n\npage: {out / 'index.html'}"
    emit(report, json, text)


def _text(report: QualityReport) -> str:
    found, pairs = report.contradictions, report.pairs
    parts = [
        f"{sum(found.counts.values()):,} contradictions on {found.images:,} images; "
        f"{found.settled:,} more settled by corrections"
    ]
    if found.first:
        parts.append(
            table(
                [
                    [c.image, c.kind, _first(c.category), c.said_by, _first(c.absent), c.denied_by]
                    for c in found.first[:SHOWN]
                ],
                ["image", "kind", "category", "says", "absent", "says"],
            )
        )
    parts.append(
        f"{pairs.improbable:,} improbable pairs of tags, counted on {pairs.images:,} images"
    )
    if pairs.below:
        rows = [
            [_first(p.first), _first(p.second), p.together, p.expected, p.pmi]
            for p in pairs.below[:SHOWN]
        ]
        parts.append(table(rows, ["category", "and", "images", "by chance", "PMI"]))
    if pairs.listed:
        rows = [[i.image, _first(i.first), _first(i.second), i.pmi] for i in pairs.listed[:SHOWN]]
        parts.append(table(rows, ["image", "category", "and", "PMI"]))
    if report.noise is not None:
        parts += _noise_text(report.noise)
    if report.hidden_sensitive:
        parts.append(f"{report.hidden_sensitive:,} rows about sensitive categories are not shown")
    return "\n\n".join(parts)


def _noise_text(noise: NoiseReport) -> list[str]:
    parts = [
        f"{noise.doubtful_count:,} doubtful tags of {noise.judged:,} judged, "
        f"on {noise.images:,} images that the network saw"
    ]
    if noise.doubtful:
        rows = [
            [i.image, _first(i.category), i.probability, _first(i.seen), i.seen_probability]
            for i in noise.doubtful[:SHOWN]
        ]
        parts.append(table(rows, ["image", "tag", "probability", "looks like", "probability"]))
    parts.append(f"{noise.missing_count:,} tags probably missing")
    if noise.missing:
        rows = [
            [i.image, _first(i.category), i.probability, _first(i.below)]
            for i in noise.missing[:SHOWN]
        ]
        parts.append(table(rows, ["image", "missing", "probability", "tagged"]))
    return parts


def _first(category: Named | None) -> str:
    return category.name.split(",")[0] if category is not None else ""
