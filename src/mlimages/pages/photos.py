"""Small pictures of packed images, for pages."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mlimages.images.shards import ShardReader
from mlimages.labels.lookup import left_out
from mlimages.labels.tag_blocks import tag_blocks
from mlimages.labels.tags import ASSERTED
from mlimages.progress import track
from mlimages.store import Store
from mlimages.taxonomy.hierarchy import Hierarchy

PHOTOS = "photos"
SIDE = 288  # pixels of the longer side


def write_photos(reader: ShardReader, rows: Iterable[int], folder: Path) -> dict[int, str]:
    """Write `photos/ROW.jpg` into a folder for every row that is packed and can be decoded.

    Returns:
        Paths relative to the folder, by row.
    """
    wanted = sorted({row for row in rows if row in reader})
    if wanted:
        (folder / PHOTOS).mkdir(exist_ok=True)
    written = {}
    for row in track(wanted, "writing photos", unit="photos"):
        picture = Image.fromarray(reader.image(row, minimum_side=SIDE))
        picture.thumbnail((SIDE, SIDE))
        written[row] = f"{PHOTOS}/{row}.jpg"
        picture.save(folder / written[row], "JPEG", quality=84)
    return written


def choose_examples(
    store: Store,
    packed: NDArray[np.integer],
    hierarchy: Hierarchy,
    hidden: NDArray[np.bool_],
    number: int,
) -> dict[int, list[int]]:
    """Some packed images of each category, by their rows.

    A category shows images that a source tagged with it, then those of the categories below it.

    Args:
        store: the database, with current tags.
        packed: rows whose bytes are at hand.
        hierarchy: over the categories.
        hidden: bool [categories]; an image with a tag of these is no example.
        number: images of a category.
    """
    usable = ~left_out(store)
    has_bytes = np.zeros(len(usable), dtype=bool)
    has_bytes[packed] = True
    usable &= has_bytes
    examples: dict[int, list[int]] = {}
    missing = np.full(hierarchy.num_categories, number)
    for block in tag_blocks(store, "choosing examples"):
        ok = usable[block.rows]
        ok[block.owners[hidden[block.categories]]] = False
        block = block.take(np.flatnonzero(ok))
        asserted = (block.reasons == ASSERTED) & (missing[block.categories] > 0)
        categories = block.categories[asserted]
        rows = np.repeat(block.rows, np.diff(block.indptr))[asserted]
        order = np.argsort(categories, kind="stable")
        found, starts = np.unique(categories[order], return_index=True)
        for category, start, end in zip(
            found.tolist(), starts, [*starts[1:].tolist(), len(order)], strict=True
        ):
            new = rows[order[start : min(end, start + missing[category])]].tolist()
            examples.setdefault(category, []).extend(new)
            missing[category] -= len(new)
    _inherit(examples, hierarchy, number)
    return examples


def _inherit(examples: dict[int, list[int]], hierarchy: Hierarchy, number: int) -> None:
    """Fill up from the children, one of each in turn, the deepest categories first."""
    for category in np.argsort(-hierarchy.depths, kind="stable").tolist():
        own = examples.get(category, [])
        below = [examples.get(child, []) for child in hierarchy.children_of(category).tolist()]
        turns = [rows[turn] for turn in range(number) for rows in below if turn < len(rows)]
        chosen = list(dict.fromkeys([*own, *turns]))[:number]
        if chosen:
            examples[category] = chosen
