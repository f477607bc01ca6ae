"""Mapping a foreign label space to a vocabulary: a reviewable table of label, synset and reason.

    label<TAB>wnid<TAB>relation<TAB>note

Further named columns may follow. `wnid` is one id or several, separated by a space (a label that is
all of them at once), or `-` for a label that deliberately has none. An id `namespace:key` that the
vocabulary does not hold is carried over to the synset in the column `parent`, if there is one.

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
from mlimages.taxonomy.packaged import packaged, read_lines, read_rows
from mlimages.taxonomy.wordnet import wordnet

NO_SYNSET = "-"
HEADER = "label\twnid\trelation\tnote"
PACKAGED = ("coco", "voc")
Relation = Literal["exact", "broader", "narrower"]
RELATIONS: tuple[Relation, ...] = get_args(Relation)


@dataclass(frozen=True)
class Mapping:
    """One line of a label map."""

    label: str
    wnid: str  # or a key namespace:key of a custom vocabulary; several by spaces; NO_SYNSET
    relation: Relation
    note: str
    parent: str = ""  # of a namespace:key: the wnid it hangs under
    status: str = ""  # "manual", "proposed", or empty where the table has no such column

    @property
    def wnids(self) -> tuple[str, ...]:
        """The ids one by one; none for a label that has no synset."""
        return () if self.wnid == NO_SYNSET else tuple(self.wnid.split(" "))


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
            found = [_lift(taxonomy, wnid, mapping.parent) for wnid in mapping.wnids]
            if not any(found):
                unmapped.append(label)
                continue
            categories[label] = tuple(sorted(set().union(*found)))
            if any(taxonomy.get(wnid) is None for wnid in mapping.wnids):
                lifted.append(label)
            elif mapping.relation != "broader" and len(found) == 1:
                # Of several, an absent label does not say which one is absent.
                exhaustive.add(found[0][0])
        return MappedLabels(categories, tuple(lifted), tuple(unmapped), tuple(sorted(exhaustive)))


def _lift(taxonomy: Taxonomy, wnid: str, parent: str) -> tuple[int, ...]:
    if parent and ":" in wnid and taxonomy.get(wnid) is None:
        return taxonomy.lift(parent)
    return taxonomy.lift(wnid)


def read_label_map(path: Path | str | Traversable) -> LabelMap:
    """Read a label map.

    Raises:
        InputError: no such file, not UTF-8, a malformed line, a label twice, an unknown relation or
            an id that is neither a synset nor of the form namespace:key; names file:line.
    """
    path = Path(path) if isinstance(path, str) else path
    first_line = read_lines(path, "a label map")[0]
    header = first_line if first_line.startswith(HEADER + "\t") else HEADER
    columns = header.split("\t")
    places: dict[str, str] = {}
    mappings = []
    for place, fields in read_rows(path, header, "a label map"):
        row = dict(zip(columns, fields, strict=True))
        mapping = _mapping_of(place, row)
        if mapping.label in places:
            first = places[mapping.label].rpartition(":")[2]
            raise InputError(place, f"label {mapping.label!r} is also on line {first}", "keep one")
        places[mapping.label] = place
        mappings.append(mapping)
    return LabelMap(path.name, mappings)


def _mapping_of(place: str, row: dict[str, str]) -> Mapping:
    """A line as a mapping.

    Raises:
        InputError: no label, an unknown relation or an id that does not exist.
    """
    known = {name: row[name] for name in Mapping.__dataclass_fields__ if name in row}
    mapping, parent = Mapping(**known), known.get("parent", "")  # type: ignore[arg-type]
    if not mapping.label:
        raise InputError(place, "no label", "name the label in the first column")
    for wnid in (*mapping.wnids, *([parent] if parent else [])):
        if ":" not in wnid and wnid not in wordnet():
            raise InputError(
                place, f"{wnid!r} is not a noun synset of WordNet 3.0", "correct the wnid"
            )
    if mapping.wnids and mapping.relation not in RELATIONS:
        raise InputError(
            place, f"relation {mapping.relation!r}", nearest(mapping.relation, RELATIONS)
        )
    return mapping


def packaged_label_map(name: str) -> LabelMap:
    """One of the maps that ship with the package: "coco" (80 labels) or "voc" (20).

    Raises:
        InputError: another name.
    """
    if name not in PACKAGED:
        raise InputError(f"label map {name!r}", "not packaged", nearest(name, PACKAGED))
    return read_label_map(packaged(f"{name}.tsv"))
