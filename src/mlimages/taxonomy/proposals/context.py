"""Evidence from outside the name: glosses, parentheses, the source's hierarchy, shared images."""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping

from mlimages.taxonomy.proposals.foreign import ForeignClass
from mlimages.taxonomy.proposals.lexicon import lexicon, plain_form
from mlimages.taxonomy.proposals.scoring import Candidate
from mlimages.taxonomy.wordnet import wordnet

Candidates = Mapping[str, list[Candidate]]
_ENOUGH_IMAGES = 5  # as many shared images count half
_FEW_NAMES = 3  # as many names with the same first word say nothing


@functools.cache
def line_of(wnid: str) -> frozenset[str]:
    """A synset and all above it."""
    return wordnet().ancestors(wnid) | {wnid}


def add_hint(candidates: Iterable[Candidate], hint: str) -> None:
    """Evidence of a hint in parentheses: a thing above the synset, or words of its gloss."""
    nouns = wordnet()
    meant = {wnid for word in lexicon().words_of(hint) for wnid in nouns.synsets(word)}
    said = _stems(hint)
    for one in candidates:
        if meant & line_of(one.wnid) and one.kind != "hint":
            one.evidence["words in parentheses"] = 1.0
        elif said:
            overlap = len(said & _stems(_words_around(one.wnid))) / len(said)
            if overlap:
                one.evidence["words in parentheses"] = overlap / 2


def add_compounds(candidates: Iterable[Candidate], lemma: str, itself: str = "") -> None:
    """Evidence that a head makes compounds in this sense: baseball bat and cricket bat are bats.

    Args:
        candidates: of one head.
        lemma: the head, in lower case.
        itself: a synset that does not count; for fitting on WordNet's own compounds.
    """
    counts = _compounds(lemma)
    own = _line_of_compound(itself, lemma)
    for one in candidates:
        number = counts[one.wnid] - (one.wnid in own)
        if number > 0:
            one.evidence["compounds"] = math.log1p(number)


@functools.cache
def _compounds(lemma: str) -> Counter[str]:
    """How many synsets with a lemma that ends in a word lie at or below each synset."""
    counts: Counter[str] = Counter()
    for wnid in {
        wnid
        for word in _by_last_word().get(lemma.rpartition(" ")[2], ())
        if word.endswith(" " + lemma)
        for wnid in wordnet().synsets(word)
    }:
        counts.update(line_of(wnid))
    return counts


def _line_of_compound(wnid: str, lemma: str) -> frozenset[str]:
    """The line of a synset if one of its lemmas ends in a word, else nothing."""
    if wnid and any(word.lower().endswith(" " + lemma) for word in wordnet().lemmas(wnid)):
        return line_of(wnid)
    return frozenset()


@functools.cache
def _by_last_word() -> dict[str, list[str]]:
    """The lemmas of several words by their last."""
    found: dict[str, list[str]] = {}
    for word in wordnet().words:
        if " " in word:
            found.setdefault(word.rpartition(" ")[2], []).append(word)
    return found


def add_doubts(classes: Iterable[ForeignClass], candidates: Candidates) -> None:
    """Evidence that the last words of a name are no noun of their own: Ford Falcon is no falcon.

    Proper names of products show in three ways: many names with the same first word end in no noun
    at all (Ford, Toyota), digits, and words that WordNet's glosses never use.
    """
    starts = {one.key: plain_form(one.names[0]).split() for one in classes}
    total: Counter[str] = Counter()
    without: Counter[str] = Counter()
    for key, words in starts.items():
        if len(words) > 1:
            total[words[0]] += 1
            without[words[0]] += not candidates.get(key)
    for key, words in starts.items():
        doubtful = [one for one in candidates.get(key, ()) if one.kind == "head"]
        if not doubtful:
            continue
        share = without[words[0]] / total[words[0]] if total[words[0]] > _FEW_NAMES else 0.0
        doubts = {
            "names alike are no nouns": min(1.0, max(0.0, share - 0.1) / 0.3),
            "digits": float(any(c.isdigit() for word in words for c in word)),
            "unknown words": float(not _stems(" ".join(words)) <= _rarity().keys()),
        }
        for one in doubtful:
            one.evidence.update({name: value for name, value in doubts.items() if value})


def add_gloss(candidates: Iterable[Candidate], gloss: str) -> None:
    """Evidence of the source's own gloss: the cosine of the words, rare words counting more."""
    rarity = _rarity()
    own = {stem: rarity.get(stem, math.log(len(wordnet()))) for stem in _stems(gloss)}
    for one in candidates:
        theirs = {stem: rarity[stem] for stem in _stems(_words_around(one.wnid)) if stem in rarity}
        common = sum(own[stem] ** 2 for stem in own.keys() & theirs.keys())
        if common:
            size = sum(v * v for v in own.values()) * sum(v * v for v in theirs.values())
            one.evidence["gloss"] = common / math.sqrt(size)


