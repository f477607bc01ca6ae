"""How likely each synset is meant by a class name: evidence, each piece with a weight.

The confidence is that of a multinomial logit model with an outside option, "none of them":

    score(c) = sum of weight * value over c's evidence
    confidence(c) = exp(score(c)) / (1 + sum over the candidates d of exp(score(d)))

so a sure match alone comes close to 1, and two equal ones to a half each.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from mlimages.taxonomy.proposals.lexicon import MatchKind
from mlimages.taxonomy.wordnet import Sense, wordnet

# `case`, the kinds of thing and `compounds` are by `scripts/fit_mapping_weights.py`, of maximum
# likelihood on half of ImageNet's names. The others are set by hand: ImageNet samples synsets and
# not the uses of words, names each by its first lemma, and has no class without a synset, so it
# cannot tell them.
WEIGHTS: dict[str, float] = {
    # how the name was found
    "exact": 3.0,
    "form": 2.5,
    "plural": 2.0,
    "spelling": 2.0,
    "head": -2.0,
    "hint": 0.5,
    "parent": 0.0,
    "compounds": 0.8,  # log of 1 + how many names end like this one below the sense of the head
    # whether the head is a noun at all, and not the end of a product's name
    "names alike are no nouns": -4.0,
    "digits": -2.0,
    "unknown words": -1.0,
    # the sense
    "usage": 0.5,  # log of the sense's share in the word's uses
    "case": 2.7,  # spelled with the same capitals
    "first lemma": 1.0,  # the name is the synset's most usual word
    # what kind of thing it is, against abstract ones (0)
    "individual": -1.2,  # an instance, such as a mountain with a name
    "person": 1.7,
    "animal": 2.8,
    "plant": 1.6,
    "food": 1.9,
    "artifact": 2.4,
    "location": -0.1,
    "physical": 0.3,
    "sport": 1.7,
    # what else is known
    "vocabulary": 0.9,  # among the target categories
    "words in parentheses": 3.0,
    "gloss": 6.0,  # cosine of the words of the glosses
    "parent above": 5.0,  # confidence times specificity of a parent's proposal above this one
    "children below": 2.0,  # share of the children that have a proposal below this one
    "shared images": 3.0,
}
# The first that has one of its synsets at or above a synset is the synset's kind.
KINDS = {
    "person": ("n00007846",),
    "animal": ("n00015388",),
    "plant": ("n00017222",),
    "food": ("n00021265", "n07555863"),  # nutrients, and solid food
    "artifact": ("n00021939",),
    "location": ("n00027167",),
    "physical": ("n00001930",),
    "sport": ("n00523513",),
}


@dataclass
class Candidate:
    """A synset that a class may be mapped to.

    Attributes:
        wnid: the synset.
        kind: how the name led to it.
        lemma: the word that did, as the synset spells it.
        sense: place of the synset among that word's senses, from 0.
        num_senses: how many senses the word has.
        tag_count: uses of the word in this sense in WordNet's tagged texts.
        evidence: values by name; the names are those of `WEIGHTS`.
        confidence: set when all candidates of the class are known.
    """

    wnid: str
    kind: MatchKind
    lemma: str
    sense: int
    num_senses: int
    tag_count: int
    evidence: dict[str, float] = field(default_factory=dict)
    confidence: float = 0.0

    @property
    def score(self) -> float:
        """Sum of the weighted evidence."""
        return sum(WEIGHTS[name] * value for name, value in self.evidence.items())

    @property
    def order(self) -> tuple[float, int, str]:
        """Sort key: the most confident first, then the more usual sense, then the lower wnid."""
        return (-self.confidence, self.sense, self.wnid)


def candidate(kind: MatchKind, sense: Sense, senses: Sequence[Sense], name: str) -> Candidate:
    """A candidate with the evidence that the name and WordNet alone give."""
    distinct = {s.wnid: s.tag_count for s in senses}
    share = (sense.tag_count + 0.5) / (sum(distinct.values()) + 0.5 * len(distinct))
    evidence = {kind: 1.0, "usage": math.log(share)}
    if sense.lemma == name:
        evidence["case"] = 1.0
    if sense.place == 0:
        evidence["first lemma"] = 1.0
    thing = kinds().get(sense.wnid)
    if thing is not None:
        evidence[thing] = 1.0
    if sense.wnid in individuals():
        evidence["individual"] = 1.0
    return Candidate(
        sense.wnid, kind, sense.lemma, sense.rank, len(distinct), sense.tag_count, evidence
    )


def set_confidence(candidates: Sequence[Candidate], rivals: int = 1) -> None:
    """Set the confidence of all candidates of one class.

    Args:
        candidates: of one class.
        rivals: how many classes have this name. They mean different things (Open Images has two
            bats), and the name alone says nothing of which is which.
    """
    scores = [c.score for c in candidates]
    highest = max(0.0, *scores) if scores else 0.0
    weights = [math.exp(score - highest) for score in scores]
    total = math.exp(-highest) + sum(weights)
    for one, weight in zip(candidates, weights, strict=True):
        one.confidence = weight / total / rivals


@functools.cache
def kinds() -> dict[str, str]:
    """The kind of thing each synset is, of `KINDS`; abstract synsets are not in it."""
    nouns = wordnet()
    found: dict[str, str] = {}
    for kind, tops in KINDS.items():
        for wnid in frozenset[str](tops).union(*map(nouns.descendants, tops)):
            found.setdefault(wnid, kind)
    return found


@functools.cache
def individuals() -> frozenset[str]:
    """Synsets that are instances of another, such as the Alps."""
    return wordnet().individuals()
