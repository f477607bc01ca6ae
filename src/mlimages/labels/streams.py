"""Streams of readings: one source, chunk by chunk, so that memory stays the same at any size.

A stream yields at least one `Reading`, and all of them have the same source, format, exhaustive
categories and single_label. An image may be listed in a chunk and get facts in later ones, where it
is listed by its id alone (`uri` and `place` null).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from mlimages.errors import InputError
from mlimages.labels.reading import Reading

Readings = Reading | Iterable[Reading]


def chunks_of(readings: Readings) -> Iterator[Reading]:
    """The chunks of a stream, or a whole reading as the only one."""
    return iter([readings]) if isinstance(readings, Reading) else iter(readings)


def one_or_many(chunks: Iterator[Reading]) -> Readings:
    """The only reading of a source, or the stream of several.

    The first is made at once, so that a wrong path or layout is an error before anything is done.
    """
    first = next(chunks)
    second = next(chunks, None)
    return first if second is None else itertools.chain([first, second], chunks)


def require_images(readings: Readings, path: Path | str) -> Iterator[Reading]:
    """The same readings, of which at least one has an image.

    Raises:
        InputError: no image can be kept; it names the first reject. Nothing was written yet.
    """
    begun: list[Reading] = []
    rest = chunks_of(readings)
    for chunk in rest:
        begun.append(chunk)
        if chunk.images.num_rows:
            return itertools.chain(begun, rest)
    read = sum(chunk.read or 0 for chunk in begun)
    rejects = [chunk.rejects for chunk in begun if chunk.rejects.num_rows]
    first = rejects[0].slice(0, 1).to_pylist() if rejects else []
    why = f" ({first[0]['location']}: {first[0]['reason']})" if first else ""
    raise InputError(path, f"none of its {read:,} entries can be kept{why}", "mend it")


def joined(readings: Readings) -> Reading:
    """A stream as one reading, for lists that fit into memory.

    Raises:
        InputError: two chunks list an image of the same id.
    """
    chunks = list(chunks_of(readings))
    first_of = np.cumsum([0, *(chunk.images.num_rows for chunk in chunks)])
    facts = [
        chunk.facts.set_column(
            0, "image", pa.array(chunk.facts["image"].to_numpy() + first, pa.int32())
        )
        for chunk, first in zip(chunks, first_of[:-1], strict=True)
    ]

    def location(image: int) -> str:
        number = int(np.searchsorted(first_of, image, side="right")) - 1
        at = chunks[number].location
        return at(image - int(first_of[number])) if at is not None else chunks[number].source

    return Reading(
        source=chunks[0].source,
        images=pa.concat_tables([chunk.images for chunk in chunks]),
        facts=pa.concat_tables(facts),
        rejects=pa.concat_tables([chunk.rejects for chunk in chunks]),
        exhaustive=chunks[0].exhaustive,
        single_label=chunks[0].single_label,
        format=chunks[0].format,
        notes=[note for chunk in chunks for note in chunk.notes],
        line_rejects=pa.concat_tables([chunk.line_rejects for chunk in chunks]),
        places=pa.concat_arrays([places_of(chunk) for chunk in chunks]),
        location=location,
        namesakes={
            image + int(first): name
            for chunk, first in zip(chunks, first_of[:-1], strict=True)
            for image, name in chunk.namesakes.items()
        },
    )


def places_of(reading: Reading) -> pa.Array:
    """string [images]: its places, null where it has none."""
    if reading.places is None:
        return pa.nulls(reading.images.num_rows, pa.string())
    return reading.places
