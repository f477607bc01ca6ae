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
from mlimages.taxonomy.packaged import read_rows
from mlimages.taxonomy.wordnet import is_wnid, wordnet

HEADER = "category_index\tcategory_id\tindex_of_parent_category\tcategory name"
WHAT = "a dictionary of categories (a packaged one: mlimages taxonomy export OUT.tsv)"
# Only the form that `write_dictionary` gives back: no signs, spaces or leading zeros.
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_CUSTOM_KEY = re.compile(r"[a-z][a-z0-9_-]*:\S+")


def read_dictionary(path: Path | str) -> Taxonomy:
    """Read a dictionary file.

    Raises:
        InputError: no such file, not UTF-8, no category, a malformed line, an index out of order, a
            parent out of range, an id given twice or of neither form; names file:line.
        CyclicHierarchyError: names the file and the categories and lines of the cycle.
    """
    path = Path(path)
    keys: dict[str, str] = {}
    parents: list[tuple[str, int]] = []
    names: list[tuple[str, ...]] = []
    for place, (index, key, parent, name) in read_rows(path, HEADER, WHAT):
        if index != str(len(keys)):
            raise InputError(
                place, f"index {index!r}, not {len(keys)}", "number the categories 0, 1, 2, ..."
            )
        if key in keys:
            raise InputError(place, f"id {key} is also on line {_line(keys[key])}", "keep one")
        _check_key(place, key)
        if not name:
            raise InputError(place, "no name", "give the category a name")
        keys[key] = place
        parents.append((place, _parse_parent(place, parent)))
        names.append(_split_name(key, name))
    if not keys:
        raise InputError(path, "no category", "add lines below the header")
    for place, parent_index in parents:
        if parent_index >= len(keys):
            raise InputError(
                place,
                f"parent {parent_index} is out of range, there are {len(keys)} categories",
                "correct the parent",
            )
    try:
        return Taxonomy.from_keys(list(keys), [parent for _, parent in parents], names)
    except CyclicHierarchyError as error:
        raise CyclicHierarchyError(path, _with_lines(error.cause, keys), error.action) from None


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


def _check_key(place: str, key: str) -> None:
    if is_wnid(key):
        if key not in wordnet():
            raise InputError(
                place,
                f"id {key} is not a noun synset of WordNet 3.0",
                "correct it (WordNet 3.1 has other ids), or use an id of the form namespace:key",
            )
    elif _CUSTOM_KEY.fullmatch(key) is None:
        raise InputError(
            place,
            f"id {key!r} is neither a wnid nor of the form namespace:key",
            "write ids like n02084071 or own:my-dog",
        )


def _parse_parent(place: str, text: str) -> int:
    if text == "-1":
        return -1
    if _INDEX.fullmatch(text) is None:
        raise InputError(place, f"parent {text!r} is not an index", "use an index, or -1 (root)")
    return int(text)


def _split_name(key: str, name: str) -> tuple[str, ...]:
    """The names in a dictionary's text; joined by ", " again they give the same text."""
    lemmas = wordnet().lemmas(key) if key in wordnet() else ()
    # A lemma may hold a comma itself, so WordNet's own division goes first.
    return lemmas if ", ".join(lemmas) == name else tuple(name.split(", "))


def _line(place: str) -> str:
    return place.rpartition(":")[2]


def _with_lines(cycle: str, places: dict[str, str]) -> str:
    """Add the line number to every key that a cycle's message names."""
    words = cycle.split(" ")
    return " ".join(f"{w} (line {_line(places[w])})" if w in places else w for w in words)
