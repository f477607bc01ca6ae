"""Taking what a source said into a generation of a database."""

from __future__ import annotations

from dataclasses import asdict

import pyarrow as pa
import pyarrow.compute as pc

from mlimages.labels.merging import merge_reading
from mlimages.labels.reading import Reading
from mlimages.reports import ImportReport, first_rejects
from mlimages.store import Commit
from mlimages.taxonomy.categories import Taxonomy


def start(commit: Commit, taxonomy: Taxonomy) -> None:
    """Give a new database its vocabulary."""
    categories, hierarchy = taxonomy.to_tables()
    commit.replace("categories", categories)
    commit.replace("hierarchy", hierarchy)
    commit.info["inputs"] = []


def take_in(commit: Commit, reading: Reading) -> ImportReport:
    """Merge a reading into the tables of the generation in the making."""
    merged = merge_reading(
        images=commit.table("images"),
        splits=commit.table("splits"),
        sources=commit.table("sources"),
        facts=commit.table("facts"),
        reading=reading,
    )
    for name in ("images", "splits", "sources"):
        commit.replace(name, getattr(merged, name))
    commit.append("facts", merged.facts)
    # What was wrong with these places the last time is either mended or named again.
    before = commit.table("rejects")
    places = pa.chunked_array(
        [*merged.rejects["location"].chunks, *reading.images["uri"].chunks], pa.string()
    )
    again = pc.and_(
        pc.equal(before["source"], reading.source), pc.is_in(before["location"], places)
    )
    commit.replace("rejects", pa.concat_tables([before.filter(pc.invert(again)), merged.rejects]))
    report = ImportReport(
        source=reading.source,
        read=reading.images.num_rows + reading.rejects.num_rows,
        kept=reading.images.num_rows,
        rejected=reading.rejects.num_rows,
        new_images=merged.new_images,
        merged_images=merged.merged_images,
        facts=merged.facts.num_rows,
        dropped_annotations=reading.line_rejects.num_rows,
        first_rejects=first_rejects(merged.rejects),
        notes=list(reading.notes),
    )
    shown = ("first_rejects", "notes")
    counts = {name: value for name, value in asdict(report).items() if name not in shown}
    commit.info["inputs"].append({**counts, "format": reading.format})
    return report
