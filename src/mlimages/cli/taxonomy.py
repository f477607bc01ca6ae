"""`mlimages taxonomy show`, `check` and `export`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import Positional

from mlimages.cli.output import Json, emit, table

if TYPE_CHECKING:
    from mlimages.taxonomy.categories import Category
    from mlimages.taxonomy.summary import CategoryCard, TaxonomySummary

Dictionary = Annotated[
    Path | None,
    tyro.conf.arg(metavar="IN.tsv", help="Another dictionary than the packaged 11,166 categories."),
]


def show(
    category: Annotated[
        Positional[str],
        tyro.conf.arg(metavar="CATEGORY", help="A wnid, a name, or an index."),
    ],
    *,
    dictionary: Dictionary = None,
    names: Annotated[Path | None, tyro.conf.arg(metavar="NAMES.tsv")] = None,
    include_sensitive: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    json: Json = False,
) -> None:
    """Show a category: names, gloss, every path up the hierarchies, children, whether sensitive.

    Example: mlimages taxonomy show "computer mouse"

    Args:
        names: Names in other languages (key, language, name), to show and to look up.
        include_sensitive: List sensitive children too, not only their number.
    """
    from mlimages.taxonomy.categories import released_taxonomy
    from mlimages.taxonomy.dictionary import read_dictionary
    from mlimages.taxonomy.summary import describe
    from mlimages.taxonomy.translations import Translations, read_translations

    taxonomy = released_taxonomy() if dictionary is None else read_dictionary(dictionary)
    translations = read_translations(names) if names is not None else Translations()
    card = describe(taxonomy, taxonomy.resolve(translations.find(category) or category))
    other_names = translations.of(card.category.key)
    children = {
        mode: [child for child in found if include_sensitive or not child.sensitive]
        for mode, found in card.children.items()
    }
    result = {
        **{name: getattr(card.category, name) for name in ("index", "key", "names", "gloss")},
        "source": card.category.source,
        "other_names": other_names,
        "sensitive": card.category.sensitive,
        "paths": {m: [[c.key for c in p] for p in paths] for m, paths in card.paths.items()},
        "children": {mode: [child.key for child in found] for mode, found in children.items()},
        "sensitive_children_hidden": {
            m: len(card.children[m]) - len(children[m]) for m in children
        },
    }
    text = _card_text(card, children)
    if other_names:
        text += f"\n\nother names\n  {translations.text(card.category.key)}"
    emit(result, json, text)


def check(
    dictionary: Annotated[
        Positional[Path], tyro.conf.arg(metavar="DICTIONARY", help="A dictionary file.")
    ],
    *,
    json: Json = False,
) -> None:
    """Read a dictionary of categories, say what is wrong with it, or print its figures.

    Example: mlimages taxonomy check dictionary_and_semantic_hierarchy.txt
    """
    from mlimages.taxonomy.dictionary import read_dictionary
    from mlimages.taxonomy.summary import summarize

    summary = summarize(read_dictionary(dictionary))
    emit(summary, json, _summary_text(summary))


def export(
    out: Annotated[Positional[Path], tyro.conf.arg(metavar="OUT.tsv", help="The file to write.")],
    *,
    dictionary: Dictionary = None,
    json: Json = False,
) -> None:
    """Write the categories as a dictionary file in the released form; OUT.tsv is replaced.

    Example: mlimages taxonomy export categories.tsv
    """
    from mlimages.taxonomy.categories import released_taxonomy
    from mlimages.taxonomy.dictionary import read_dictionary, write_dictionary

    taxonomy = released_taxonomy() if dictionary is None else read_dictionary(dictionary)
    write_dictionary(taxonomy, out)
    text = f"{len(taxonomy):,} categories written to {out}"
    emit({"out": out, "categories": len(taxonomy)}, json, text)


def _card_text(card: CategoryCard, children: dict[str, list[Category]]) -> str:
    category = card.category
    lines = [f"{category.name}", f"  {category.key}, index {category.index}"]
    if category.gloss:
        lines.append(f"  {category.gloss}")
    if category.sensitive:
        lines.append("  sensitive: shown only when asked for")
    for mode, paths in card.paths.items():
        lines.append(f"\n{mode} hierarchy, from the root")
        lines += ["  " + " > ".join(step.names[0] for step in path) for path in paths]
        lines.append(f"  children: {len(card.children[mode]) or 'none'}")
        lines += [f"    {child.key}  {child.name}" for child in children[mode]]
        hidden = len(card.children[mode]) - len(children[mode])
        if hidden:
            lines.append(f"    and {hidden} sensitive ones (--include-sensitive)")
    return "\n".join(lines)


def _summary_text(summary: TaxonomySummary) -> str:
    trees = ", ".join(f"{size:,}" for size in summary.tree_sizes[:8])
    more = ", ..." if len(summary.tree_sizes) > 8 else ""
    rows = [
        ["categories", f"{summary.categories:,}, {summary.custom:,} of them not from WordNet"],
        ["persons", f"{summary.persons:,}"],
        ["sensitive", f"{summary.sensitive:,}"],
        ["trees", f"{len(summary.tree_sizes):,}, of {trees}{more} categories"],
        ["leaves", f"{summary.leaves:,}"],
        ["depth", f"{summary.maximum_depth} edges at most, {summary.mean_depth:.3f} on average"],
        ["parents listed after a child", f"{summary.parents_after_child:,}"],
        [
            "shared names",
            f"{summary.shared_names:,}, by {summary.categories_sharing_a_name:,} categories",
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
    return table(rows)
