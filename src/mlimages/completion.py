"""Deriving a database's tags partition by partition, and only where their inputs changed.

The tags and postings of a partition are one pure function of its facts, of who annotated its
images, of the part of the hierarchy above its categories, and of the co-occurring pairs that can
act in it. A hash of these inputs is kept for each partition; where it is the same, the files are
kept as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.checking import facts_fingerprint
from mlimages.errors import InputError
from mlimages.labels.absences import Absences, silences, single_label_rows, verified_absences
from mlimages.labels.derivation import cooccurrence
from mlimages.labels.derivation.rules import Rules, derive_tags
from mlimages.labels.sparse import Upward, expand, upward
from mlimages.progress import track
from mlimages.reports import CompletionReport
from mlimages.schemas import COOCCURRENCE, TAG_REASONS
from mlimages.store import Commit
from mlimages.taxonomy.hierarchy import Hierarchy

RULES_VERSION = 1
"""Raised when the same inputs begin to give other tags."""
THREADS = 2
_MEMO = "completed"


@dataclass(frozen=True)
class _Part:
    """A partition: its number, and its images first_row..first_row + num_rows - 1."""

    number: int
    first_row: int
    num_rows: int


def complete(
    commit: Commit, hierarchy: Hierarchy, rules: Rules, predictions: pa.Table | Path | str | None
) -> CompletionReport:
    """Derive all tags of the generation in the making; see `Database.complete`.

    Raises:
        InputError: predictions that cannot be used.
    """
    parts = _parts(commit)
    search = _find_pairs(commit, parts, hierarchy, rules, predictions)
    pairs = COOCCURRENCE.empty_table() if search is None else search.pairs
    commit.replace("cooccurrence", pairs)
    one = partial(_complete_part, commit, hierarchy, rules, pairs)
    upward(hierarchy)  # made once, before threads ask for it
    with ThreadPoolExecutor(THREADS) as pool:
        done = list(track(pool.map(one, parts), "completing", len(parts), "partitions"))
    commit.info[_MEMO] = {str(p.number): memo for p, (memo, _, _) in zip(parts, done, strict=True)}
    by_reason = {name: sum(memo["tags"][name] for memo, _, _ in done) for name in TAG_REASONS}
    found = np.any([categories for _, categories, _ in done], axis=0)
    report = CompletionReport(
        images=sum(part.num_rows for part in parts),
        tags=sum(by_reason.values()),
        by_reason=by_reason,
        categories_with_images=int(np.count_nonzero(found)),
        cooccurrence_pairs=pairs.num_rows,
        cooccurrence_filters={} if search is None else search.filters,
        partitions_recomputed=sum(fresh for _, _, fresh in done),
        partitions_kept=sum(not fresh for _, _, fresh in done),
    )
    commit.info["rules"] = asdict(rules)
    commit.info["tags"] = asdict(report)
    commit.info["tags_of"] = facts_fingerprint(commit.manifest)
    return report


def _parts(commit: Commit) -> list[_Part]:
    rows: dict[int, int] = {}
    for entry in commit.manifest.files.get("images", []):
        rows[entry.partition or 0] = rows.get(entry.partition or 0, 0) + entry.rows
    size = commit.manifest.partition_rows
    return [_Part(number, number * size, rows[number]) for number in sorted(rows)]


def _local_facts(commit: Commit, part: _Part) -> pa.Table:
    """What tags are derived from, with rows counted from the partition's first."""
    columns = ["row", "category", "present", "confidence"]
    facts = commit.table("facts", columns, part.number)
    if not pc.all(facts["present"], min_count=0).as_py():  # else corrections are not looked for
        facts = commit.table("facts", [*columns, "kind"], part.number)
    local = pc.subtract(facts["row"], pa.scalar(part.first_row, pa.int32()))
    return facts.set_column(0, "row", local)


