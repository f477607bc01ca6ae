"""Which synsets a vocabulary takes of a list with image counts: the rules of ML-Images, as found.

The rules were read off the released dictionary; docs/vocabulary.md says how well each one fits.

- few images: ImageNet classes need more than 500, those of Open Images 650 or more (the paper).
- abstract: WordNet leads from the class up to abstraction (`n00002137`), on no way to physical
  entity (`n00001930`).
- rare: ImageNet classes of at most 776 images go too, unless another rule takes them back.
- branching: a synset in which the ways up from two kept classes meet is kept, whatever its images.
- finer: the direct children, in ImageNet, of certain kept classes are added, whatever their images.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal

from mlimages.taxonomy.class_lists import Edits, ListedClass
from mlimages.taxonomy.wordnet import PERSON, wordnet

ABSTRACTION = "n00002137"
PHYSICAL_ENTITY = "n00001930"
# Entity, physical entity and abstraction say nothing about an image.
TOPS = frozenset({"n00001740", PHYSICAL_ENTITY, ABSTRACTION})

Why = Literal["imagenet", "openimages", "edited", "branching", "finer", "own"]
DropReason = Literal["few_images", "abstract", "rare", "edited"]


@dataclass(frozen=True)
class SelectionRules:
    """The rules' figures; the defaults are those of ML-Images.

    Attributes:
        imagenet_minimum: an ImageNet class needs more images than this.
        openimages_minimum: an Open Images class needs at least so many.
        rare: an ImageNet class with at most so many images needs another reason to stay.
        abstract: whether abstract classes are dropped.
        branching: whether synsets in which ways up meet are added.
        expand_from: kept classes with at least so many kept children are expanded, except persons;
            0 expands only the classes that the edits name.
    """

    imagenet_minimum: int = 500
    openimages_minimum: int = 650
    rare: int = 776
    abstract: bool = True
    branching: bool = True
    expand_from: int = 0


@dataclass(frozen=True)
class Selection:
    """Synsets with why they were taken, and classes with why they were not."""

    taken: dict[str, Why]
    dropped: dict[str, DropReason]


def is_abstract(wnid: str) -> bool:
    """Whether WordNet leads up to abstraction, and on no way to physical entity."""
    above = wordnet().ancestors(wnid) | {wnid}
    return ABSTRACTION in above and PHYSICAL_ENTITY not in above


def select(
    imagenet: Iterable[ListedClass],
    openimages: Collection[str],
    rules: SelectionRules,
    edits: Edits,
) -> Selection:
    """Apply the rules.

    Args:
        imagenet: synsets with their numbers of images.
        openimages: the synsets of the Open Images classes that have images enough.
        rules: the figures.
        edits: decisions that precede the rules.
    """
    listed = {entry.label: entry.images for entry in imagenet}
    taken: dict[str, Why] = dict.fromkeys(sorted(edits.keep), "edited")
    dropped: dict[str, DropReason] = {}
    for wnid, images in listed.items():
        reason = _drop_reason(wnid, rules, edits, images)
        if reason is None:
            taken.setdefault(wnid, "imagenet")
        elif wnid not in taken:
            dropped[wnid] = reason
    for wnid in openimages:
        reason = _drop_reason(wnid, rules, edits)
        if reason is None:
            taken.setdefault(wnid, "openimages")
        elif wnid not in taken:
            dropped[wnid] = reason
    if rules.branching:
        found = branching_points(taken.keys()) - edits.drop
        taken.update(dict.fromkeys(sorted(found), "branching"))
    expanded = (edits.expand | expandable(taken.keys(), rules.expand_from)) & taken.keys()
    for wnid in finer_classes(expanded, listed.keys()) - edits.drop:
        if listed[wnid] and not (rules.abstract and is_abstract(wnid)):
            taken.setdefault(wnid, "finer")
    return Selection(taken, {key: why for key, why in dropped.items() if key not in taken})


def branching_points(kept: AbstractSet[str]) -> set[str]:
    """Synsets, not kept themselves, in which ways up from two kept ones meet; none is abstract."""
    nouns = wordnet()
    above = frozenset[str]().union(*map(nouns.ancestors, kept)) - kept
    leading = above | kept
    meeting = (
        wnid
        for wnid in above - TOPS
        if sum(child in leading for child in nouns.hyponyms(wnid)) > 1 and not is_abstract(wnid)
    )
    # Two ways up from one and the same class may meet, too.
    return {wnid for wnid in meeting if len(kept & nouns.descendants(wnid)) > 1}


def expandable(kept: AbstractSet[str], least: int) -> set[str]:
    """Kept synsets with at least so many kept children, no persons; none for 0."""
    nouns = wordnet()
    if not least:
        return set()
    persons = nouns.descendants(PERSON) | {PERSON}
    return {
        wnid
        for wnid in kept - persons
        if sum(child in kept for child in nouns.hyponyms(wnid)) >= least
    }


def finer_classes(expanded: Iterable[str], listed: AbstractSet[str]) -> set[str]:
    """The listed direct children of the expanded synsets."""
    nouns = wordnet()
    return {child for wnid in expanded for child in nouns.hyponyms(wnid) if child in listed}


def _drop_reason(
    wnid: str, rules: SelectionRules, edits: Edits, images: int | None = None
) -> DropReason | None:
    """Why a class is dropped, or None; `images` only of an ImageNet class."""
    if wnid in edits.drop:
        return "edited"
    if images is not None and images <= rules.imagenet_minimum:
        return "few_images"
    if rules.abstract and is_abstract(wnid):
        return "abstract"
    if images is not None and images <= rules.rare:
        return "rare"
    return None
