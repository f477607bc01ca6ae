"""Carrying a source's own class names over to categories, and telling the user what was lost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mlimages.errors import InputError
from mlimages.labels.reading import ReadingBuilder
from mlimages.taxonomy.categories import Taxonomy
from mlimages.taxonomy.mapping import (
    PACKAGED,
    LabelMap,
    MappedLabels,
    packaged_label_map,
    read_label_map,
)


def find_label_map(name: str | Path | LabelMap) -> LabelMap:
    """A packaged label map by its name ("coco", "voc"), one from a file, or the map itself.

    Raises:
        InputError: neither; or the file is not a label map.
    """
    if isinstance(name, LabelMap):
        return name
    if str(name) in PACKAGED:
        return packaged_label_map(str(name))
    if not Path(name).is_file():
        known = ", ".join(PACKAGED)
        raise InputError(
            f"label map {name}", "no such file, and not packaged", f"name a TSV or one of: {known}"
        )
    return read_label_map(Path(name))


class Meaning(NamedTuple):
    """What a label of a source says of the vocabulary.

    Attributes:
        categories: the category, or several where its synset was lifted to several.
        denies: whether the label's absence is the categories' absence. A broader category may still
            be there, as a street sign that is no stop sign.
    """

    categories: tuple[int, ...]
    denies: bool


def label_meanings(label_map: LabelMap, taxonomy: Taxonomy) -> dict[str, Meaning]:
    """Label -> meaning, of the labels that have a category.

    Raises:
        UnknownCategoryError: a custom key that the vocabulary does not hold.
    """
    mapped = label_map.resolve(taxonomy)
    lifted = set(mapped.lifted)
    return {
        label: Meaning(
            categories, label not in lifted and label_map.mappings[label].relation != "broader"
        )
        for label, categories in mapped.categories.items()
    }


def resolve_labels(
    labels: Sequence[str], label_map: LabelMap, taxonomy: Taxonomy, builder: ReadingBuilder
) -> MappedLabels:
    """Find the categories of the classes that a data set declares.

    The builder gets the categories that such a set is exhaustive for: of its own classes only, even
    when the map knows more; and a note for each class that was lifted or has no category.
    """
    known = [label_map.mappings[label] for label in labels if label in label_map.mappings]
    mapped = LabelMap(label_map.name, known).resolve(taxonomy)
    builder.exhaustive.update(mapped.exhaustive)
    for label in labels:
        if label not in label_map.mappings:
            builder.note(f"class {label!r} is not in the label map {label_map.name}")
    for label in mapped.unmapped:
        builder.note(f"class {label!r} has no category in the vocabulary, nor anything above it")
    for label in mapped.lifted:
        names = " and ".join(taxonomy.categories[i].name for i in mapped.categories[label])
        builder.note(f"class {label!r} is not in the vocabulary; taken as {names}")
    return mapped
