"""`mlimages taxonomy map`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import Positional

from mlimages.cli.output import Json, emit, table
from mlimages.cli.taxonomy import Dictionary

if TYPE_CHECKING:
    from mlimages.taxonomy.proposals.tables import MappingSummary

_SHOWN = 10
File = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]


def map_(
    classes: Annotated[
        Positional[Path],
        tyro.conf.arg(metavar="CLASSES", help="TSV: name, key, gloss, parent; or MID,name .csv."),
    ],
    out: Annotated[
        Positional[Path], tyro.conf.arg(metavar="OUT.tsv", help="The mapping table to write.")
    ],
    *,
    dictionary: Dictionary = None,
    unmapped: File = None,
    hierarchy: File = None,
    overrides: File = None,
    shared_images: File = None,
    names: File = None,
    minimum_confidence: Annotated[float, tyro.conf.arg(metavar="0..1")] = 0.5,
    strict: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    include_sensitive: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    json: Json = False,
) -> None:
    """Map another data set's classes to WordNet synsets, with the evidence, for you to review.

    Example: mlimages taxonomy map class-descriptions.csv openimages.tsv --hierarchy hierarchy.json

    Args:
        unmapped: Where to write classes without a synset. Default: OUT.unmapped.tsv.
        hierarchy: Open Images' JSON hierarchy of the classes.
        overrides: A label map whose lines win; or a reviewed OUT.tsv, its lines marked `manual`.
        shared_images: TSV key, wnid, images: how many images carry both.
        names: TSV key, language, name: names in other languages, shown beside.
        minimum_confidence: Less confident proposals go to the unmapped report.
        strict: Stop at the first bad line of CLASSES.
        include_sensitive: List sensitive persons among the candidates, too.
    """
    from mlimages.taxonomy.categories import released_taxonomy
    from mlimages.taxonomy.dictionary import read_dictionary
    from mlimages.taxonomy.proposals.label_space import map_label_space

    summary = map_label_space(
        classes,
        out,
        released_taxonomy() if dictionary is None else read_dictionary(dictionary),
        unmapped=unmapped,
        hierarchy=hierarchy,
        overrides=overrides,
        shared_images=shared_images,
        names=names,
        minimum_confidence=minimum_confidence,
        strict=strict,
        include_sensitive=include_sensitive,
    )
    emit(summary, json, _text(summary))


def _text(summary: MappingSummary) -> str:
    rows = [
        ["classes", f"{summary.classes:,}"],
        ["mapped", f"{summary.mapped:,}, {summary.manual:,} of them by hand"],
        ["  the same thing", f"{summary.exact_high:,} sure, {summary.exact_low:,} less sure"],
        ["  a broader thing", f"{summary.broader_high:,} sure, {summary.broader_low:,} less sure"],
        ["  not in the vocabulary", f"{summary.lifted:,}, taken as what is above"],
        ["unmapped", f"{summary.unmapped:,}, {summary.by_hand:,} of them by hand"],
        ["synsets that several classes mean", f"{len(summary.merged):,}"],
    ]
    lines = [table(rows)]
    for one in summary.merged[:_SHOWN]:
        named = ", ".join(f"{n} ({k})" for n, k in zip(one.names, one.labels, strict=True))
        lines.append(f"  {one.wnid} {one.name}: {named}")
    if len(summary.merged) > _SHOWN:
        lines.append(f"  and {len(summary.merged) - _SHOWN:,} more (--json)")
    if summary.hidden:
        lines.append(f"{summary.hidden:,} sensitive candidates not shown (--include-sensitive)")
    for what, listed in (
        ("lines left out", summary.rejected),
        ("overrides of no class", summary.unused_overrides),
    ):
        if listed:
            lines.append(f"{what}: {len(listed):,}")
            lines += [f"  {line}" for line in listed[:_SHOWN]]
    lines += [f"{what}: {path}" for what, path in summary.outputs.items()]
    return "\n".join(lines)
