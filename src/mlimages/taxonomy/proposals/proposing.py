"""Mapping a whole foreign label space: candidates for each class, scored, the best one proposed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

from mlimages.progress import track
from mlimages.taxonomy.mapping import LabelMap, Relation
from mlimages.taxonomy.mapping import Mapping as ManualMapping
from mlimages.taxonomy.proposals.context import (
    add_compounds,
    add_doubts,
    add_gloss,
    add_hierarchy,
    add_hint,
    add_shared_images,
)
from mlimages.taxonomy.proposals.foreign import ForeignClass
from mlimages.taxonomy.proposals.lexicon import lexicon, parse_name
from mlimages.taxonomy.proposals.scoring import Candidate, candidate, set_confidence
from mlimages.taxonomy.wordnet import wordnet

BROADER_KINDS = frozenset({"head", "hint", "parent"})
# From where on a proposal counts as sure, and is made at all. By benchmarks/mapping_imagenet.py,
# 99.9 % and 98.8 % of ImageNet's names are right from there on; other label spaces are harder.
HIGH_CONFIDENCE = 0.85
MINIMUM_CONFIDENCE = 0.5
_HIERARCHY_ROUNDS = 2  # so that what a parent learned reaches its children


@dataclass
class Proposal:
    """What is proposed for one class, or said of it by hand.

    Attributes:
        foreign: the class.
        candidates: the most confident first.
        manual: the line of the user's own table for it, which wins.
    """

    foreign: ForeignClass
    candidates: list[Candidate] = field(default_factory=list)
    manual: ManualMapping | None = None

    @property
    def best(self) -> Candidate | None:
        """The most confident candidate."""
        return self.candidates[0] if self.candidates else None

    @property
    def wnids(self) -> tuple[str, ...]:
        """The synsets, several only by hand; none when nothing was found or by hand."""
        if self.manual is not None:
            return self.manual.wnids
        return (self.best.wnid,) if self.best else ()

    @property
    def relation(self) -> Relation:
        """How the synset relates to the class; "exact" when there is none."""
        if self.manual is not None:
            return self.manual.relation
        return "broader" if self.best and self.best.kind in BROADER_KINDS else "exact"

    @property
    def confidence(self) -> float:
        """1 for what was said by hand, 0 when nothing was found."""
        if self.manual is not None:
            return 1.0
        return self.best.confidence if self.best else 0.0


def propose(
    classes: Sequence[ForeignClass],
    vocabulary: Container[str] = (),
    overrides: LabelMap | None = None,
    shared_images: Mapping[str, Mapping[str, int]] | None = None,
) -> list[Proposal]:
    """Propose a synset for each class.

    Args:
        classes: the foreign label space; keys differ.
        vocabulary: wnids of the target categories, which are more likely to be meant.
        overrides: lines that win, by key.
        shared_images: for a key, how many images carry both it and each wnid.

    Returns:
        One proposal per class, in their order; it does not depend on that order.
    """
    nouns = wordnet()
    manual = overrides.mappings if overrides is not None else {}
    initial = sum(one.names[0][:1].isupper() for one in classes)
    capitals_tell = initial < 0.9 * len(classes)
    candidates: dict[str, list[Candidate]] = {}
    for one in track(classes, "mapping classes"):
        if one.key in manual:
            line = manual[one.key]
            known = [wnid if wnid in nouns else line.parent for wnid in line.wnids]
            candidates[one.key] = [_settled(wnid) for wnid in known if wnid]
            continue
        found = _candidates(one, vocabulary, capitals_tell)
        if shared_images is not None:
            add_shared_images(found, shared_images.get(one.key, {}))
        candidates[one.key] = found
    add_doubts((one for one in classes if one.key not in manual), candidates)
    rivals = Counter(one.names[0].lower() for one in classes)
    open_keys = {one.key: rivals[one.names[0].lower()] for one in classes if one.key not in manual}
    _weigh(candidates, open_keys)
    if any(one.parents for one in classes):
        for _ in range(_HIERARCHY_ROUNDS):
            add_hierarchy(classes, candidates)
            _weigh(candidates, open_keys)
        _take_from_parents(classes, candidates, open_keys)
    return [Proposal(one, candidates[one.key], manual.get(one.key)) for one in classes]


def _candidates(
    one: ForeignClass, vocabulary: Container[str], capitals_tell: bool
) -> list[Candidate]:
    """The synsets that any of the class's names may be; the names are equally good."""
    nouns = wordnet()
    found: dict[str, Candidate] = {}
    for full_name in one.names:
        name = parse_name(full_name)
        own: dict[str, Candidate] = {}
        for match in lexicon().matches(name):
            senses = nouns.senses(match.word)
            text = name.text if capitals_tell else ""
            new_ones = [candidate(match.kind, sense, senses, text) for sense in senses]
            if match.kind == "head":
                add_compounds(new_ones, match.word)
            for new in new_ones:
                _keep_better(own, new)
        if name.hint:
            add_hint(own.values(), name.hint)
        for new in own.values():
            _keep_better(found, new)
    for new in found.values():
        if new.wnid in vocabulary:
            new.evidence["vocabulary"] = 1.0
    if one.gloss:
        add_gloss(found.values(), one.gloss)
    return list(found.values())


def _keep_better(found: dict[str, Candidate], new: Candidate) -> None:
    old = found.get(new.wnid)
    if old is None or new.score > old.score:
        found[new.wnid] = new


def _weigh(candidates: Mapping[str, list[Candidate]], rivals: Mapping[str, int]) -> None:
    """Set the confidences of the classes in `rivals`, and sort their candidates."""
    for key, number in rivals.items():
        found = candidates[key]
        contextual = any(_tells_apart(one) for one in found)
        set_confidence(found, 1 if contextual else number)
        found.sort(key=lambda one: one.order)


def _tells_apart(one: Candidate) -> bool:
    """Whether more than the name is known of a candidate's class."""
    return not one.evidence.keys().isdisjoint(
        ("gloss", "parent above", "children below", "shared images")
    )


def _take_from_parents(
    classes: Sequence[ForeignClass],
    candidates: dict[str, list[Candidate]],
    open_keys: Container[str],
) -> None:
    """Give classes without a candidate what is proposed for a class above, as a broader thing.

    It is right whenever the parent's is, so it has the parent's confidence.
    """
    waiting = [one for one in classes if one.key in open_keys and not candidates[one.key]]
    while waiting:
        taken: dict[str, Candidate] = {}
        for one in waiting:
            above = [candidates[key][0] for key in one.parents if candidates.get(key)]
            if above:
                best = min(above, key=lambda c: c.order)
                taken[one.key] = _settled(best.wnid, "parent", best.confidence)
        candidates.update({key: [new] for key, new in taken.items()})
        if not taken:
            return
        waiting = [one for one in waiting if one.key not in taken]


def _settled(wnid: str, kind: str = "exact", confidence: float = 1.0) -> Candidate:
    """A candidate that is not weighed."""
    return Candidate(wnid, kind, wordnet().lemmas(wnid)[0], 0, 1, 0, {kind: 1.0}, confidence)  # type: ignore[arg-type]
