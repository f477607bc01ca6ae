"""A vocabulary of categories with its two hierarchies, and the released one of 11,166."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from mlimages.errors import InputError, UnknownCategoryError, nearest
from mlimages.schemas import CATEGORIES, HIERARCHY
from mlimages.taxonomy.hierarchy import Hierarchy
from mlimages.taxonomy.packaged import packaged, read_rows
from mlimages.taxonomy.sensitivity import mark_sensitive
from mlimages.taxonomy.wordnet import is_wnid, wordnet

HierarchyMode = Literal["tencent", "wordnet"]
MODES: tuple[HierarchyMode, ...] = get_args(HierarchyMode)
PACKAGED_HEADER = "wnid\tparent"


@dataclass(frozen=True)
class Category:
    """One category of a vocabulary.

    Attributes:
        index: its place in the vocabulary, which label vectors and files use.
        key: its identity across vocabularies: a wnid, or namespace:key.
        names: its names, most usual first.
        gloss: WordNet's definition; empty for a custom key.
        source: where the key is defined: "wordnet", or the namespace.
        sensitive: a person outside the reviewed roles; shown only when asked for.
    """

    index: int
    key: str
    names: tuple[str, ...]
    gloss: str
    source: str
    sensitive: bool

    @property
    def name(self) -> str:
        """All names as one text, as the released dictionary writes them."""
        return ", ".join(self.names)


class Taxonomy:
    """Categories 0..m-1 with a forest of given parents (`tencent`) and WordNet's DAG (`wordnet`).

    Attributes:
        categories: the categories, by index.
        parents: int32[m], index of each category's parent in the forest, -1 for a root.
        keys: the categories' keys, by index.
    """

    def __init__(self, categories: Sequence[Category], parents: ArrayLike) -> None:
        """Take categories in order of index, and the parent of each.

        Raises:
            InputError: a key twice, or a parent out of range.
            CyclicHierarchyError: a category is its own ancestor.
        """
        self.categories = tuple(categories)
        self.keys = tuple(category.key for category in self.categories)
        self.parents: NDArray[np.int32] = np.asarray(parents, dtype=np.int32)
        self._index_of = {key: index for index, key in enumerate(self.keys)}
        if len(self._index_of) != len(self.keys):
            twice = next(key for i, key in enumerate(self.keys) if self._index_of[key] != i)
            raise InputError(twice, "is in the vocabulary twice", "keep one of the two")
        self._hierarchies = {"tencent": _forest(self.keys, self.parents)}

    @classmethod
    def from_keys(
        cls,
        keys: Sequence[str],
        parents: ArrayLike,
        names: Sequence[tuple[str, ...]] | None = None,
    ) -> Taxonomy:
        """Build from keys and parents; glosses, and names unless given, come from WordNet.

        Args:
            keys: wnids, or namespace:key (which need names).
            parents: index of each one's parent, -1 for a root.
            names: the names of each.

        Raises:
            UnknownCategoryError: a key that WordNet 3.0 does not have and that has no namespace.
            InputError, CyclicHierarchyError: as the constructor.
        """
        nouns = wordnet()
        in_wordnet = [key for key in keys if source_of(key) == "wordnet"]
        described = dict(zip(in_wordnet, nouns.describe(in_wordnet), strict=True))
        _forest(keys, np.asarray(parents, dtype=np.int32))  # the next line walks up
        sensitive = mark_sensitive(keys, np.asarray(parents, dtype=np.int32))
        categories = []
        for index, key in enumerate(keys):
            lemmas, gloss = described.get(key, ((key.partition(":")[2],), ""))
            own_names = lemmas if names is None else names[index]
            categories.append(
                Category(index, key, own_names, gloss, source_of(key), sensitive[index])
            )
        return cls(categories, parents)

    @classmethod
    def from_tables(cls, categories: pa.Table, hierarchy: pa.Table) -> Taxonomy:
        """Rebuild from the tables of a database, its hierarchies as they are stored.

        Raises:
            InputError: indices that are not 0..m-1, or several parents in the forest.
            CyclicHierarchyError: a stored hierarchy has a cycle.
        """
        rows = sorted(categories.to_pylist(), key=lambda row: row["category"])
        if [row["category"] for row in rows] != list(range(len(rows))):
            raise InputError("categories", "not numbered 0, 1, 2, ...", "build the database again")
        entries = [
            Category(i, r["key"], tuple(r["names"]), r["gloss"], r["source"], r["sensitive"])
            for i, r in enumerate(rows)
        ]
        edges = {mode: _edges_of(hierarchy, mode) for mode in MODES}
        child, parent = edges["tencent"]
        if len(np.unique(child)) != len(child):
            raise InputError(
                "hierarchy tencent", "a category has two parents", "build the database again"
            )
        parents = np.full(len(entries), -1, np.int32)
        parents[child] = parent
        taxonomy = cls(entries, parents)
        taxonomy._hierarchies["wordnet"] = Hierarchy.from_edges(
            len(entries), *edges["wordnet"], taxonomy.keys
        )
        return taxonomy

    def to_tables(self) -> tuple[pa.Table, pa.Table]:
        """(categories, hierarchy) in `schemas.CATEGORIES` and `schemas.HIERARCHY`."""
        rows = [
            {
                "category": category.index,
                "key": category.key,
                "names": list(category.names),
                "gloss": category.gloss,
                "source": category.source,
                "sensitive": category.sensitive,
            }
            for category in self.categories
        ]
        parts = []
        for mode in MODES:
            child, parent = self.hierarchy(mode).edges()
            parts.append(pa.table([child, parent, [mode] * len(child)], schema=HIERARCHY))
        return pa.Table.from_pylist(rows, schema=CATEGORIES), pa.concat_tables(parts)

    def __len__(self) -> int:
        return len(self.categories)

    def get(self, key: str) -> int | None:
        """The index of a key, or None."""
        return self._index_of.get(key)

    def index(self, key: str) -> int:
        """The index of a key.

        Raises:
            UnknownCategoryError: names what is nearest, in WordNet for a wnid, else in spelling.
        """
        found = self._index_of.get(key)
        if found is not None:
            return found
        if key in wordnet():
            above = [f"{self.keys[i]} {self.categories[i].names[0]}" for i in self.lift(key)]
            action = (
                f"nearest above it: {', '.join(above)}" if above else "nor is anything above it"
            )
            raise UnknownCategoryError(
                f"{key} {wordnet().name(key)}", f"not one of the {len(self):,} categories", action
            )
        raise UnknownCategoryError(
            key, f"not one of the {len(self):,} categories", nearest(key, self.keys)
        )

    def resolve(self, text: str) -> int:
        """The category a person means: a key, an index, or a name.

        A name must belong to one category, or be the first name of one only ("dog" is not the
        firedog). Case does not matter in names, nor does "_" for " ".

        Raises:
            UnknownCategoryError: unknown (names the nearest) or ambiguous (lists the candidates).
        """
        text = text.strip()
        if text in self._index_of:
            return self._index_of[text]
        # The length comes first: `int` refuses thousands of digits.
        if len(text) < 10 and text.isascii() and text.isdigit() and int(text) < len(self):
            return int(text)
        name = text.replace("_", " ").lower()
        found = self._named.get(name, [])
        usual = [i for i in found if self.categories[i].names[0].lower() == name]
        if len(found) == 1 or len(usual) == 1:
            return (usual or found)[0]
        if found:
            listed = ", ".join(f"{self.keys[i]} ({self.categories[i].name})" for i in found)
            raise UnknownCategoryError(
                repr(text), f"is a name of {len(found)} categories", f"give a key: {listed}"
            )
        if is_wnid(text):
            return self.index(text)
        raise UnknownCategoryError(
            repr(text),
            f"not one of the {len(self):,} categories",
            nearest(text.lower(), self._named),
        )

    def hierarchy(self, mode: HierarchyMode | str) -> Hierarchy:
        """The hierarchy over the categories' indices; built once.

        `tencent` is the forest of the given parents. `wordnet` links each wnid to its nearest
        ancestors in WordNet (instances included) that are in the vocabulary: the transitive
        reduction of WordNet's ancestry over the vocabulary. Custom keys keep the given parent.

        Raises:
            InputError: another mode.
        """
        if mode not in MODES:
            raise InputError(f"hierarchy {mode!r}", "unknown", nearest(mode, MODES))
        if mode not in self._hierarchies:
            child, parent = self._wordnet_edges()
            self._hierarchies[mode] = Hierarchy.from_edges(len(self), child, parent, self.keys)
        return self._hierarchies[mode]

    def lift(self, wnid: str) -> tuple[int, ...]:
        """The category of a wnid, or else its nearest WordNet ancestors in the vocabulary.

        None of those returned is above another. Empty when nothing above is in the vocabulary.

        Raises:
            UnknownCategoryError: neither a key of the vocabulary nor a synset.
        """
        own = self._index_of.get(wnid)
        if own is not None:
            return (own,)
        above = wordnet().nearest_ancestors(wnid, self._index_of)
        return tuple(sorted(self._index_of[key] for key in above))

    def _wordnet_edges(self) -> tuple[list[int], list[int]]:
        nouns = wordnet()
        edges = []
        for index, key in enumerate(self.keys):
            if key in nouns:
                above = nouns.nearest_ancestors(key, self._index_of)
                edges += [(index, self._index_of[parent]) for parent in above]
            elif self.parents[index] >= 0:
                edges.append((index, int(self.parents[index])))
        return [child for child, _ in edges], [parent for _, parent in edges]

    @functools.cached_property
    def _named(self) -> dict[str, list[int]]:
        """Name in lower case (one of the names, or all as one text) -> categories, ascending."""
        named: dict[str, list[int]] = {}
        for category in self.categories:
            for name in dict.fromkeys(n.lower() for n in (*category.names, category.name)):
                named.setdefault(name, []).append(category.index)
        return named


@functools.cache
def released_taxonomy() -> Taxonomy:
    """The 11,166 categories of Tencent ML-Images, in the released order and with its parents."""
    table = packaged("categories.tsv")
    rows = [fields for _, fields in read_rows(table, PACKAGED_HEADER, "the packaged categories")]
    return Taxonomy.from_keys([wnid for wnid, _ in rows], [int(parent) for _, parent in rows])


def source_of(key: str) -> str:
    """Where a key is defined: the namespace of namespace:key, or "wordnet"."""
    namespace, colon, _ = key.partition(":")
    return namespace if colon else "wordnet"


def _forest(keys: Sequence[str], parents: NDArray[np.int32]) -> Hierarchy:
    if len(parents) != len(keys):
        raise InputError("parents", f"{len(parents)} for {len(keys)} categories", "give one each")
    child = np.flatnonzero(parents != -1)
    return Hierarchy.from_edges(len(keys), child, parents[child], keys)


def _edges_of(hierarchy: pa.Table, mode: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(child, parent) of one of the hierarchies in a table of `schemas.HIERARCHY`."""
    chosen = hierarchy["hierarchy"].to_numpy() == mode
    return hierarchy["child"].to_numpy()[chosen], hierarchy["parent"].to_numpy()[chosen]
