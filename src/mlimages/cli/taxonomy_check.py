"""`mlimages taxonomy check`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import Positional

from mlimages.cli.output import Json, emit, table

if TYPE_CHECKING:
    from mlimages.taxonomy.auditing import Audit
    from mlimages.taxonomy.summary import TaxonomySummary

Flag = tyro.conf.FlagCreatePairsOff


def check(
    dictionary: Annotated[
        Positional[Path],
        tyro.conf.arg(metavar="DICTIONARY", help="A dictionary file, or a folder of `build`."),
    ],
    *,
    list: Annotated[bool, Flag] = False,
    include_sensitive: Annotated[bool, Flag] = False,
    json: Json = False,
) -> None:
    """Say everything that is wrong with a dictionary, line by line; or print its figures.

    The figures say what the forest loses against WordNet, and how its parents differ from those
    that WordNet alone gives. --list and --json name the single ones.

    Example: mlimages taxonomy check dictionary_and_semantic_hierarchy.txt

    Args:
        list: Name every lost ancestor, other parent and shared name.
        include_sensitive: Name sensitive categories too.
    """
    from mlimages.errors import InputError
    from mlimages.taxonomy.auditing import audit
    from mlimages.taxonomy.faults import find_faults

    found = find_faults(dictionary)
    if found.faults:
        lines = [f"{found.path}:{fault.line}: {fault.cause}" for fault in found.faults]
        emit({"faults": found.faults}, json, "\n".join(lines))
        number = len(found.faults)
        cause = f"{number} fault{'s' * (number > 1)}, the first on line {found.faults[0].line}"
        raise InputError(found.path, cause, "correct what is listed")
    result = audit(found.path, include_sensitive=include_sensitive)
    text = _summary_text(result) + (f"\n\n{_listed(result)}" if list else "")
    figures = {name: getattr(result.summary, name) for name in vars(result.summary)}
    emit(
        {
            "faults": [],
            **figures,
            "parents_as_derived": result.parents_as_derived,
            "parents_otherwise": result.parents_otherwise,
            "named": result.named,
            "sensitive_hidden": result.sensitive_hidden,
        },
        json,
        text,
    )


def _summary_text(result: Audit) -> str:
    from mlimages.taxonomy.parents import PARENT_REASONS

    otherwise = sum(result.parents_otherwise.values())
    parents: list[list[Any]] = [
        ["as WordNet alone gives them", f"{result.parents_as_derived:,}"],
        ["otherwise", f"{otherwise:,}"],
        *(
            [f"  {PARENT_REASONS[reason]}", f"{count:,}"]
            for reason, count in result.parents_otherwise.items()
            if count
        ),
    ]
    return f"{table(_figures(result.summary))}\n\nparents\n{table(parents)}"


def _figures(summary: TaxonomySummary) -> list[list[Any]]:
    trees = ", ".join(f"{size:,}" for size in summary.tree_sizes[:8])
    more = ", ..." if len(summary.tree_sizes) > 8 else ""
    return [
        ["categories", f"{summary.categories:,}, {summary.custom:,} of them not from WordNet"],
        ["persons", f"{summary.persons:,}"],
        ["sensitive", f"{summary.sensitive:,}"],
        ["trees", f"{len(summary.tree_sizes):,}, of {trees}{more} categories"],
        ["leaves", f"{summary.leaves:,}"],
        ["depth", f"{summary.maximum_depth} edges at most, {summary.mean_depth:.3f} on average"],
        ["parents listed after a child", f"{summary.parents_after_child:,}"],
        [
            "shared names",
            f"{summary.shared_names:,}, by {summary.categories_sharing_a_name:,} categories: "
            f"{summary.name_repeats:,} repeats",
        ],
        ["ancestor pairs in the forest", f"{summary.forest_pairs:,}"],
        [
            "ancestor pairs in WordNet",
            f"{summary.wordnet_pairs:,}, {summary.pairs_lost_by_forest:,} not in the forest",
        ],
        ["parents that are no WordNet ancestors", f"{summary.parents_outside_wordnet:,}"],
        [
            "WordNet hierarchy",
            f"{summary.wordnet_roots:,} roots, "
            f"{summary.wordnet_several_parents:,} categories with several parents",
        ],
    ]


def _listed(result: Audit) -> str:
    parts = []
    for title, found in result.named.items():
        lines = [title.replace("_", " "), *(f"  {'  '.join(entry.values())}" for entry in found)]
        parts.append("\n".join(lines))
    if result.sensitive_hidden:
        parts.append(f"{result.sensitive_hidden:,} with sensitive ones (--include-sensitive)")
    return "\n\n".join(parts)
