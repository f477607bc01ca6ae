"""What the steps of a database report: counts that reconcile."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

SHOWN_REJECTS = 20


@dataclass(frozen=True)
class ImportReport:
    """Counts of one import; read = kept + rejected, kept = new_images + merged_images.

    `first_rejects` are (location, reason), the first of each reason.
    """

    source: str
    read: int
    kept: int
    rejected: int
    new_images: int
    merged_images: int
    facts: int
    dropped_annotations: int  # of kept images; each is named in the table of rejects
    first_rejects: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class CompletionReport:
    """Counts of one completion: tags by reason, and the co-occurring pairs that passed."""

    images: int
    tags: int
    by_reason: dict[str, int]
    categories_with_images: int
    cooccurrence_pairs: int
    cooccurrence_filters: dict[str, int] = field(default_factory=dict)  # what passed each, in order
    partitions_recomputed: int = 0
    partitions_kept: int = 0  # nothing that their tags depend on had changed


@dataclass(frozen=True)
class PackReport:
    """Counts of one packing.

    images = packed + already_packed + rejected + to_fetch + left_out.
    """

    images: int
    packed: int
    already_packed: int
    rejected: int
    shards: int
    first_rejects: list[tuple[str, str]]
    to_fetch: int = 0  # only on the web
    left_out: int = 0  # removed, or another image stands for them


def first_rejects(rejects: pa.Table) -> list[tuple[str, str]]:
    """(location, reason) of the first of schemas.REJECTS, for a report."""
    rows = rejects.select(["location", "reason"]).slice(0, SHOWN_REJECTS).to_pylist()
    return [(row["location"], row["reason"]) for row in rows]


@dataclass(frozen=True)
class PartReport:
    """What one part of a divided stage did.

    Attributes:
        stage: hash, pack, predict or fetch.
        part: such as "2/8".
        tasks: of this part.
        done_before: of these, by an earlier run of it.
    """

    stage: str
    part: str
    tasks: int
    done_before: int
