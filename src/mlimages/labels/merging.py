"""Taking a reading into the tables of a database: which images are new, and which facts.

An image is known when its id is known and a place of its bytes agrees; when one of the two has no
place at all (a list of tags for images held elsewhere); or when the same source named a URL before
and a local file now.
The same id at another place is another image, and gets an id from its place. Facts are only ever
added; one that the same source said before is not said twice: importing again changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlimages.errors import InputError
from mlimages.labels.identity import image_id
from mlimages.labels.reading import Reading
from mlimages.schemas import FACTS, IMAGES, REJECTS, SOURCES, SPLITS

# What the first source that knows it says of an image.
DESCRIPTION = tuple(IMAGES.names[IMAGES.get_field_index("licence") :])


@dataclass(frozen=True)
class MergedTables:
    """Tables after a reading was taken in; `facts` and `rejects` hold only what is new."""

    images: pa.Table
    splits: pa.Table
    sources: pa.Table
    facts: pa.Table
    rejects: pa.Table
    new_images: int
    merged_images: int


def merge_reading(
    images: pa.Table, splits: pa.Table, sources: pa.Table, facts: pa.Table, reading: Reading
) -> MergedTables:
    """Merge a reading into tables of schemas IMAGES, SPLITS, SOURCES and FACTS (pure)."""
    known = {record["id"]: position for position, record in enumerate(images.to_pylist())}
    records = images.to_pylist()
    first_new = len(records)
    rows = np.empty(reading.images.num_rows, dtype=np.int32)
    split_of: dict[int, str] = {}
    for position, found in enumerate(reading.images.to_pylist()):
        row = _row_of(found, reading.source, known, records)
        if row == len(records):
            records.append(_new_record(found, row, known))
        _join(records[row], found, reading.source)
        if row >= first_new:
            split_of.setdefault(row, found["split"])
        rows[position] = row
    new_splits = pa.table({"row": list(split_of), "split": list(split_of.values())}, schema=SPLITS)
    return MergedTables(
        images=pa.Table.from_pylist(records, schema=IMAGES),
        splits=pa.concat_tables([splits, new_splits]),
        sources=_merge_source(sources, reading),
        facts=_new_facts(facts, reading, rows),
        rejects=_reject_rows(reading),
        new_images=len(records) - first_new,
        merged_images=reading.images.num_rows - (len(records) - first_new),
    )


def _row_of(found: dict, source: str, known: dict[str, int], records: list[dict]) -> int:
    """The row of an image already held, or the next free row."""
    for name in (found["id"], image_id(found["uri"], None) if found["uri"] else None):
        if name is None or name not in known:
            continue
        record = records[known[name]]
        if _same_place(found["uri"], record["uris"], source in record["sources"]):
            return known[name]
    return len(records)


def _same_place(uri: str | None, known: list[str], same_source: bool) -> bool:
    """Whether an image of the same id is the same image; a source's URL and its copy are."""
    if not uri or not known or uri in known:
        return True
    return same_source and all(_is_url(uri) != _is_url(other) for other in known)


def _is_url(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def _new_record(found: dict, row: int, known: dict[str, int]) -> dict:
    name = found["id"]
    if name in known:
        name = image_id(found["uri"], None)
    known[name] = row
    return {
        "row": row,
        "id": name,
        "sources": [],
        "uris": [],
        **{key: found[key] for key in DESCRIPTION},
    }


def _join(record: dict, found: dict, source: str) -> None:
    if source not in record["sources"]:
        record["sources"].append(source)
    for uri in (found["uri"], *(found["more_uris"] or ())):
        if uri and uri not in record["uris"]:
            record["uris"].append(uri)
    for key in DESCRIPTION:
        if record[key] is None:
            record[key] = found[key]


def _merge_source(sources: pa.Table, reading: Reading) -> pa.Table:
    rows = {record["source"]: record for record in sources.to_pylist()}
    old = rows.get(reading.source)
    exhaustive = set(reading.exhaustive.tolist())
    if old and exhaustive != set(old["exhaustive"]):
        # Silence about a category of the other set would turn into absence.
        raise InputError(
            f"source {reading.source}",
            "is exhaustive for other categories than before",
            "give this one a name of its own with --source",
        )
    rows[reading.source] = {
        "source": reading.source,
        "format": reading.format,
        "single_label": reading.single_label and (old is None or old["single_label"]),
        "exhaustive": sorted(exhaustive),
    }
    return pa.Table.from_pylist(list(rows.values()), schema=SOURCES)


def _new_facts(facts: pa.Table, reading: Reading, rows: np.ndarray) -> pa.Table:
    found = reading.facts
    table = pa.table(
        {
            "row": rows[found["image"].to_numpy()],
            "category": found["category"],
            "source": pa.array([reading.source] * found.num_rows, pa.string()),
            "present": found["present"],
            "confidence": found["confidence"],
            "kind": found["kind"],
        },
        schema=FACTS,
    )
    said = facts.filter(pc.equal(facts["source"], reading.source))
    if said.num_rows == 0:
        return table
    old = {tuple(record.values()) for record in said.to_pylist()}
    fresh = [tuple(record.values()) not in old for record in table.to_pylist()]
    return table.filter(pa.array(fresh, pa.bool_()))


def _reject_rows(reading: Reading) -> pa.Table:
    """Entries without an image ("import"), then broken annotations of kept ones ("annotation")."""
    found = pa.concat_tables([reading.rejects, reading.line_rejects])
    stages = ["import"] * reading.rejects.num_rows + ["annotation"] * reading.line_rejects.num_rows
    return pa.table(
        {
            "source": pa.array([reading.source] * found.num_rows, pa.string()),
            "stage": pa.array(stages, pa.string()),
            "location": found["location"],
            "reason": found["reason"],
            "row": pa.nulls(found.num_rows, pa.int32()),
        },
        schema=REJECTS,
    )
