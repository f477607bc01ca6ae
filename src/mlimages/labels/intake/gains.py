"""What images that are known gain from another listing: a source, a place, or a licence."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.schemas import IMAGES, READING_IMAGES

METADATA = tuple(
    name for name in READING_IMAGES.names if name not in ("id", "uri", "split", "more_uris")
)
"""Columns of an image that the first source to know them fills."""

GAINS = pa.schema(
    [
        ("row", pa.int32()),
        ("source", pa.string()),  # each null where the image gains none
        ("uri", pa.string()),
        *(READING_IMAGES.field(name) for name in METADATA),
    ]
)


def first_uris(known: pa.Table) -> pa.Array:
    """string [images]: the preferred place of each image's bytes, null without any."""
    lists = _one_array(known["uris"])
    offsets = lists.offsets.to_numpy()
    none = np.diff(offsets) == 0
    return lists.values.take(pa.array(np.where(none, 0, offsets[:-1]), mask=none))


def has_source(known: pa.Table, source: str) -> NDArray[np.bool_]:
    """bool [images]: whether a source annotated the image."""
    return _contains(known["sources"], pa.scalar(source))


def find_gains(known: pa.Table, rows: NDArray[np.int32], found: pa.Table, source: str) -> pa.Table:
    """What known images gain by being listed again.

    Args:
        known: schemas.IMAGES, one row an image.
        rows: int32 [images], their rows.
        found: READING_IMAGES of the same images.
        source: that lists them.

    Returns:
        GAINS, without the images that gain nothing.
    """
    said = has_source(known, source)
    columns: dict[str, pa.Array] = {
        "row": pa.array(rows),
        "source": pa.array([source]).take(pa.array(np.zeros(len(rows), np.int8), mask=said)),
    }
    uris = _one_array(found["uri"])
    if uris.null_count < len(uris):
        held = _contains(known["uris"], uris)
        uris = pc.if_else(pa.array(held), pa.scalar(None, pa.string()), uris)
    columns["uri"] = uris
    for name in METADATA:
        values = _one_array(found[name])
        if values.null_count < len(values):
            missing = _one_array(known[name]).is_null()
            values = pc.if_else(missing, values, pa.scalar(None, values.type))
        columns[name] = values
    gains = pa.table(columns, schema=GAINS)
    gaining = np.zeros(len(rows), bool)
    for name in GAINS.names[1:]:
        if gains[name].null_count < len(rows):
            gaining |= gains[name].is_valid().to_numpy(zero_copy_only=False)
    return gains if gaining.all() else gains.filter(pa.array(gaining))


def further_places(found: pa.Table) -> Iterator[tuple[NDArray[np.int64], pa.Array]]:
    """Places of images after their first: the second of all that have one, then the third.

    Yields:
        positions: int64 [n], ascending, of the images.
        places: string [n].
    """
    lists = _one_array(found["more_uris"])
    if lists.null_count == len(lists):
        return
    offsets = lists.offsets.to_numpy()
    for number in range(int(np.diff(offsets).max())):
        positions = np.flatnonzero(np.diff(offsets) > number)
        yield positions, lists.values.take(pa.array(offsets[positions] + number))


def with_gains(images: pa.Table, gains: pa.Table) -> pa.Table:
    """Images with what they gain.

    Args:
        images: schemas.IMAGES of consecutive rows.
        gains: GAINS, each of another of these images.
    """
    if images.num_rows == 0 or gains.num_rows == 0:
        return images
    gains = gains.sort_by("row").combine_chunks()
    positions = gains["row"].to_numpy() - images["row"][0].as_py()
    columns = {name: images[name] for name in IMAGES.names}
    for name, gained in (("sources", "source"), ("uris", "uri")):
        values = _one_array(gains[gained])
        chosen = values.is_valid()
        where = positions[chosen.to_numpy(zero_copy_only=False)]
        columns[name] = appended(_one_array(images[name]), where, values.filter(chosen))
    for name in METADATA:
        values = _one_array(gains[name])
        chosen = values.is_valid()
        mask = np.zeros(images.num_rows, bool)
        mask[positions[chosen.to_numpy(zero_copy_only=False)]] = True
        if mask.any():
            columns[name] = pc.replace_with_mask(
                _one_array(images[name]), pa.array(mask), values.filter(chosen)
            )
    return pa.table(columns, schema=IMAGES)


def appended(lists: pa.ListArray, positions: NDArray, values: pa.Array) -> pa.ListArray:
    """Lists of which those at some positions, ascending, get one more value."""
    if len(values) == 0:
        return lists
    offsets = lists.offsets.to_numpy().astype(np.int64)
    lengths = np.diff(offsets)
    longer = lengths.copy()
    longer[positions] += 1
    moved = np.concatenate([[0], np.cumsum(longer)])
    order = np.empty(moved[-1], np.int64)
    old = np.arange(offsets[0], offsets[-1])
    order[np.repeat(moved[:-1] - offsets[:-1], lengths) + old] = old
    order[moved[positions] + lengths[positions]] = len(lists.values) + np.arange(len(values))
    flat = pa.concat_arrays([lists.values, values]).take(pa.array(order))
    return pa.ListArray.from_arrays(pa.array(moved, pa.int32()), flat)


def _contains(lists: pa.ChunkedArray, wanted: pa.Array | pa.Scalar) -> NDArray[np.bool_]:
    """bool [images]: whether each list holds its wanted string, or the one wanted of all."""
    flat = _one_array(lists)
    parents = pc.list_parent_indices(flat).to_numpy()
    if isinstance(wanted, pa.Array):
        wanted = wanted.take(pa.array(parents))
    equal = pc.equal(flat.flatten(), wanted).fill_null(False).to_numpy(zero_copy_only=False)
    held = np.zeros(len(flat), bool)
    held[parents[equal]] = True
    return held


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.chunks else pa.array([], column.type)
