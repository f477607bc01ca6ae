"""`mlimages predict`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from mlimages.cli.arguments import (
    Address,
    DatabasePath,
    EngineOption,
    Merge,
    PartOption,
    Workers,
)
from mlimages.cli.dividing import chosen_part
from mlimages.cli.output import Json, emit


def predict(
    model: Annotated[Positional[str], tyro.conf.arg(metavar="MODEL")],
    db: DatabasePath,
    *,
    out: Path,
    split: str | None = None,
    subset: Literal["all", "multi", "single"] = "all",
    minimum_probability: float = 0.05,
    device: str = "auto",
    engine: EngineOption = "local",
    workers: Workers = None,
    address: Address = None,
    part: PartOption = None,
    merge: Merge = False,
    json: Json = False,
) -> None:
    """Write a network's predictions for a database's images as a Parquet table.

    Columns: row, category (index in the database's vocabulary), probability. The file also says
    which images could be read, also those for which nothing is probable.

    With --part 2/8 it is a file of its own beside --out, such as predictions.2-of-8.parquet. Then
    --merge makes one of all; other commands also read their folder, or predictions.*-of-8.parquet.

    Example: mlimages predict runs/multi DB --subset single --out predictions.parquet

    Args:
        model: A run, a checkpoint, efficientnet-lite0, or untrained:MODEL.
        out: The Parquet file to write.
        split: Only images of this split.
        subset: Images of multi-label sources, of single-label sources, or all.
        minimum_probability: Smaller probabilities are left out.
        device: auto, cpu or cuda.
    """
    chosen = chosen_part(part, merge)
    if merge:
        from mlimages.labels.prediction_files import merge_parts

        count = merge_parts(out)
        emit({"predictions": count, "out": str(out)}, json, f"{count:,} predictions: {out}")
        return
    from mlimages.database import Database
    from mlimages.training.prediction_files import PredictionSettings, write_predictions

    database = Database.open(db)
    report = write_predictions(
        database,
        database.select(split=split, part=subset),
        PredictionSettings(model, device, minimum_probability),
        out,
        part=chosen,
        engine=engine,
        workers=workers,
        address=address,
    )
    emit(
        report,
        json,
        f"{report.predictions:,} predictions for {report.images:,} images: {report.out}",
    )
