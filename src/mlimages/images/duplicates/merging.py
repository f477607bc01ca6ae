"""What follows from a table of duplicates: the image that is kept gets what sources said of all.

Facts are copied as facts of kind `duplicate`, so that undoing is removing those; what exhaustive
sources left unsaid of a copy is written down (see `silences`).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.images.duplicates.silences import KIND, Silences
from mlimages.schemas import FACTS
from mlimages.store import Commit


def merge_duplicates(commit: Commit, duplicates: pa.Table) -> int:
    """Put a table of duplicates, and the facts that follow, in place of those before.

    Args:
        commit: the generation in the making.
        duplicates: schemas.DUPLICATES; an empty one undoes.

    Returns:
        The number of facts added to images that stand for others.
    """
    size = commit.manifest.partition_rows
    rows = duplicates["row"].to_numpy()
    kept = duplicates["kept"].to_numpy()
    silences = Silences(commit, duplicates)
    numbers = sorted({entry.partition or 0 for entry in commit.manifest.files.get("facts", [])})
    copied = [_copies(commit, number, rows, kept) for number in numbers]
    copies = pa.concat_tables(copied) if copied else FACTS.empty_table()
    places = copies["row"].to_numpy() // size
    added = 0
    for number in sorted({*numbers, *np.unique(kept // size).tolist()}):
        facts = commit.table("facts", partition=number)
        own = facts.filter(pc.not_equal(facts["kind"], KIND))
        new = _unsaid(own, copies.filter(pa.array(places == number)))
        new = pa.concat_tables([new, silences.of(number, pa.concat_tables([own, new]))])
        added += new.num_rows
        if own.num_rows < facts.num_rows:
            commit.replace("facts", pa.concat_tables([own, new]), number)
        elif new.num_rows:
            commit.append("facts", new, number)
    commit.replace("duplicates", duplicates)
    return added


def _copies(
    commit: Commit, number: int, rows: NDArray[np.int32], kept: NDArray[np.int32]
) -> pa.Table:
    """What sources said of a partition's duplicates, said of the images that stand for them."""
    size = commit.manifest.partition_rows
    here = rows // size == number
    if not here.any():
        return FACTS.empty_table()
    facts = commit.table("facts", partition=number)
    about = pc.is_in(facts["row"], pa.array(rows[here]))
    said = facts.filter(pc.and_(about, pc.not_equal(facts["kind"], KIND)))
    target = kept[np.searchsorted(rows, said["row"].to_numpy())]
    kinds = pa.array([KIND] * said.num_rows, pa.string())
    said = said.set_column(0, "row", pa.array(target)).set_column(5, "kind", kinds)
    return said.cast(FACTS)


def _unsaid(own: pa.Table, copies: pa.Table) -> pa.Table:
    """Those copies that the image's own facts of the same source do not say; each one once."""
    if copies.num_rows == 0:
        return copies
    keys = ["row", "category", "source", "present"]
    # The most confident of several copies.
    # Sorting and grouping want plain strings.
    copies = copies.set_column(2, "source", copies["source"].cast(pa.string()))
    best = copies.group_by(keys).aggregate([("confidence", "max")])
    best = best.rename_columns([*keys, "confidence"]).sort_by([(key, "ascending") for key in keys])
    own = own.filter(pc.is_in(own["row"], pc.unique(best["row"])))
    said = {tuple(record.values()) for record in own.select(keys).to_pylist()}
    fresh = [tuple(record.values()) not in said for record in best.select(keys).to_pylist()]
    best = best.filter(pa.array(fresh, pa.bool_()))
    kinds = pa.array([KIND] * best.num_rows, pa.string())
    return best.append_column("kind", kinds).select(FACTS.names).cast(FACTS)
