"""The dictionary file of the release: a category a line, with its parent; read and written exactly.

    category_index<TAB>category_id<TAB>index_of_parent_category<TAB>category name
    0<TAB>n00002452<TAB>-1<TAB>thing

Ids are wnids, or namespace:key for categories of one's own. Names are WordNet's lemmas joined by
", " in the released file; others are kept as they are.
"""

from __future__ import annotations

import re
from pathlib import Path

from mlimages.errors import CyclicHierarchyError, InputError
from mlimages.storage import write_text
from mlimages.taxonomy.categories import Taxonomy
from mlimages.taxonomy.faults import HEADER, examine
from mlimages.taxonomy.wordnet import wordnet


def read_dictionary(path: Path | str) -> Taxonomy:
    """Read a dictionary file.

    Raises:
        InputError: no such file, or the first of its faults (`mlimages.taxonomy.faults` finds
            all); names file:line.
        CyclicHierarchyError: names the file and the categories and lines of the cycle.
    """
    path = Path(path)
    rows, faults = examine(path)
    if faults:
        first = faults[0]
        if first.kind == "cycle":
            raise CyclicHierarchyError(path, first.cause, first.action)
        place = path if first.kind == "empty" else f"{path}:{first.line}"
        raise InputError(place, first.cause, first.action)
    return Taxonomy.from_keys(
        [row.key for row in rows],
        [int(row.parent) for row in rows],
        [_split_name(row.key, row.name) for row in rows],
    )


def write_dictionary(taxonomy: Taxonomy, path: Path | str) -> None:
    """Write a dictionary file; what `read_dictionary` read comes out byte for byte.

    Raises:
        InputError: a name or key with a TAB or a line break, which the format cannot hold.
        StorageError: the disk is full or not writable; nothing half-written is left.
    """
    lines = [HEADER]
    for category, parent in zip(taxonomy.categories, taxonomy.parents.tolist(), strict=True):
        for text in (category.key, category.name):
            if re.search(r"[\t\r\n]", text):
                raise InputError(repr(text), "holds a TAB or a line break", "rename the category")
        lines.append(f"{category.index}\t{category.key}\t{parent}\t{category.name}")
    write_text(Path(path), "\n".join(lines) + "\n")


def _split_name(key: str, name: str) -> tuple[str, ...]:
    """The names in a dictionary's text; joined by ", " again they give the same text."""
    lemmas = wordnet().lemmas(key) if key in wordnet() else ()
    # A lemma may hold a comma itself, so WordNet's own division goes first.
    return lemmas if ", ".join(lemmas) == name else tuple(name.split(", "))
