"""The reviewable mapping table, the unmapped report, and the figures of a mapping."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlimages.errors import InputError
from mlimages.storage import write_text
from mlimages.taxonomy.categories import Taxonomy
from mlimages.taxonomy.mapping import HEADER, LabelMap, read_label_map
from mlimages.taxonomy.proposals.proposing import HIGH_CONFIDENCE, Proposal
from mlimages.taxonomy.proposals.scoring import WEIGHTS, Candidate
from mlimages.taxonomy.sensitivity import sensitive_wnids
from mlimages.taxonomy.translations import Translations
from mlimages.taxonomy.wordnet import wordnet

MAPPING_HEADER = (
    f"{HEADER}\tparent\tstatus\tname\tconfidence\tin_vocabulary\tlemmas\tgloss\tpath\tevidence"
    "\talternatives\tother_names"
)
UNMAPPED_HEADER = "label\tname\treason\tcandidates"


@dataclass(frozen=True)
class Merged:
    """Classes that mean the same synset."""

    wnid: str
    name: str
    labels: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class MappingSummary:
    """What `mlimages taxonomy map` prints.

    Attributes:
        classes: classes read; `rejected` are the lines that could not be.
        mapped: classes in the mapping table, `manual` of them by hand.
        exact_high, exact_low: proposals of the same thing, by confidence.
        broader_high, broader_low: proposals of a broader thing.
        several: classes with more than one synset.
        lifted: mapped classes whose synset is not in the vocabulary, and goes to those above it.
        unmapped: classes in the unmapped report; `by_hand` of them because a line says so.
        merged: synsets that several classes mean exactly.
        hidden: sensitive synsets that were left out of the lists of candidates and of `merged`.
        unused_overrides: labels by hand that no class has.
    """

    classes: int
    mapped: int
    manual: int
    exact_high: int
    exact_low: int
    broader_high: int
    broader_low: int
    several: int
    lifted: int
    unmapped: int
    by_hand: int
    merged: tuple[Merged, ...]
    hidden: int
    unused_overrides: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    outputs: dict[str, str] = field(default_factory=dict)


def read_overrides(path: Path | str) -> LabelMap:
    """The lines of a label map that were written or approved by hand.

    A mapping table can be given back after a review: of its lines, those whose status is `manual`.

    Raises:
        InputError: as `read_label_map`; a status that is neither `manual` nor `proposed`.
    """
    table = read_label_map(path)
    for mapping in table.mappings.values():
        if mapping.status not in ("", "manual", "proposed"):
            raise InputError(
                f"{path}, label {mapping.label!r}",
                f"status {mapping.status!r}",
                "write manual for a line that you decided, proposed for others",
            )
    return LabelMap(table.name, [m for m in table.mappings.values() if m.status != "proposed"])


def split(
    proposals: Sequence[Proposal], minimum_confidence: float
) -> tuple[list[Proposal], list[Proposal]]:
    """(mapped, unmapped): those with a synset and enough confidence, and the others."""
    mapped = [p for p in proposals if p.wnids and p.confidence >= minimum_confidence]
    keys = {p.foreign.key for p in mapped}
    return mapped, [p for p in proposals if p.foreign.key not in keys]


def write_mapping(
    path: Path | str,
    mapped: Sequence[Proposal],
    taxonomy: Taxonomy,
    translations: Translations,
    include_sensitive: bool = False,
) -> None:
    """Write a label map with the evidence beside it; sources read it with `--map`.

    Its lines hold sensitive categories, as a database does; its alternatives only when asked.
    """
    lines = [MAPPING_HEADER]
    for proposal in mapped:
        lines.append("\t".join(_mapping_row(proposal, taxonomy, translations, include_sensitive)))
    write_text(path, "\n".join(lines) + "\n")


def _mapping_row(
    proposal: Proposal,
    taxonomy: Taxonomy,
    translations: Translations,
    include_sensitive: bool,
) -> list[str]:
    nouns, manual = wordnet(), proposal.manual
    known = [wnid for wnid in proposal.wnids if wnid in nouns]
    others = [] if manual else shown(proposal.candidates[1:6], include_sensitive)
    keys = (proposal.foreign.key, *proposal.wnids)
    fields = [
        proposal.foreign.key,
        " ".join(proposal.wnids),
        proposal.relation,
        manual.note if manual else "",
        manual.parent if manual else "",
        "manual" if manual else "proposed",
        " | ".join(proposal.foreign.names),
        f"{proposal.confidence:.3f}",
        "yes" if all(taxonomy.get(wnid) is not None for wnid in proposal.wnids) else "no",
        " | ".join(nouns.name(wnid) for wnid in known),
        " | ".join(nouns.gloss(wnid) for wnid in known),
        " | ".join(path_of(wnid) for wnid in known),
        "by hand" if manual or not proposal.best else evidence_text(proposal.best),
        "; ".join(map(candidate_text, others)),
        "; ".join(filter(None, map(translations.text, keys))),
    ]
    return [" ".join(text.split()) if i >= 6 else text for i, text in enumerate(fields)]


def write_unmapped(
    path: Path | str,
    unmapped: Sequence[Proposal],
    minimum_confidence: float,
    include_sensitive: bool = False,
) -> None:
    """Write the classes without a synset, each with why and its best candidates."""
    lines = [UNMAPPED_HEADER]
    for proposal in unmapped:
        if proposal.manual is not None:
            reason = "by hand"
        elif proposal.candidates:
            reason = f"confidence {proposal.confidence:.3f} is below {minimum_confidence:g}"
        else:
            reason = "no noun of WordNet is like it"
        found = [] if proposal.manual else shown(proposal.candidates[:5], include_sensitive)
        candidates = "; ".join(map(candidate_text, found))
        names = " ".join(" | ".join(proposal.foreign.names).split())
        lines.append("\t".join([proposal.foreign.key, names, reason, candidates]))
    write_text(path, "\n".join(lines) + "\n")


def summarize(
    mapped: Sequence[Proposal],
    unmapped: Sequence[Proposal],
    taxonomy: Taxonomy,
    include_sensitive: bool = False,
) -> MappingSummary:
    """Count a mapping."""
    counts: Counter[str] = Counter()
    for p in mapped:
        level = "high" if p.confidence >= HIGH_CONFIDENCE else "low"
        counts["manual" if p.manual else f"{_form(p)}_{level}"] += 1
        counts["several"] += len(p.wnids) > 1
        counts["lifted"] += any(taxonomy.get(wnid) is None for wnid in p.wnids)
    together = merged(mapped)
    visible = [m for m in together if include_sensitive or m.wnid not in sensitive_wnids()]
    candidates = {c.wnid for p in (*mapped, *unmapped) for c in p.candidates[1:6]}
    candidates |= {p.candidates[0].wnid for p in unmapped if p.candidates}
    candidates |= {m.wnid for m in together}
    return MappingSummary(
        classes=len(mapped) + len(unmapped),
        mapped=len(mapped),
        manual=counts["manual"],
        exact_high=counts["exact_high"],
        exact_low=counts["exact_low"],
        broader_high=counts["broader_high"],
        broader_low=counts["broader_low"],
        several=counts["several"],
        lifted=counts["lifted"],
        unmapped=len(unmapped),
        by_hand=sum(p.manual is not None for p in unmapped),
        merged=tuple(visible),
        hidden=0 if include_sensitive else len(candidates & sensitive_wnids()),
    )


def _form(proposal: Proposal) -> str:
    return "broader" if proposal.relation == "broader" else "exact"


def merged(mapped: Sequence[Proposal]) -> list[Merged]:
    """The synsets that several classes mean exactly, ascending: they become one category."""
    classes: dict[str, list[Proposal]] = {}
    for proposal in mapped:
        if proposal.relation == "exact" and len(proposal.wnids) == 1:
            classes.setdefault(proposal.wnids[0], []).append(proposal)
    nouns = wordnet()
    return [
        Merged(
            wnid,
            nouns.name(wnid) if wnid in nouns else wnid,
            tuple(p.foreign.key for p in found),
            tuple(p.foreign.names[0] for p in found),
        )
        for wnid, found in sorted(classes.items())
        if len(found) > 1
    ]


def shown(candidates: Sequence[Candidate], include_sensitive: bool) -> list[Candidate]:
    """The candidates that a report may show."""
    return [c for c in candidates if include_sensitive or c.wnid not in sensitive_wnids()]


def candidate_text(one: Candidate) -> str:
    """One candidate in a few words: `n02084071 dog (0.93)`."""
    return f"{one.wnid} {wordnet().lemmas(one.wnid)[0]} ({one.confidence:.3f})"


def evidence_text(one: Candidate) -> str:
    """Why a candidate, each piece of evidence with what it adds to the score."""
    parts = [f"{one.lemma!r} is sense {one.sense + 1} of {one.num_senses}, {one.tag_count} uses"]
    if one.kind == "parent":
        return "taken from the class above"
    parts += [
        f"{name} {WEIGHTS[name] * value:+.2f}"
        for name, value in one.evidence.items()
        if f"{WEIGHTS[name] * value:+.2f}" not in ("+0.00", "-0.00")
    ]
    return "; ".join(parts)


@functools.cache
def path_of(wnid: str) -> str:
    """The first path from the root down to a synset, without itself: "entity > ... > canine"."""
    above = wordnet().hypernyms(wnid)
    if not above:
        return ""
    path, name = path_of(above[0]), wordnet().lemmas(above[0])[0]
    return f"{path} > {name}" if path else name
