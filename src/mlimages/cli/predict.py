"""`mlimages predict`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from mlimages.cli.arguments import DatabasePath
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
    json: Json = False,
) -> None:
    """Write a network's predictions for a database's images as a Parquet table.

    Columns: row, category (index in the database's vocabulary), probability. The file also says
    which images could be read, also those for which nothing is probable.

    Example: mlimages predict runs/multi DB --subset single --out predictions.parquet

    Args:
        model: A run, a checkpoint, efficientnet-lite0, or untrained:MODEL.
        out: The Parquet file to write.
        split: Only images of this split.
        subset: Images of multi-label sources, of single-label sources, or all.
        minimum_probability: Smaller probabilities are left out.
        device: auto, cpu or cuda.
    """
    import pyarrow.parquet as pq

    from mlimages.database import Database
    from mlimages.storage import atomic_file
    from mlimages.training.inference import load_model
    from mlimages.training.prediction import predict as predict_images

    database = Database.open(db)
    selection = database.select(split=split, part=subset)
    predictions = predict_images(
        load_model(model, device), database, selection, minimum_probability
    )
    with atomic_file(out) as temporary, open(temporary, "wb") as file:
        pq.write_table(predictions, file, compression="zstd")
    counts = {"images": len(selection), "predictions": predictions.num_rows, "out": str(out)}
    emit(
        counts,
        json,
        f"{predictions.num_rows:,} predictions for {len(selection):,} images: {out}",
    )
