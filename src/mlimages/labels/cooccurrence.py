"""Strongly co-occurring categories, after the paper's section on tag augmentation.

A network trained on the multi-label part predicts the single-label part. With N(i) the predicted
images of the single-label part tagged i, and N(i, j) those for which j is predicted with p > 0.95,

    CO(i, j) = N(i, j) / N(i)

and j co-occurs with i when CO(i, j) > 0.5 and no path joins them in the hierarchy: "sea snake" ->
"sea". Pairs are of categories; predictions for single images are never written as tags. The
network's part is done elsewhere (`mlimages predict`): this stage reads its predictions as a table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.errors import InputError
from mlimages.labels.absences import single_label_rows
from mlimages.labels.facts import present_facts
from mlimages.labels.predicted_rows import recorded_rows
from mlimages.labels.rules import Rules
from mlimages.labels.sparse import (
    Keys,
    categories_of,
    contains,
    expand,
    make_keys,
    rows_of,
    upward,
)
from mlimages.schemas import COOCCURRENCE, PREDICTIONS
from mlimages.taxonomy.hierarchy import Hierarchy

_RIGHT_TYPES: dict[str, Callable[[pa.DataType], bool]] = {
    "row": pa.types.is_integer,
    "category": pa.types.is_integer,
    "probability": pa.types.is_floating,
}


@dataclass(frozen=True)
class PairSearch:
    """The pairs found, and how many passed each filter.

    Attributes:
        pairs: schemas.COOCCURRENCE, by cause, then effect.
        single_images: images of the single-label part that the network was shown.
        predictions: rows of the table of predictions.
        usable: of these, about an image of the single-label part and a category of the other part.
        probable: of these, with a probability above the minimum.
        observed: distinct pairs (i, j) that such a prediction yields.
        frequent: of these, with a ratio above the minimum.
        unrelated: of these, without a path between i and j: the rows of `pairs`.
    """

    pairs: pa.Table
    single_images: int
    predictions: int
    usable: int
    probable: int
    observed: int
    frequent: int
    unrelated: int

    def filters(self) -> dict[str, int]:
        """The counts by name, in the order of the filters."""
        names = ("predictions", "usable", "probable", "observed", "frequent", "unrelated")
        return {name: getattr(self, name) for name in names}


def find_pairs(
    predictions: pa.Table,
    facts: pa.Table,
    images: pa.Table,
    sources: pa.Table,
    hierarchy: Hierarchy,
    rules: Rules,
) -> PairSearch:
    """Find the strongly co-occurring pairs.

    Args:
        predictions: schemas.PREDICTIONS; a pair (row, category) given twice counts once. Only the
            images that its metadata lists (see `predicted_rows`) count in N(i); without metadata,
            every image of the single-label part does.
        facts: schemas.FACTS.
        images: schemas.IMAGES.
        sources: schemas.SOURCES; they tell the single-label part from the multi-label part.
        hierarchy: over the categories.
        rules: the thresholds, and which tags are counted: the causes i are categories of the
            single-label part, the effects j categories of the multi-label part.

    Raises:
        InputError: predictions lack a column, hold other values, or are of another database.
    """
    rows, categories, probabilities = _checked(predictions, images.num_rows, hierarchy)
    seen = recorded_rows(predictions, images.num_rows)
    if seen is not None and not seen[rows].all():
        raise InputError(
            "predictions", "are of images that their own list of rows lacks", "predict again"
        )
    single = single_label_rows(images, sources)
    said = present_facts(facts, hierarchy).keys
    if rules.cooccurrence_counts == "all":
        said = _close(said, hierarchy)
    counted = single if seen is None else single & seen
    causes = said[counted[rows_of(said)]]
    effects = np.zeros(hierarchy.num_categories, dtype=bool)
    effects[categories_of(said[~single[rows_of(said)]])] = True

    usable = single[rows] & effects[categories]
    probable = usable & (probabilities > rules.minimum_probability)
    predicted = np.unique(make_keys(rows[probable], categories[probable]))
    pairs, counts = _count_pairs(causes, predicted, len(single))
    images_of = np.bincount(categories_of(causes), minlength=hierarchy.num_categories)
    ratios = counts / images_of[rows_of(pairs)]
    frequent = ratios > rules.minimum_ratio
    strong = frequent & ~_related(pairs, hierarchy)
    table = pa.table(
        {
            "cause": rows_of(pairs[strong]),
            "effect": categories_of(pairs[strong]),
            "images": images_of[rows_of(pairs[strong])].astype(np.int64),
            "predicted": counts[strong],
            "ratio": ratios[strong],
        },
        schema=COOCCURRENCE,
    )
    return PairSearch(
        pairs=table,
        single_images=int(counted.sum()),
        predictions=len(rows),
        usable=int(usable.sum()),
        probable=int(probable.sum()),
        observed=len(pairs),
        frequent=int(frequent.sum()),
        unrelated=table.num_rows,
    )


def _checked(
    predictions: pa.Table, num_rows: int, hierarchy: Hierarchy
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Rows, categories and probabilities as arrays, each in range."""
    missing = set(PREDICTIONS.names) - set(predictions.column_names)
    if missing:
        raise _not_predictions(f"have no column {', '.join(sorted(missing))}")
    for name, is_right in _RIGHT_TYPES.items():
        column = predictions[name]
        if not is_right(column.type):
            raise _not_predictions(f"column {name} is {column.type}")
        if column.null_count:
            raise _not_predictions(f"column {name} has {column.null_count:,} empty cells")
    try:
        table = predictions.select(PREDICTIONS.names).cast(PREDICTIONS)
    except pa.ArrowException as error:
        raise _not_predictions(f"numbers out of range ({error})") from None
    rows = table["row"].to_numpy().astype(np.int64)
    categories = table["category"].to_numpy().astype(np.int64)
    probabilities = table["probability"].to_numpy().astype(np.float64)
    if not np.all((probabilities >= 0) & (probabilities <= 1)):
        raise _not_predictions("a probability is outside 0..1")
    for values, size, what in (
        (rows, num_rows, "images"),
        (categories, hierarchy.num_categories, "categories"),
    ):
        if len(values) and (values.min() < 0 or values.max() >= size):
            raise InputError(
                "predictions",
                f"name one of the {what} outside 0..{size - 1}",
                "predict again on this database",
            )
    return rows, categories, probabilities


