"""Mapping the 21,841 names of ImageNet (Fall 2011) to synsets, their wnids hidden.

The file names each synset by its first lemma, so "first lemma" evidence tells more here than it
would elsewhere: figures without it are given, too. Of classes that share a name at most one can be
right (`limit`). Thresholds are chosen on the synsets whose wnid has an even CRC-32, and stated on
the others.

The file: MLIMAGES_DATA or ../shared/data, metadata/imagenet_fall11_synset_counts.csv.
"""

from __future__ import annotations

import csv
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness import Outcome, main, real_data

from mlimages.taxonomy.categories import released_taxonomy
from mlimages.taxonomy.proposals.foreign import ForeignClass
from mlimages.taxonomy.proposals.proposing import MINIMUM_CONFIDENCE, Proposal, propose
from mlimages.taxonomy.proposals.scoring import WEIGHTS
from mlimages.taxonomy.wordnet import wordnet

TARGETS = (0.95, 0.99, 0.999)


@dataclass(frozen=True)
class Answer:
    """One name's result: how sure, whether right, whether the word has several senses."""

    confidence: float
    right: bool
    polysemous: bool
    tuned: bool  # of the half that thresholds are chosen on


def answers(proposals: Sequence[Proposal], wnids: Sequence[str]) -> list[Answer]:
    """Compare each proposal with its hidden wnid."""
    nouns = wordnet()
    return [
        Answer(
            proposal.confidence,
            proposal.wnids == (wnid,),
            len(nouns.synsets(proposal.foreign.names[0])) > 1,
            zlib.crc32(wnid.encode()) % 2 == 0,
        )
        for proposal, wnid in zip(proposals, wnids, strict=True)
    ]


def precision(found: Sequence[Answer], threshold: float = 0.0) -> tuple[float, float]:
    """(precision, coverage) of the answers at or above a threshold."""
    taken = [one.right for one in found if one.confidence >= threshold]
    return sum(taken) / max(1, len(taken)), len(taken) / len(found)


def choose(found: Sequence[Answer], target: float) -> float:
    """The lowest confidence, in hundredths, from which on the precision reaches a target."""
    for hundredth in range(100):
        if precision(found, hundredth / 100)[0] >= target:
            return hundredth / 100
    return 1.0


def measure(quick: bool) -> Outcome:
    """Map, compare, choose thresholds on one half, and state everything on the other."""
    with open(
        real_data("metadata/imagenet_fall11_synset_counts.csv"), encoding="utf-8", newline=""
    ) as file:
        rows = [(row["synid"], row["class_name"]) for row in csv.DictReader(file)]
    wnids = [wnid for wnid, _ in rows]
    classes = [ForeignClass(f"class {i}", (name,)) for i, (_, name) in enumerate(rows)]
    outcome = Outcome()
    start = time.perf_counter()
    proposals = propose(classes)
    outcome.seconds["map"] = time.perf_counter() - start

    both = answers(proposals, wnids)
    held = [one for one in both if not one.tuned]
    sorts = {
        "all": held,
        "one sense": [one for one in held if not one.polysemous],
        "several senses": [one for one in held if one.polysemous],
    }
    nouns = wordnet()
    first = {name: nouns.synsets(name)[0] for _, name in rows}
    ratios = outcome.ratios
    for sort, found in sorts.items():
        ratios[f"precision, {sort}"] = precision(found)[0]
    odd = [(w, n) for w, n in rows if zlib.crc32(w.encode()) % 2]
    several = [(w, n) for w, n in odd if len(nouns.synsets(n)) > 1]
    for sort, part in (("all", odd), ("several senses", several)):
        ratios[f"precision of the first sense, {sort}"] = _share(first[n] == w for w, n in part)
    names = [name for _, name in rows]
    ratios["limit for names alone, all"] = len(set(names)) / len(names)
    ambiguous = [name for name in names if len(nouns.synsets(name)) > 1]
    ratios["limit for names alone, several senses"] = len(set(ambiguous)) / len(ambiguous)
    tuned = [one for one in both if one.tuned]
    thresholds = {f"chosen for {t}": choose(tuned, t) for t in TARGETS}
    for label, threshold in {**thresholds, "default": MINIMUM_CONFIDENCE}.items():
        ratios[f"threshold {label}"] = threshold
        for sort, found in sorts.items():
            exact, coverage = precision(found, threshold)
            ratios[f"precision, {label}, {sort}"] = exact
            ratios[f"coverage, {label}, {sort}"] = coverage
    if not quick:
        ratios.update(_variants(classes, wnids))
    return outcome


def _variants(classes: Sequence[ForeignClass], wnids: Sequence[str]) -> dict[str, float]:
    """Precision at full coverage on the held half, with less and with more evidence."""
    nouns, inside = wordnet(), dict(zip(wnids, classes, strict=True))
    with_tree = [
        ForeignClass(
            one.key,
            one.names,
            parents=tuple(inside[up].key for up in nouns.nearest_ancestors(wnid, inside)),
        )
        for wnid, one in zip(wnids, classes, strict=True)
    ]
    runs = {
        # 10,348 of the categories are from ImageNet: this evidence leaks the answer.
        "with the vocabulary (leaks)": propose(classes, frozenset(released_taxonomy().keys)),
        # WordNet's own hierarchy: another source's would agree less.
        "with ImageNet's hierarchy (optimistic)": propose(with_tree),
    }
    kept = WEIGHTS["first lemma"]
    WEIGHTS["first lemma"] = 0.0
    runs["without the first lemma"] = propose(classes)
    WEIGHTS["first lemma"] = kept
    figures = {}
    for label, proposals in runs.items():
        held = [one for one in answers(proposals, wnids) if not one.tuned]
        figures[f"precision {label}, all"] = precision(held)[0]
        several = [one for one in held if one.polysemous]
        figures[f"precision {label}, several senses"] = precision(several)[0]
    return figures


def _share(values: Iterable[bool]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


if __name__ == "__main__":
    main("Mapping ImageNet's names, wnids hidden", measure, ("numpy", "pyarrow"))
