"""Predictions of many images into a file, on several workers or part by part.

The images are predicted in blocks of rows, each in batches of its own, so a prediction does not
depend on who else was predicted beside it, on which worker, or in which part.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mlimages.database import Database
from mlimages.execution.parts import Part
from mlimages.execution.run import Engine, run
from mlimages.images.packing.blocks import block_of_table
from mlimages.images.shards import ShardReader
from mlimages.labels.predicted_rows import ROWS_KEY, united_rows
from mlimages.labels.prediction_files import MADE_KEY, PART_KEY, part_path, prediction_writer
from mlimages.schemas import SHARD_INDEX
from mlimages.selection import Selection
from mlimages.storage import atomic_file
from mlimages.store import Store
from mlimages.training.inference import UNTRAINED, LoadedModel, choose_device, load_model
from mlimages.training.prediction import predict_rows

BLOCK_ROWS = 2048


@dataclass(frozen=True)
class PredictionSettings:
    """What predicts, and what is kept of it.

    Attributes:
        model: a run, a checkpoint, or a packaged model; see `inference.load_model`.
        device: auto, cpu or cuda.
        minimum_probability: smaller ones are left out.
        batch_size: images a forward pass.
    """

    model: str
    device: str = "auto"
    minimum_probability: float = 0.05
    batch_size: int = 100


@dataclass(frozen=True)
class PredictionBlock:
    """The unit of work: the chosen images of rows number * BLOCK_ROWS up to the next."""

    number: int
    rows: np.ndarray

    def __str__(self) -> str:
        return f"rows {self.rows[0]} to {self.rows[-1]}"


@dataclass(frozen=True)
class PredictionReport:
    """What was written; images = those that could be read or not."""

    images: int
    predictions: int
    out: str


def write_predictions(
    db: Database,
    selection: Selection,
    settings: PredictionSettings,
    out: Path,
    *,
    part: Part | None = None,
    engine: Engine = "local",
    workers: int | None = None,
    address: str | None = None,
) -> PredictionReport:
    """Predict images of a database into a Parquet file.

    Args:
        db: the database.
        selection: its images.
        settings: what predicts.
        out: the file, in the order of rows, then categories; with a part, one beside it that is
            named after the part.
        part: predict only this share of the blocks; see `labels.prediction_files.merge_parts`.
        engine, workers, address: what does the work; see `execution.run`. On Ray a task asks for a
            GPU when the device is cuda.

    Raises:
        InputError: there is no such model, or it shares no category with the database.
        StorageError: the disk is full or not writable.
    """
    settings = PredictionSettings(**{**asdict(settings), "model": _located(settings.model)})
    if engine == "local":
        choose_device(settings.device)  # what is wrong with it is told before any work
    blocks = [
        block for block in _blocks(selection.rows) if part is None or part.takes(block.number)
    ]
    path = out if part is None else part_path(out, part)
    count = 0
    with atomic_file(path) as temporary, prediction_writer(temporary) as writer:
        seen = []
        for _, found in run(
            partial(predict_block, db.store, settings),
            blocks,
            engine=engine,
            workers=workers,
            address=address,
            gpus=1.0 if settings.device.startswith("cuda") else 0.0,
            ordered=True,
            description="predicting",
            unit="blocks",
        ):
            seen.append(found.schema)
            count += found.num_rows
            if found.num_rows:
                writer.write_table(found.replace_schema_metadata())
        about = {ROWS_KEY: united_rows(seen) or b"", MADE_KEY: _made(db, selection, settings)}
        if part is not None:
            about[PART_KEY] = str(part).encode()
        writer.add_key_value_metadata(about)
    return PredictionReport(sum(len(block.rows) for block in blocks), count, str(path))


def predict_block(store: Store, settings: PredictionSettings, block: PredictionBlock) -> pa.Table:
    """The predictions for a block, as `prediction.predict` returns them."""
    model = _model(settings.model, settings.device)
    keys = store.table("categories", ["category", "key"]).sort_by("category")["key"].to_pylist()
    index = block_of_table(store, "shards/index", block.number, BLOCK_ROWS, SHARD_INDEX.names)
    reader = ShardReader(store.root / "shards", index)
    return predict_rows(
        model, keys, reader, block.rows, settings.minimum_probability, settings.batch_size
    )


@lru_cache(maxsize=1)
def _model(spec: str, device: str) -> LoadedModel:
    """Loaded once by each worker."""
    return load_model(spec, device)


def _blocks(rows: np.ndarray) -> Iterator[PredictionBlock]:
    numbers = rows // BLOCK_ROWS
    for number in np.unique(numbers).tolist():
        begin, end = np.searchsorted(numbers, [number, number + 1])
        yield PredictionBlock(number, rows[begin:end])


def _located(model: str) -> str:
    """The same model by its whole path: a worker may work in another folder."""
    prefix = UNTRAINED if model.startswith(UNTRAINED) else ""
    path = Path(model.removeprefix(UNTRAINED))
    return f"{prefix}{path.absolute()}" if path.is_dir() else model


def _made(db: Database, selection: Selection, settings: PredictionSettings) -> bytes:
    """What has to be equal in parts that belong together."""
    made: dict[str, Any] = {**asdict(settings), "images": len(selection)}
    made["database"] = db.store.manifest.generation
    return json.dumps(made, sort_keys=True).encode()
