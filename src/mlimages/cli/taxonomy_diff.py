"""`mlimages taxonomy diff`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import Positional

from mlimages.cli.output import Json, emit

if TYPE_CHECKING:
    from mlimages.taxonomy.difference import Change, TaxonomyDifference


def diff(
    a: Annotated[
        Positional[Path], tyro.conf.arg(metavar="A", help="A dictionary, or a folder of `build`.")
    ],
    b: Annotated[Positional[Path], tyro.conf.arg(metavar="B", help="Another one.")],
    *,
    include_sensitive: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    json: Json = False,
) -> None:
    """Say what was added, removed, moved to another parent and renamed from A to B.

    Categories are matched by key. How many merely changed their number is counted.

    Example: mlimages taxonomy diff old.tsv vocabulary/

    Args:
        include_sensitive: List sensitive categories too, not only their number.
    """
    from mlimages.taxonomy.difference import compare
    from mlimages.taxonomy.vocabulary import open_taxonomy

    found = compare(open_taxonomy(a), open_taxonomy(b), include_sensitive)
    emit(found, json, _text(found))


def _text(found: TaxonomyDifference) -> str:
    before, after = found.versions
    if found.equal:
        return f"the same: {after}"
    parts = [f"{before} -> {after}"]
    for title, pairs in (("added", found.added), ("removed", found.removed)):
        if pairs:
            parts.append("\n".join([_heading(title, pairs), *(f"  {k}  {n}" for k, n in pairs)]))
    for title, changes in (
        ("moved", found.moved),
        ("renamed", found.renamed),
        ("renamed in other languages", found.translated),
    ):
        if changes:
            parts.append("\n".join([_heading(title, changes), *map(_line, changes)]))
    if found.renumbered:
        parts.append(f"{found.renumbered:,} have another number: label files must be converted")
    if found.sensitive_hidden:
        parts.append(f"{found.sensitive_hidden:,} changes of sensitive ones (--include-sensitive)")
    return "\n\n".join(parts)


def _heading(title: str, entries: list) -> str:
    return f"{title}: {len(entries):,}"


def _line(change: Change) -> str:
    return f"  {change.key}  {change.name}: {change.before or '-'} -> {change.after or '-'}"
