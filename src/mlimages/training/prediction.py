"""Running a model over the images of a database."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from mlimages.database import Database, Selection
from mlimages.errors import InputError
from mlimages.images.shards import ShardReader
from mlimages.labels.predicted_rows import record_rows
from mlimages.progress import track
from mlimages.schemas import PREDICTIONS
from mlimages.training.inference import LoadedModel
from mlimages.training.threads import read_images

logger = logging.getLogger(__name__)


def predict(
    model: LoadedModel,
    db: Database,
    selection: Selection,
    minimum_probability: float = 0.05,
    batch_size: int = 100,
) -> pa.Table:
    """A model's predictions for images of a database.

    Args:
        model: outputs whose key the database's vocabulary lacks are left out.
        db: the database.
        selection: its images.
        minimum_probability: smaller ones are left out.
        batch_size: images a forward pass.

    Returns:
        schemas.PREDICTIONS (row, category, probability) in the order of rows, then categories.
        Images that cannot be read are named in the log and have no rows here. The table's
        metadata lists the images that could be: see `labels.predicted_rows`.
    """
    keys = [category.key for category in db.taxonomy.categories]
    return predict_rows(
        model, keys, db.reader(), selection.rows, minimum_probability, batch_size, progress=True
    )


def predict_rows(
    model: LoadedModel,
    keys: list[str],
    reader: ShardReader,
    rows: np.ndarray,
    minimum_probability: float,
    batch_size: int,
    progress: bool = False,
) -> pa.Table:
    """As `predict`, for the images of some rows.

    Args:
        keys: of the database's vocabulary.
        reader: of the images.
        rows: ascending.
        progress: whether to show a bar.
    """
    outputs, places = model_outputs(model, keys)
    order = np.argsort(places)
    outputs, places = outputs[order], places[order]
    tables, seen = [PREDICTIONS.empty_table()], [np.empty(0, np.int64)]
    for positions, scores in score_images(model, reader, rows, batch_size, [], progress):
        seen.append(rows[positions])
        probabilities = scores[:, outputs]
        image, column = np.nonzero(probabilities >= minimum_probability)
        columns = [
            rows[positions[image]].astype(np.int32),
            places[column].astype(np.int32),
            probabilities[image, column],
        ]
        tables.append(pa.table(columns, schema=PREDICTIONS))
    return record_rows(pa.concat_tables(tables), np.concatenate(seen))


def score_images(
    model: LoadedModel,
    reader: ShardReader,
    rows: np.ndarray,
    batch_size: int,
    broken: list[str],
    progress: bool = True,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Run a model over images of a database.

    Args:
        rows: the images.
        broken: "row N: reason" is added for each image that cannot be read.
        progress: whether to show a bar.

    Yields:
        positions in `rows`, int64 [b], and probabilities, float32 [b, model categories].
    """
    positions: list[int] = []
    inputs: list[np.ndarray] = []
    images = read_images(reader, rows, model.minimum_side)
    if progress:
        images = track(images, "reading", total=len(rows), unit="images")
    for position, image in images:
        if isinstance(image, str):
            broken.append(f"row {rows[position]}: {image}")
            logger.warning("image of row %d is broken (%s); left out", rows[position], image)
        else:
            positions.append(position)
            inputs.append(model.preprocess(image))
        if inputs and (len(inputs) == batch_size or position == len(rows) - 1):
            yield np.array(positions), model.probabilities(np.stack(inputs))
            positions, inputs = [], []


def model_outputs(model: LoadedModel, keys: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The model's outputs that a vocabulary has, and their vocabulary indices.

    Raises:
        InputError: it has none of them.
    """
    place_of = {key: place for place, key in enumerate(keys)}
    pairs = [
        (output, place_of[category.key])
        for output, category in enumerate(model.categories)
        if category.key in place_of
    ]
    if not pairs:
        raise InputError(
            model.name,
            "shares no category with the database's vocabulary",
            "use a model trained on this vocabulary",
        )
    outputs, places = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return outputs, places
