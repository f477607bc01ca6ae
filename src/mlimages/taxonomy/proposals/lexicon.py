"""From a class name to the WordNet nouns it may be: case, hyphens, plurals, spelling, head noun."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from mlimages.taxonomy.packaged import packaged, read_rows
from mlimages.taxonomy.wordnet import WordNet, wordnet

# `parent` is not found by name, but taken from the class above.
MatchKind = Literal["exact", "form", "plural", "spelling", "head", "hint", "parent"]

# American for British, applied to a whole name that WordNet does not have.
_SPELLINGS = (
    (r"our(s|ed|ing)?\b", r"or\1"),
    (r"([bt])re(s?)\b", r"\1er\2"),
    (r"ogue(s?)\b", r"og\1"),
    (r"is(e|ed|er|ing|ation)\b", r"iz\1"),
    (r"ll(ed|er|ing)\b", r"l\1"),
    (r"aem", "em"),
    (r"paed", "ped"),
    (r"archaeo", "archeo"),
    (r"\boe(s|d)", r"e\1"),
    (r"sulph", "sulf"),
    (r"\bgrey", "gray"),
    (r"\btyre", "tire"),
    (r"\bplough", "plow"),
    (r"\bmould", "mold"),
    (r"\bpyjama", "pajama"),
    (r"\bmoustache", "mustache"),
    (r"jewellery", "jewelry"),
    (r"aeroplane", "airplane"),
    (r"aluminium", "aluminum"),
    (r"doughnut", "donut"),
    (r"yoghurt", "yogurt"),
    (r"chequer", "checker"),
    (r"\bcheque", "check"),
)
# WordNet's own detachment rules for nouns (morphy(7WN)).
_DETACHMENTS = (
    ("ses", "s"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("men", "man"),
    ("ies", "y"),
    ("s", ""),
)
# What stands behind these words says more about the thing that stands before: museum of art.
_HEAD_ENDS = frozenset(
    ("of", "in", "on", "with", "for", "at", "from", "by", "to", "without", "under", "over")
)


@dataclass(frozen=True)
class Match:
    """A word of WordNet that a name may be.

    Attributes:
        kind: how it was found. exact: the same but for case; form: but for hyphens, spaces,
            accents or apostrophes; plural: another number; spelling: American for British; head:
            only the name's last words, so a broader thing; hint: only what stands in its
            parentheses, so a broader thing, too.
        word: the lemma, in lower case.
    """

    kind: MatchKind
    word: str


@dataclass(frozen=True)
class ParsedName:
    """A class name without its parentheses: "Mouse (computer)" is mouse, with a hint."""

    text: str
    hint: str


def parse_name(name: str) -> ParsedName:
    """Split a name from the hint in its parentheses, closed or not."""
    hint = " ".join(re.findall(r"\(([^()]*)\)?", name)).strip()
    text = re.sub(r"\([^()]*\)?", " ", name).replace("_", " ")
    return ParsedName(" ".join(text.split()) or hint, hint if text.strip() else "")


def plain_form(text: str) -> str:
    """Lower case, without accents and apostrophes, all other signs as single spaces."""
    letters = unicodedata.normalize("NFKD", text.lower())
    letters = "".join(c for c in letters if not unicodedata.combining(c))
    return " ".join(re.sub(r"[^a-z0-9]+", " ", re.sub("['\u2019.]", "", letters)).split())


class Lexicon:
    """WordNet's nouns, looked up by names as other data sets write them."""

    def __init__(self, nouns: WordNet, exceptions: dict[str, list[str]]) -> None:
        """Take the nouns and the irregular plurals."""
        self._words = nouns.words
        self._exceptions = exceptions
        self._forms: dict[str, list[str]] = {}
        for word in nouns.words:
            form = plain_form(word)
            for key in dict.fromkeys((form, form.replace(" ", ""))):
                if key != word:
                    self._forms.setdefault(key, []).append(word)

    def matches(self, name: ParsedName) -> list[Match]:
        """Every word that the whole name may be; or else those that its head or hint may be."""
        found = list(self._whole(name.text))
        if found:
            return found
        found = [Match("head", match.word) for match in self.head(name.text)]
        return found + [Match("hint", match.word) for match in self._whole(name.hint)]

    def words_of(self, text: str) -> list[str]:
        """The lemmas that a text as a whole may be."""
        return [match.word for match in self._whole(text)]

    def _whole(self, text: str) -> Iterator[Match]:
        lower, form = text.lower(), plain_form(text)
        found: dict[str, Match] = {}
        for kind, words in (
            ("exact", [lower]),
            ("form", [form, *self._forms.get(form, ()), *self._squeezed(form)]),
            ("plural", [*self._singulars(lower), *self._singulars(form), *self._plurals(form)]),
        ):
            for word in words:
                if word and word in self._words:
                    found.setdefault(word, Match(kind, word))  # type: ignore[arg-type]
        if not found:
            for american in _american(form):
                words = [american, *self._forms.get(american, ()), *self._singulars(american)]
                for word in words:
                    if word in self._words:
                        found.setdefault(word, Match("spelling", word))
        yield from found.values()

    def _squeezed(self, form: str) -> list[str]:
        """Words that differ in spaces only; short ones would meet by chance."""
        squeezed = form.replace(" ", "")
        if len(squeezed) < 6:
            return []
        return [squeezed, *self._forms.get(squeezed, ())]

    def _singulars(self, text: str) -> Iterator[str]:
        """What a text is the plural of: irregular plurals first, else by the detachment rules."""
        if text in self._exceptions:
            yield from self._exceptions[text]
            return
        start, space, last = text.rpartition(" ")
        for singular in self._exceptions.get(last, ()):
            yield start + space + singular
        if len(last) > 3 and not last.endswith("ss"):
            for ending, instead in _DETACHMENTS:
                if last.endswith(ending):
                    yield start + space + last[: -len(ending)] + instead

    def _plurals(self, form: str) -> tuple[str, ...]:
        """Some things are always plural in WordNet: scissors."""
        return (form + "s", form + "es") if len(form) > 3 else ()

    def head(self, text: str) -> list[Match]:
        """The longest run of last words that is a noun; before "of" and the like, if it has any."""
        words = plain_form(text).split()
        ends = [i for i, word in enumerate(words) if word in _HEAD_ENDS and i > 0]
        words = words[: ends[0]] if ends else words
        first = 0 if ends else 1
        for start in range(first, len(words)):
            found = [m for m in self._whole(" ".join(words[start:])) if len(m.word) > 2]
            if found:
                return found
        return []


def _american(form: str) -> Iterator[str]:
    for pattern, instead in _SPELLINGS:
        changed = re.sub(pattern, instead, form)
        if changed != form:
            yield changed


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


@functools.cache
def lexicon() -> Lexicon:
    """The lexicon over the packaged nouns, built on the first call (about a second)."""
    table = read_rows(
        packaged("noun_exceptions.tsv"), "plural\tsingular", "the packaged irregular plurals"
    )
    return Lexicon(wordnet(), _grouped((plural, single) for _, (plural, single) in table))