def add_shared_images(candidates: Iterable[Candidate], images: Mapping[str, int]) -> None:
    """Evidence of images that carry both: against the best candidate, and less when few."""
    candidates = list(candidates)
    most = max((images.get(one.wnid, 0) for one in candidates), default=0)
    for one in candidates:
        count = images.get(one.wnid, 0)
        if count:
            one.evidence["shared images"] = count / most * count / (count + _ENOUGH_IMAGES)


def add_hierarchy(classes: Iterable[ForeignClass], candidates: Candidates) -> None:
    """Evidence of the source's hierarchy, from the confidences so far.

    A proposal gains when it lies under a proposal of a class above, the more so the less that one
    covers (everything lies under an entity), and when proposals of the classes right below lie
    under it. Where the two hierarchies disagree, nobody loses: a tomato is
    a fruit in one and a vegetable in the other.
    """
    by_key = {one.key: one for one in classes}
    above = {key: _above(key, by_key) for key in by_key}
    below: dict[str, list[str]] = {}
    for key, one in by_key.items():
        for parent in one.parents:
            below.setdefault(parent, []).append(key)
    gained: list[tuple[Candidate, str, float]] = []
    for key in by_key:
        for proposed in candidates.get(key, ()):
            line = line_of(proposed.wnid) - {proposed.wnid}
            support = max(
                (
                    d.confidence * _specificity(d.wnid)
                    for k in above[key]
                    for d in candidates.get(k, ())
                    if d.wnid in line
                ),
                default=0.0,
            )
            gained.append((proposed, "parent above", support))
            children = below.get(key, ())
            if children:
                under = sum(_best_under(proposed.wnid, candidates.get(k, ())) for k in children)
                gained.append((proposed, "children below", under / len(children)))
    # Only now: all are judged by the same confidences, whatever the order of the classes.
    for proposed, name, value in gained:
        if value:
            proposed.evidence[name] = value


@functools.cache
def _specificity(wnid: str) -> float:
    """Information content of a synset over WordNet's nouns, as a share: entity 0, a leaf 1.

    After Seco, Veale and Hayes (2004): 1 - log(1 + number of synsets below) / log(all).
    """
    nouns = wordnet()
    return 1 - math.log(1 + len(nouns.descendants(wnid))) / math.log(len(nouns))


def _best_under(wnid: str, candidates: Iterable[Candidate]) -> float:
    under = (c.confidence for c in candidates if c.wnid != wnid and wnid in line_of(c.wnid))
    return max(under, default=0.0)


def _above(key: str, by_key: Mapping[str, ForeignClass]) -> tuple[str, ...]:
    """All classes above one, itself excluded also in a cycle."""
    seen: dict[str, None] = {}
    pending = list(by_key[key].parents)
    while pending:
        parent = pending.pop()
        if parent not in seen and parent != key:
            seen[parent] = None
            pending += by_key[parent].parents if parent in by_key else ()
    return tuple(seen)


@functools.cache
def _words_around(wnid: str) -> str:
    """A synset's gloss and lemmas, and the lemmas right above it."""
    nouns = wordnet()
    names = [nouns.name(one) for one in (wnid, *nouns.hypernyms(wnid))]
    return " ".join([nouns.gloss(wnid), *names])


@functools.cache
def _stems(text: str) -> frozenset[str]:
    """The words of a text without the most common and without the plural's s."""
    words = re.findall(r"[a-z]{3,}", text.lower())
    return frozenset(w.removesuffix("s") for w in words if w not in _COMMON)


@functools.cache
def _rarity() -> dict[str, float]:
    """Inverse document frequency of each stem over WordNet's glosses."""
    nouns = wordnet()
    number: Counter[str] = Counter()
    for lemmas, gloss in nouns.describe(nouns.wnids):
        number.update(_stems(" ".join([gloss, *lemmas])))
    return {stem: math.log(len(nouns) / count) for stem, count in number.items()}


_COMMON = frozenset(
    (
        "the",
        "and",
        "for",
        "with",
        "that",
        "which",
        "from",
        "are",
        "used",
        "has",
        "have",
        "its",
        "who",
        "whose",
        "being",
        "this",
        "other",
        "usually",
        "any",
        "one",
        "can",
        "into",
        "made",
        "also",
        "such",
        "having",
        "not",
        "but",
        "was",
        "were",
        "most",
        "more",
        "very",
        "some",
        "than",
    )
)
