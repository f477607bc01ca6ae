"""`mlimages taxonomy build`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import Positional

from mlimages.cli.output import Json, emit, table

if TYPE_CHECKING:
    from mlimages.taxonomy.vocabulary import Vocabulary

Flag = tyro.conf.FlagCreatePairsOff
Tsv = Annotated[Path | None, tyro.conf.arg(metavar="TSV")]
Csv = Annotated[Path | None, tyro.conf.arg(metavar="CSV")]
Number = Annotated[int, tyro.conf.arg(metavar="N")]
UNMAPPED_SHOWN = 10


def build(
    out: Annotated[Positional[Path], tyro.conf.arg(metavar="OUT", help="The folder to make.")],
    *,
    imagenet: Csv = None,
    openimages: Csv = None,
    mapping: Tsv = None,
    edits: Tsv = None,
    own: Tsv = None,
    names: Tsv = None,
    order: Tsv = None,
    imagenet_minimum: Number = 500,
    openimages_minimum: Number = 650,
    rare: Number = 776,
    expand_from: Number = 0,
    keep_abstract: Annotated[bool, Flag] = False,
    no_branching: Annotated[bool, Flag] = False,
    version: str = "1",
    json: Json = False,
) -> None:
    """Build a vocabulary from class lists with numbers of images, as the paper's authors did.

    Rare and abstract classes are dropped; finer ones, and synsets in which the ways up meet, are
    added; equal synsets become one; every category gets its parent from WordNet. OUT holds
    dictionary.tsv, for --dictionary, and tables that say where every class went.

    Example: mlimages taxonomy build vocabulary --imagenet imagenet_fall11_synset_counts.csv

    Args:
        imagenet: Synsets: columns synid, class_name, urls.
        openimages: Open Images classes: MID, name, number of images.
        mapping: From MIDs or names of Open Images to synsets or keys; `taxonomy map` writes one.
        edits: Your decisions (action, key, into, note); replaces those of ML-Images.
        own: Categories that WordNet does not have (key, parent, name).
        names: Names in other languages (key, language, name).
        order: A dictionary whose categories come first, in its order: their numbers stay.
        imagenet_minimum: ImageNet classes need more images than this.
        openimages_minimum: Open Images classes need at least so many.
        rare: ImageNet classes with at most so many images need another reason to stay.
        expand_from: Also add the children of kept classes with at least so many kept children.
        keep_abstract: Drop no abstract classes.
        no_branching: Add no synsets in which ways up meet.
        version: How you call this version; a hash of the content is added.
    """
    from mlimages.errors import InputError
    from mlimages.taxonomy.building import Sources, build_vocabulary
    from mlimages.taxonomy.selection import SelectionRules

    if out.exists():
        raise InputError(out, "exists already", "choose a new folder")
    rules = SelectionRules(
        imagenet_minimum=imagenet_minimum,
        openimages_minimum=openimages_minimum,
        rare=rare,
        abstract=not keep_abstract,
        branching=not no_branching,
        expand_from=expand_from,
    )
    sources = Sources(imagenet, openimages, mapping, edits, own, names, order)
    vocabulary = build_vocabulary(sources, rules, version)
    vocabulary.write(out)
    result = {
        "out": out,
        "version": vocabulary.version,
        "categories": len(vocabulary.taxonomy),
        "counts": vocabulary.counts(),
    }
    emit(result, json, _text(vocabulary, out))


def _text(vocabulary: Vocabulary, out: Path) -> str:
    counts = vocabulary.counts()
    rows: list[list[Any]] = [["categories", len(vocabulary.taxonomy)]]
    rows += [[f"  {why}", count] for why, count in counts["categories"].items()]
    rows += [["classes dropped", len(vocabulary.dropped)]]
    rows += [[f"  {reason}", count] for reason, count in counts["dropped"].items()]
    rows += [[name, count] for name, count in counts["other"].items() if name != "labels"]
    parts = [f"{out}: version {vocabulary.version}", table(rows)]
    if vocabulary.unmapped:
        most = [[c.label, c.name, c.images] for c in vocabulary.unmapped[:UNMAPPED_SHOWN]]
        parts.append(table(most, ["unmapped, most images first", "", "images"]))
    return "\n\n".join(parts)