def _find_pairs(
    commit: Commit,
    parts: list[_Part],
    hierarchy: Hierarchy,
    rules: Rules,
    predictions: pa.Table | Path | str | None,
) -> cooccurrence.PairSearch | None:
    sources = commit.table("sources")

    def load(part: _Part) -> cooccurrence.Labelled:
        single = single_label_rows(commit.table("images", ["sources"], part.number), sources)
        return cooccurrence.Labelled(part.first_row, _local_facts(commit, part), single)

    loaders: list[Callable[[], cooccurrence.Labelled]] = [partial(load, part) for part in parts]
    if rules.cooccurrence_from == "tags":
        if predictions is not None:
            cause = "are given, but co-occurrence is to be counted from tags"
            raise InputError("predictions", cause, "leave one of the two out")
        return cooccurrence.tagged_pairs(loaders, hierarchy, rules)
    if predictions is None:
        return None
    num_rows = sum(part.num_rows for part in parts)
    return cooccurrence.find_pairs(predictions, loaders, num_rows, hierarchy, rules)


def _complete_part(
    commit: Commit, hierarchy: Hierarchy, rules: Rules, pairs: pa.Table, part: _Part
) -> tuple[dict[str, Any], NDArray[np.bool_], bool]:
    """What is kept of a partition, its categories (bool [categories]), and whether it is new."""
    inputs = _Inputs(commit, hierarchy, rules, pairs, part)
    fingerprint = inputs.fingerprint()
    memo = commit.info.get(_MEMO, {}).get(str(part.number))
    found = np.zeros(hierarchy.num_categories, dtype=bool)
    if memo is not None and memo["inputs"] == fingerprint:
        found[commit.table("postings", ["category"], part.number)["category"].to_numpy()] = True
        return memo, found, False
    facts = _local_facts(commit, part)
    absences = Absences(verified_absences(facts), *inputs.silences) if inputs.pairs else None
    tags = derive_tags(
        facts, part.num_rows, hierarchy, inputs.pairs, absences, rules.cooccurrence_counts
    )
    found[tags.categories] = True
    memo = {"inputs": fingerprint, "tags": tags.count_by_reason()}
    commit.replace("tags", tags.to_table(part.first_row), part.number)
    commit.replace("postings", tags.to_postings(part.first_row), part.number)
    return memo, found, True


class _Inputs:
    """What the tags of a partition depend on.

    Attributes:
        pairs: those that can act here; None when none can.
        silences: groups of images, and what is absent when unsaid; see `Absences`.
    """

    def __init__(
        self, commit: Commit, hierarchy: Hierarchy, rules: Rules, pairs: pa.Table, part: _Part
    ) -> None:
        self._part, self._above, self._rules = part, upward(hierarchy), rules
        entries = commit.manifest.files.get("facts", [])
        self._facts = [entry.sha256 for entry in entries if entry.partition == part.number]
        said = commit.table("facts", ["category"], part.number)["category"].to_numpy()
        self._categories = np.flatnonzero(np.bincount(said, minlength=hierarchy.num_categories))
        causes = self._categories
        if rules.cooccurrence_counts == "all":
            causes = np.unique(_rows(self._above, causes)[1])
        self.pairs = pairs.filter(pc.is_in(pairs["cause"], pa.array(causes, pa.int32()))) or None
        self.silences = _silences(commit, part) if self.pairs else (np.empty(0), np.empty(0))

    def fingerprint(self) -> str:
        """A hash of all of it."""
        digest = hashlib.sha256()
        part = self._part
        digest.update(repr((RULES_VERSION, part.first_row, part.num_rows, self._facts)).encode())
        arrays = [self._categories, *_rows(self._above, self._categories)]
        if self.pairs:
            digest.update(self._rules.cooccurrence_counts.encode())
            effects = self.pairs["effect"].to_numpy()
            arrays += [self.pairs["cause"].to_numpy(), effects, *_rows(self._above, effects)]
            arrays += self.silences
        for array in arrays:
            digest.update(f" {array.dtype} {len(array)} ".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def _rows(above: Upward, categories: NDArray[np.integer]) -> tuple[NDArray, NDArray, NDArray]:
    """Whose, which and how far: the ancestors of some categories."""
    owner, place = expand(above.indptr, categories)
    return owner, above.ancestors[place], above.edges[place]


def _silences(commit: Commit, part: _Part) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    sources = commit.table("sources")
    if not pc.sum(pc.list_value_length(sources["exhaustive"])).as_py():
        return np.zeros(part.num_rows, np.int32), np.empty(0, np.int64)  # nobody's silence counts
    return silences(commit.table("images", ["sources"], part.number), sources)