def _not_predictions(cause: str) -> InputError:
    return InputError("predictions", cause, "write them with: mlimages predict")


def _close(said: Keys, hierarchy: Hierarchy) -> Keys:
    table = upward(hierarchy)
    owner, place = expand(table.indptr, categories_of(said))
    return np.unique(make_keys(rows_of(said)[owner], table.ancestors[place]))


def _count_pairs(causes: Keys, predicted: Keys, num_rows: int) -> tuple[Keys, NDArray[np.int64]]:
    """N(i, j): keys (i, j), ascending, and the images that carry i and are predicted to show j."""
    indptr = np.searchsorted(rows_of(causes), np.arange(num_rows + 1))
    owner, place = expand(indptr, rows_of(predicted))
    pairs = make_keys(categories_of(causes)[place], categories_of(predicted)[owner])
    return np.unique(pairs, return_counts=True)


def _related(pairs: Keys, hierarchy: Hierarchy) -> NDArray[np.bool_]:
    """Which pairs (i, j) a path joins: equal, or one an ancestor of the other."""
    table = upward(hierarchy)
    sizes = np.diff(table.indptr)
    known = make_keys(np.repeat(np.arange(len(sizes)), sizes), table.ancestors)
    first, second = rows_of(pairs), categories_of(pairs)
    return contains(known, pairs) | contains(known, make_keys(second, first))
