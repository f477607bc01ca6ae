"""The stages that build the database: import, pack, complete, describe."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa

from mlimages.database import Database
from mlimages.labels.derivation.rules import Rules
from mlimages.labels.tags import Tags
from mlimages.quickstart.plans import ReadSources
from mlimages.quickstart.results import AddedTags, Cooccurrence, PackRow, PairRow, SourceRow
from mlimages.quickstart.showing import choose_samples, explain_samples
from mlimages.quickstart.stages import Outcome
from mlimages.quickstart.truth import read_truth, score_added, true_pairs
from mlimages.taxonomy.categories import Taxonomy, released_taxonomy
from mlimages.training.inference import load_model
from mlimages.training.prediction import predict

SAMPLES = 6
FILTERS = {
    "predictions": "predictions of 0.05 or more",
    "usable": "of them, of a category that the multi-label part asserts",
    "probable": "of them, above the minimum probability",
    "observed": "pairs of categories among these",
    "frequent": "of them, above the minimum ratio",
    "unrelated": "of them, without a path in the hierarchy",
}


def import_sources(root: Path, read: ReadSources, taxonomy: Taxonomy | None = None) -> Outcome:
    """Create the database, add what every source says, and add the ancestors of its tags.

    Args:
        root: the database.
        read: yields the sources; see `Plan`.
        taxonomy: its vocabulary, by default the released one.
    """
    shutil.rmtree(root, ignore_errors=True)  # of an attempt that was cut short
    db = Database.create(root, taxonomy or released_taxonomy())
    rows = []
    for reading in read(db.taxonomy):
        report = db.add(reading)
        rows.append(
            SourceRow(
                source=report.source,
                format=db.store.manifest.info["inputs"][-1]["format"],
                read=report.read,
                kept=report.kept,
                rejected=report.rejected,
                facts=report.facts,
                first_rejects=report.first_rejects,
                notes=report.notes,
            )
        )
    completed = db.complete()
    kept, rejected = sum(row.kept for row in rows), sum(row.rejected for row in rows)
    summary = (
        f"{kept:,} images of {len(rows)} sources, {rejected:,} rejected; "
        f"{completed.tags:,} tags with ancestors"
    )
    return Outcome(summary, {"sources": rows})


def pack(root: Path) -> Outcome:
    """Pack the images' bytes."""
    report = Database.open(root).pack()
    packed = report.packed + report.already_packed
    row = PackRow(report.images, packed, report.rejected, report.shards, report.first_rejects)
    return Outcome(f"{packed:,} packed, {report.rejected:,} rejected", {"pack": row})


def complete(root: Path, teacher: Path, truth: Path | None) -> Outcome:
    """Co-occurrence as in the paper: predict the single-label part, find pairs, close again.

    Args:
        root: the database.
        teacher: run folder of a network trained on the multi-label part.
        truth: folder with the truth about the images, or None.
    """
    db, rules = Database.open(root), Rules()
    before = db.complete(rules)
    predictions = predict(load_model(teacher), db, db.select(part="single"))
    after = db.complete(rules, predictions)
    pairs = db.store.table("cooccurrence")
    shares, scores = _score(db, rules, pairs, truth)
    found = Cooccurrence(
        minimum_probability=rules.minimum_probability,
        minimum_ratio=rules.minimum_ratio,
        filters={FILTERS[name]: count for name, count in after.cooccurrence_filters.items()},
        pairs=_pair_rows(db.taxonomy, pairs, shares),
        truth=scores,
        tags_before=before.tags,
        tags_after=after.tags,
    )
    summary = f"{pairs.num_rows} co-occurring pairs, {after.tags - before.tags:,} new tags"
    if scores and scores[0].added:
        summary += f"; precision {scores[0].precision:.1%}, recall {scores[0].recall:.1%}"
    return Outcome(summary, {"cooccurrence": found})


def describe(root: Path, folder: Path, seed: int) -> Outcome:
    """The database's figures, and samples of its photos; pictures go below `folder`."""
    db = Database.open(root)
    statistics = db.statistics()
    samples = explain_samples(db, choose_samples(db, SAMPLES, seed), folder)
    summary = (
        f"{statistics.images:,} images, {statistics.categories_with_images:,} categories, "
        f"{statistics.tags_per_image.mean:.2f} tags an image"
    )
    return Outcome(summary, {"statistics": asdict(statistics), "samples": samples})


def _score(
    db: Database, rules: Rules, pairs: pa.Table, truth: Path | None
) -> tuple[Mapping[tuple[int, int], float] | None, list[AddedTags]]:
    """The true share of each pair, and how right the rule was; None and [] without a truth."""
    if truth is None:
        return None, []
    seen = read_truth(truth)
    ids = db.store.table("images", ["id"])["id"].to_pylist()
    visible = {
        row: frozenset(db.taxonomy.index(key) for key in seen[ids[row]])
        for row in db.select(part="single").rows.tolist()
    }
    tags = Tags.from_table(db.store.table("tags"))
    hierarchy = db.taxonomy.hierarchy(rules.hierarchy)
    found = {(pair["cause"], pair["effect"]) for pair in pairs.to_pylist()}
    scores = score_added(tags, visible, hierarchy, found, rules.minimum_ratio)
    return true_pairs(tags, visible, hierarchy), scores


def _pair_rows(
    taxonomy: Taxonomy, pairs: pa.Table, shares: Mapping[tuple[int, int], float] | None
) -> list[PairRow]:
    """The pairs for the page, most frequent first, without sensitive categories."""
    rows = []
    for pair in sorted(pairs.to_pylist(), key=lambda pair: -pair["ratio"]):
        cause, effect = (taxonomy.categories[pair[name]] for name in ("cause", "effect"))
        true = shares.get((cause.index, effect.index), 0.0) if shares is not None else None
        if not (cause.sensitive or effect.sensitive):
            counts = (pair["images"], pair["predicted"], pair["ratio"])
            rows.append(PairRow(cause.name, effect.name, *counts, true))
    return rows
