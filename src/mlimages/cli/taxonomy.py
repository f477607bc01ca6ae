"""`mlimages taxonomy show` and `export`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import Positional

from mlimages.cli.output import Json, emit

if TYPE_CHECKING:
    from mlimages.taxonomy.categories import Category
    from mlimages.taxonomy.summary import CategoryCard

Dictionary = Annotated[
    Path | None,
    tyro.conf.arg(
        metavar="IN",
        help="Another dictionary than the packaged 11,166 categories, or a folder of `build`.",
    ),
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

    Of a vocabulary that `taxonomy build` made also its version, the category's names in other
    languages, and what each source calls it with how many images.

    Example: mlimages taxonomy show "computer mouse"

    Args:
        names: Names in other languages (key, language, name), to show and to look up.
        include_sensitive: List sensitive children too, not only their number.
    """
    from mlimages.taxonomy.categories import released_taxonomy
    from mlimages.taxonomy.summary import describe
    from mlimages.taxonomy.translations import read_translations
    from mlimages.taxonomy.vocabulary import describe_taxonomy, open_taxonomy

    opened = (
        describe_taxonomy(released_taxonomy()) if dictionary is None else open_taxonomy(dictionary)
    )
    taxonomy = opened.taxonomy
    translations = opened.names if names is None else read_translations(names)
    card = describe(taxonomy, taxonomy.resolve(translations.find(category) or category))
    sources = opened.sources.get(card.category.key, [])
    children = {
        mode: [child for child in found if include_sensitive or not child.sensitive]
        for mode, found in card.children.items()
    }
    result = {
        "version": opened.version,
        **{name: getattr(card.category, name) for name in ("index", "key", "names", "gloss")},
        "source": card.category.source,
        "other_names": translations.of(card.category.key),
        "sensitive": card.category.sensitive,
        "sources": sources,
        "images": sum(source["images"] for source in sources),
        "paths": {m: [[c.key for c in p] for p in paths] for m, paths in card.paths.items()},
        "children": {mode: [child.key for child in found] for mode, found in children.items()},
        "sensitive_children_hidden": {
            m: len(card.children[m]) - len(children[m]) for m in children
        },
    }
    known = translations.of(card.category.key).items()
    beside = [f"  {language}: {', '.join(found)}" for language, found in known]
    beside += [f"  {s['source']} {s['label']}: {s['images']:,} images" for s in sources]
    emit(result, json, _card_text(card, children, [*beside, f"  version {opened.version}"]))


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
    from mlimages.taxonomy.dictionary import write_dictionary
    from mlimages.taxonomy.vocabulary import open_taxonomy

    taxonomy = released_taxonomy() if dictionary is None else open_taxonomy(dictionary).taxonomy
    write_dictionary(taxonomy, out)
    text = f"{len(taxonomy):,} categories written to {out}"
    emit({"out": out, "categories": len(taxonomy)}, json, text)


def _card_text(card: CategoryCard, children: dict[str, list[Category]], beside: list[str]) -> str:
    category = card.category
    lines = [f"{category.name}", f"  {category.key}, index {category.index}"]
    if category.gloss:
        lines.append(f"  {category.gloss}")
    if category.sensitive:
        lines.append("  sensitive: shown only when asked for")
    lines += beside
    for mode, paths in card.paths.items():
        lines.append(f"\n{mode} hierarchy, from the root")
        lines += ["  " + " > ".join(step.names[0] for step in path) for path in paths]
        lines.append(f"  children: {len(card.children[mode]) or 'none'}")
        lines += [f"    {child.key}  {child.name}" for child in children[mode]]
        hidden = len(card.children[mode]) - len(children[mode])
        if hidden:
            lines.append(f"    and {hidden} sensitive ones (--include-sensitive)")
    return "\n".join(lines)
