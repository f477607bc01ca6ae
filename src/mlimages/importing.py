"""Taking what a source said into a generation of a database."""

from __future__ import annotations

import itertools
from dataclasses import asdict

import pyarrow as pa
import pyarrow.compute as pc

from mlimages.errors import InputError
from mlimages.labels.intake.background import BackgroundCommit
from mlimages.labels.intake.merging import ON_REQUEST, Merger, Taken
from mlimages.labels.reading import Reading
from mlimages.labels.removals import matcher_of
from mlimages.labels.streams import Readings, chunks_of
from mlimages.reports import SHOWN_REJECTS, ImportReport
from mlimages.schemas import REJECTS, SOURCES
from mlimages.store import Commit
from mlimages.taxonomy.categories import Taxonomy

REJECTS_HELD = 1 << 18  # in memory, before they are written


def start(commit: Commit, taxonomy: Taxonomy) -> None:
    """Give a new database its vocabulary."""
    categories, hierarchy = taxonomy.to_tables()
    commit.replace("categories", categories)
    commit.replace("hierarchy", hierarchy)
    commit.info["inputs"] = []


def take_in(commit: Commit, readings: Readings, *, strict: bool = False) -> ImportReport:
    """Merge a reading, or a stream of them, into the tables of the generation in the making.

    Memory does not grow with the number of images, but for 20 bytes of each. Images in the list of
    removals are rejects.

    Args:
        commit: the generation.
        readings: of one source.
        strict: whether the first reject, or broken annotation, is an error.

    Raises:
        InputError: the stream is empty or of several sources, or its source is exhaustive for other
            categories than before; or with `strict` the first reject.
    """
    chunks = chunks_of(readings)
    first = next(chunks, None)
    if first is None:
        raise InputError("import", "its reader yielded nothing", "correct the reader")
    sources = commit.table("sources")
    spoke_before = first.source in sources["source"].to_pylist()
    commit.replace("sources", _merge_source(sources, first))
    counts = _Counts(first)
    with BackgroundCommit(commit) as writing:
        rejects = _RejectIntake(writing, first.source)
        expected = first.images.num_rows
        merger = Merger(
            writing,
            first.source,
            spoke_before=spoke_before,
            expected=expected,
            removals=matcher_of(commit),
        )
        for chunk in itertools.chain([first], chunks):
            if (chunk.source, chunk.format) != (first.source, first.format):
                names = f"{first.source} and {chunk.source}"
                raise InputError("import", f"one stream of two sources, {names}", "import each")
            taken = merger.take(chunk)
            if strict:
                wrong = taken.rejects.filter(pc.not_equal(taken.rejects["reason"], ON_REQUEST))
                refuse_rejects(chunk.rejects, chunk.line_rejects, wrong)
            counts.add(chunk, taken)
            rejects.add(chunk, taken)
        merger.finish()
        rejects.finish()
    report = counts.report(merger.facts.count, rejects.first)
    shown = ("first_rejects", "notes")
    recorded = {name: value for name, value in asdict(report).items() if name not in shown}
    commit.info["inputs"].append({**recorded, "format": first.format})
    return report


def refuse_rejects(*tables: pa.Table) -> None:
    """Raise InputError for the first of some READING_REJECTS, if there is one."""
    for table in tables:
        for reject in table.slice(0, 1).to_pylist():
            action = "mend it, or import without --strict"
            raise InputError(reject["location"], reject["reason"], action)


class _Counts:
    """What is reported of a stream."""

    def __init__(self, first: Reading) -> None:
        self._source = first.source
        self._read = self._new = self._merged = self._dropped = 0
        self._notes: dict[str, None] = {}  # in order, each once

    def add(self, reading: Reading, taken: Taken) -> None:
        self._read += reading.images.num_rows + reading.rejects.num_rows
        self._new += taken.new_images
        self._merged += taken.merged_images
        self._dropped += reading.line_rejects.num_rows
        self._notes.update(dict.fromkeys(reading.notes))

    def report(self, facts: int, first: list[tuple[str, str]]) -> ImportReport:
        kept = self._new + self._merged
        return ImportReport(
            source=self._source,
            read=self._read,
            kept=kept,
            rejected=self._read - kept,
            new_images=self._new,
            merged_images=self._merged,
            facts=facts,
            dropped_annotations=self._dropped,
            first_rejects=first,
            notes=list(self._notes),
        )


class _RejectIntake:
    """Rejects of an import, which take the place of what was said of the same places before."""

    def __init__(self, writing: BackgroundCommit, source: str) -> None:
        self._writing, self._source = writing, source
        before = writing.table("rejects")
        mine = pc.equal(before["source"], source)
        self._before, self._others = before.filter(mine), before.filter(pc.invert(mine))
        writing.replace("rejects", before.slice(0, 0))
        self._held: list[pa.Table] = []
        self.first: list[tuple[str, str]] = []

    def add(self, reading: Reading, taken: Taken) -> None:
        """Take in the rejects of a reading, and forget those of places that are mended."""
        images = pa.concat_tables([reading.rejects, taken.rejects])
        new = pa.concat_tables(
            [self._rows(images, "import"), self._rows(reading.line_rejects, "annotation")]
        )
        if self._before.num_rows:
            places = [*new["location"].chunks, *reading.images["uri"].chunks]
            again = pc.is_in(
                self._before["location"], pa.chunked_array(places, pa.string()), skip_nulls=True
            )
            self._before = self._before.filter(pc.invert(again))
        self._name_first(new)
        self._held.append(new)
        if sum(table.num_rows for table in self._held) > REJECTS_HELD:
            self._write()

    def _name_first(self, new: pa.Table) -> None:
        """Keep the first of each reason for the report: one fault often spoils every other line."""
        if len(self.first) == SHOWN_REJECTS or new.num_rows == 0:
            return
        named = {reason for _, reason in self.first}
        for reason in pc.unique(new["reason"]).slice(0, SHOWN_REJECTS).to_pylist():
            if reason not in named and len(self.first) < SHOWN_REJECTS:
                place = pc.index(new["reason"], reason).as_py()
                self.first.append((new["location"][place].as_py(), reason))

    def finish(self) -> None:
        """Write what is not yet written."""
        self._held = [self._others, self._before, *self._held]
        self._write()

    def _write(self) -> None:
        self._writing.append("rejects", pa.concat_tables(self._held))
        self._held = []

    def _rows(self, rejects: pa.Table, stage: str) -> pa.Table:
        """Entries without an image ("import"), or broken annotations of others ("annotation")."""
        size = rejects.num_rows
        return pa.table(
            {
                "source": pa.array([self._source] * size, pa.string()),
                "stage": pa.array([stage] * size, pa.string()),
                "location": rejects["location"],
                "reason": rejects["reason"],
                "row": pa.nulls(size, pa.int32()),
            },
            schema=REJECTS,
        )


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
