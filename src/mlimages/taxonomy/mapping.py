"""Mapping a foreign label space to a vocabulary: a reviewable table of label, synset and reason.

    label<TAB>wnid<TAB>relation<TAB>note

`relation` says how the synset relates to the label, and so what a label proves:

    exact     the same thing: its presence and its absence carry over
    broader   the synset is broader (stop sign -> street sign): only presence carries over
    narrower  the synset is narrower (tv, which includes monitors -> television receiver): presence
              is taken over as the label's usual meaning, absence carries over
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal, get_args

from mlimages.errors import InputError, UnknownCategoryError, nearest
from mlimages.taxonomy.categories import Taxonomy
from mlimages.taxonomy.packaged import packaged, read_rows
from mlimages.taxonomy.wordnet import wordnet

HEADER = "label\twnid\trelation\tnote"
PACKAGED = ("coco", "voc")
Relation = Literal["exact", "broader", "narrower"]
RELATIONS: tuple[Relation, ...] = get_args(Relation)


@dataclass(frozen=True)
class Mapping:
    """One line of a label map."""

    label: str
    wnid: str  # or a key namespace:key of a custom vocabulary
    relation: Relation
    note: str


@dataclass(frozen=True)
class MappedLabels:
    """A label map carried over to one vocabulary.

    Attributes:
        categories: label -> category indices: one, or several when it was lifted to several.
        lifted: labels whose synset is not in the vocabulary, and went to its nearest ancestors.
        unmapped: labels with nothing of the vocabulary at or above their synset.
        exhaustive: categories, ascending, that an annotation of all these labels is exhaustive for.
    """

    categories: dict[str, tuple[int, ...]]
    lifted: tuple[str, ...]
    unmapped: tuple[str, ...]
    exhaustive: tuple[int, ...]


class LabelMap:
    """Labels of another data set, each with its synset."""

    def __init__(self, name: str, mappings: Iterable[Mapping]) -> None:
        """Take the lines of a map; `name` is what error messages call it."""
        self.name = name
        self.mappings = {mapping.label: mapping for mapping in mappings}

    def __len__(self) -> int:
        return len(self.mappings)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the table."""
        return tuple(self.mappings)

    def lookup(self, label: str) -> str:
        """The wnid of a label.

        Raises:
            UnknownCategoryError: names the nearest label.
        """
        if label not in self.mappings:
            raise UnknownCategoryError(
                f"label {label!r}", f"not in the label map {self.name}", nearest(label, self.labels)
            )
        return self.mappings[label].wnid

    def resolve(self, taxonomy: Taxonomy) -> MappedLabels:
        """Find the categories of every label; what is not in the vocabulary is lifted.

        Raises:
            UnknownCategoryError: a custom key that the vocabulary does not hold.
        """
        categories: dict[str, tuple[int, ...]] = {}
        lifted, unmapped, exhaustive = [], [], set()
        for label, mapping in self.mappings.items():
            found = taxonomy.lift(mapping.wnid)
            if not found:
                unmapped.append(label)
                continue
            categories[label] = found
            if taxonomy.get(mapping.wnid) is None:
                lifted.append(label)
            elif mapping.relation != "broader":
                exhaustive.add(found[0])
        return MappedLabels(categories, tuple(lifted), tuple(unmapped), tuple(sorted(exhaustive)))


def read_label_map(path: Path | str | Traversable) -> LabelMap:
    """Read a label map.

    Raises:
        InputError: no such file, not UTF-8, a malformed line, a label twice, an unknown relation or
            an id that is neither a synset nor of the form namespace:key; names file:line.
    """
    path = Path(path) if isinstance(path, str) else path
    places: dict[str, str] = {}
    mappings = []
    for place, (label, wnid, relation, note) in read_rows(path, HEADER, "a label map"):
        if not label:
            raise InputError(place, "no label", "name the label in the first column")
        if label in places:
            first = places[label].rpartition(":")[2]
            raise InputError(place, f"label {label!r} is also on line {first}", "keep one")
        if ":" not in wnid and wnid not in wordnet():
            raise InputError(
                place, f"{wnid!r} is not a noun synset of WordNet 3.0", "correct the wnid"
            )
        if relation not in RELATIONS:
            raise InputError(place, f"relation {relation!r}", nearest(relation, RELATIONS))
        places[label] = place
        mappings.append(Mapping(label, wnid, relation, note))
    return LabelMap(path.name, mappings)


def packaged_label_map(name: str) -> LabelMap:
    """One of the maps that ship with the package: "coco" (80 labels) or "voc" (20).

    Raises:
        InputError: another name.
    """
    if name not in PACKAGED:
        raise InputError(f"label map {name!r}", "not packaged", nearest(name, PACKAGED))
    return read_label_map(packaged(f"{name}.tsv"))
