"""The 82,115 noun synsets of WordNet 3.0, from the table that ships with the package.

A synset's id ("wnid") is `n` and its 8-digit offset in WordNet 3.0's `data.noun`, as ImageNet uses
it: n02084071 is dog. WordNet 3.1 has other offsets.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Container, Iterable, KeysView
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlimages.errors import UnknownCategoryError
from mlimages.taxonomy.packaged import packaged

SCHEMA = pa.schema(
    [
        ("offset", pa.int32()),  # ascending
        ("lemmas", pa.list_(pa.string())),  # spaces, not underscores
        ("senses", pa.list_(pa.int16())),  # for each lemma, this synset's place in its senses
        ("tag_counts", pa.list_(pa.int32())),  # for each lemma, uses of this sense in tagged texts
        ("hypernyms", pa.list_(pa.int32())),  # offsets
        ("instance_hypernyms", pa.list_(pa.int32())),  # offsets; Alps -> mountain range
        ("gloss", pa.string()),
    ]
)
PERSON = "n00007846"
_WNID = re.compile(r"n\d{8}")


def is_wnid(key: str) -> bool:
    """Whether a key has the form of a wnid; the synset may still not exist."""
    return _WNID.fullmatch(key) is not None


class Sense(NamedTuple):
    """One meaning of a word."""

    wnid: str
    lemma: str  # the word as the synset spells it: Turkey, turkey
    rank: int  # place among the word's senses in WordNet's order, 0 the most usual
    place: int  # place of the word among the synset's lemmas, 0 the first
    tag_count: int  # uses of the word in this sense in WordNet's tagged texts; most have none


@functools.cache
def wordnet() -> WordNet:
    """The packaged WordNet 3.0 nouns, read on the first call."""
    data = packaged("wordnet_nouns.parquet").read_bytes()
    return WordNet(pq.read_table(pa.BufferReader(data)))


class WordNet:
    """Lookups by wnid and by lemma. Every method raises UnknownCategoryError for an unknown wnid.

    Hypernyms include instance hypernyms everywhere (`instance_hypernyms` tells them apart), so that
    individuals such as the Alps have ancestors too.
    """

    def __init__(self, table: pa.Table) -> None:
        """Take a table in `SCHEMA`, its rows ascending by offset."""
        self._table = table.combine_chunks()
        self._offsets = table["offset"].to_numpy()

    def __len__(self) -> int:
        return len(self._offsets)

    def __contains__(self, wnid: object) -> bool:
        return isinstance(wnid, str) and wnid in self._rows

    @functools.cached_property
    def wnids(self) -> tuple[str, ...]:
        """All wnids, ascending."""
        return tuple(f"n{offset:08d}" for offset in self._offsets.tolist())

    def lemmas(self, wnid: str) -> tuple[str, ...]:
        """The synset's words, most usual first, with spaces: ("dog", "domestic dog", ...)."""
        return tuple(self._table["lemmas"][self._row(wnid)].as_py())

    def name(self, wnid: str) -> str:
        """All lemmas as one text: "dog, domestic dog, Canis familiaris"."""
        return ", ".join(self.lemmas(wnid))

    def gloss(self, wnid: str) -> str:
        """The definition, with WordNet's examples behind it."""
        return self._table["gloss"][self._row(wnid)].as_py()

    def describe(self, wnids: Iterable[str]) -> list[tuple[tuple[str, ...], str]]:
        """(lemmas, gloss) of many synsets at once: much faster than one by one."""
        rows = pa.array([self._row(wnid) for wnid in wnids], pa.int32())
        lemmas = self._table["lemmas"].take(rows).to_pylist()
        glosses = self._table["gloss"].take(rows).to_pylist()
        return [(tuple(words), gloss) for words, gloss in zip(lemmas, glosses, strict=True)]

    def hypernyms(self, wnid: str) -> tuple[str, ...]:
        """The synsets one step up, instance hypernyms last."""
        return self._wnids_of(self._parents[self._row(wnid)])

    def instance_hypernyms(self, wnid: str) -> tuple[str, ...]:
        """The synsets this one is an instance of: Alps -> mountain range."""
        row = self._row(wnid)
        return tuple(f"n{o:08d}" for o in self._table["instance_hypernyms"][row].as_py())

    def individuals(self) -> frozenset[str]:
        """All synsets that are an instance of another, such as the Alps."""
        return frozenset(self._wnids_of(set(_edges(self._table["instance_hypernyms"])[0])))

    def hyponyms(self, wnid: str) -> tuple[str, ...]:
        """The synsets one step down, instances included, ascending."""
        return self._wnids_of(self._children[self._row(wnid)])

    def ancestors(self, wnid: str) -> frozenset[str]:
        """All synsets above this one, itself excluded."""
        return frozenset(self._wnids_of(_reach(self._row(wnid), self._parents)))

    def descendants(self, wnid: str) -> frozenset[str]:
        """All synsets below this one, itself excluded."""
        return frozenset(self._wnids_of(_reach(self._row(wnid), self._children)))

    def nearest_ancestors(self, wnid: str, vocabulary: Container[str]) -> tuple[str, ...]:
        """The lowest proper ancestors that a vocabulary holds, ascending; none is above another."""
        found: set[str] = set()
        seen: set[str] = set()
        pending = list(self.hypernyms(wnid))
        while pending:
            above = pending.pop()
            if above in vocabulary:
                found.add(above)
            elif above not in seen:
                seen.add(above)
                pending += self.hypernyms(above)
        if len(found) > 1:
            # One way up may end at a category and another at one above that.
            found -= frozenset[str]().union(*map(self.ancestors, found))
        return tuple(sorted(found))

    def hypernym_paths(self, wnid: str) -> list[tuple[str, ...]]:
        """Every path from the root (n00001740 entity) down to this synset, root first."""
        paths = [
            (*path, wnid) for parent in self.hypernyms(wnid) for path in self.hypernym_paths(parent)
        ]
        return paths or [(wnid,)]

    def synsets(self, lemma: str) -> list[str]:
        """The synsets of a word, most usual sense first; case and "_" for " " do not matter.

        An unknown word has none. The sense order is that of WordNet's `index.noun`.
        """
        return list(dict.fromkeys(sense.wnid for sense in self.senses(lemma)))

    def senses(self, lemma: str) -> list[Sense]:
        """The senses of a word, most usual first, as `synsets` but with what WordNet says of each.

        A synset that holds the word in two spellings (case) comes twice, with the same rank.
        """
        word = lemma.replace("_", " ").strip().lower()
        return [
            Sense(self.wnids[row], spelled, rank, place, count)
            for rank, row, place, spelled, count in self._senses.get(word, ())
        ]

    @property
    def words(self) -> KeysView[str]:
        """Every lemma in lower case."""
        return self._senses.keys()

    def _row(self, wnid: str) -> int:
        row = self._rows.get(wnid)
        if row is None:
            hint = "WordNet 3.1 has other ids" if is_wnid(wnid) else "a wnid is like n02084071"
            raise UnknownCategoryError(
                wnid, f"not a noun synset of WordNet 3.0 ({hint})", "check the id"
            )
        return row

    def _wnids_of(self, rows: Iterable[int]) -> tuple[str, ...]:
        return tuple(self.wnids[row] for row in rows)

    @functools.cached_property
    def _rows(self) -> dict[str, int]:
        return {wnid: row for row, wnid in enumerate(self.wnids)}

    @functools.cached_property
    def _parents(self) -> list[tuple[int, ...]]:
        """Rows of the hypernyms of each row."""
        parents: list[list[int]] = [[] for _ in range(len(self))]
        for column in ("hypernyms", "instance_hypernyms"):
            child, offsets = _edges(self._table[column])
            above_of = np.searchsorted(self._offsets, offsets).tolist()
            for row, above in zip(child, above_of, strict=True):
                parents[row].append(above)
        return [tuple(rows) for rows in parents]

    @functools.cached_property
    def _children(self) -> list[tuple[int, ...]]:
        """Rows of the hyponyms of each row."""
        children: list[list[int]] = [[] for _ in range(len(self))]
        for row, parents in enumerate(self._parents):
            for parent in parents:
                children[parent].append(row)
        return [tuple(rows) for rows in children]

    @functools.cached_property
    def _senses(self) -> dict[str, list[tuple[int, int, int, str, int]]]:
        """Lemma in lower case -> [(sense number, row, place, spelling, tag count)], ascending."""
        rows, lemmas = _edges(self._table["lemmas"])
        _, senses = _edges(self._table["senses"])
        _, counts = _edges(self._table["tag_counts"])
        found: dict[str, list[tuple[int, int, int, str, int]]] = {}
        place, previous = 0, -1
        for row, lemma, sense, count in zip(rows, lemmas, senses, counts, strict=True):
            place = place + 1 if row == previous else 0
            previous = row
            found.setdefault(lemma.lower(), []).append((sense, row, place, lemma, count))
        for entries in found.values():
            entries.sort()
        return found


def _edges(column: pa.ChunkedArray) -> tuple[list[int], list]:
    """Flatten a list column into (row of each item, items)."""
    array = column.combine_chunks()
    lengths = np.diff(array.offsets.to_numpy())
    return np.repeat(np.arange(len(lengths)), lengths).tolist(), array.flatten().to_pylist()


def _reach(start: int, links: list[tuple[int, ...]]) -> list[int]:
    """Rows reachable over links, `start` excluded, ascending."""
    seen: set[int] = set()
    pending = list(links[start])
    while pending:
        row = pending.pop()
        if row not in seen:
            seen.add(row)
            pending += links[row]
    return sorted(seen)
