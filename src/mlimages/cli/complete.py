"""`mlimages complete`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional

from mlimages.cli.output import Json, emit


def complete(
    db: Annotated[Positional[Path], tyro.conf.arg(metavar="DB", help="The database.")],
    *,
    hierarchy: Literal["tencent", "wordnet"] = "tencent",
    predictions: Annotated[Path | None, tyro.conf.arg(metavar="P.parquet")] = None,
    minimum_probability: float = 0.95,
    minimum_ratio: float = 0.5,
    cooccurrence_counts: Literal["asserted", "all"] = "asserted",
    json: Json = False,
) -> None:
    """Derive all tags from the facts: every ancestor, and with predictions what co-occurs.

    Tags are derived anew each time, so a rule is undone by completing without it.

    Example: mlimages complete DB --predictions predictions.parquet

    Args:
        hierarchy: tencent (the released forest) or wordnet (all hypernyms).
        predictions: A table that `mlimages predict` wrote, of the single-label part.
        minimum_probability: A prediction counts when its probability is greater.
        minimum_ratio: A pair co-occurs when a greater share of the cause's images is predicted.
        cooccurrence_counts: What is counted as a cause: asserted tags, or all tags.
    """
    from mlimages.database import Database
    from mlimages.labels.rules import Rules

    rules = Rules(hierarchy, minimum_probability, minimum_ratio, cooccurrence_counts)
    database = Database.open(db)
    table = _read_predictions(predictions) if predictions is not None else None
    report = database.complete(rules, table)
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in report.by_reason.items())
    lines = [
        f"{report.tags:,} tags on {report.images:,} images ({reasons}); "
        f"{report.categories_with_images:,} categories have images"
    ]
    if table is not None:
        lines.append(f"{report.cooccurrence_pairs:,} pairs of categories co-occur strongly")
        passed = ", ".join(f"{n:,} {name}" for name, n in report.cooccurrence_filters.items())
        lines.append(f"  passed each filter: {passed}")
    emit(report, json, "\n".join(lines))


def _read_predictions(path: Path) -> Any:
    """The table of predictions, as pyarrow reads it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from mlimages.errors import InputError

    action = "name a table that `mlimages predict` wrote"
    if not path.is_file():
        raise InputError(path, "no such file", action)
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(path, f"not a Parquet table ({error})", action) from None
