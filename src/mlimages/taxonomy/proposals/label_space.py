"""The whole of `mlimages taxonomy map`: files in, a mapping table and an unmapped report out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mlimages.errors import InputError
from mlimages.taxonomy.categories import Taxonomy
from mlimages.taxonomy.proposals.foreign import (
    read_classes,
    read_openimages_hierarchy,
    read_shared_images,
    with_parents,
)
from mlimages.taxonomy.proposals.proposing import MINIMUM_CONFIDENCE, propose
from mlimages.taxonomy.proposals.tables import (
    MappingSummary,
    read_overrides,
    split,
    summarize,
    write_mapping,
    write_unmapped,
)
from mlimages.taxonomy.translations import Translations, read_translations


def map_label_space(
    classes: Path | str,
    out: Path | str,
    taxonomy: Taxonomy,
    *,
    unmapped: Path | str | None = None,
    hierarchy: Path | str | None = None,
    overrides: Path | str | None = None,
    shared_images: Path | str | None = None,
    names: Path | str | None = None,
    minimum_confidence: float = MINIMUM_CONFIDENCE,
    strict: bool = False,
    include_sensitive: bool = False,
) -> MappingSummary:
    """Map the classes of a file to synsets and write the table; existing outputs are replaced.

    Args:
        classes: see `read_classes`.
        out: the mapping table to write.
        taxonomy: the target categories.
        unmapped: where to write the classes without a synset; by default beside `out`.
        hierarchy: Open Images' JSON, when `classes` has no parents of its own.
        overrides: a label map whose lines win, or a mapping table after a review.
        shared_images: see `read_shared_images`.
        names: names in other languages to show, see `read_translations`.
        minimum_confidence: from 0 to 1; proposals below it go to the unmapped report.
        strict: stop at the first bad line of `classes` instead of reporting it.
        include_sensitive: also list sensitive persons as candidates.

    Raises:
        InputError: a file that cannot be used, or a confidence out of range.
        StorageError: an output cannot be written.
    """
    if not 0 <= minimum_confidence <= 1:
        raise InputError("minimum confidence", f"{minimum_confidence} is not 0 to 1", "correct it")
    out = Path(out)
    report = out.with_suffix(".unmapped.tsv") if unmapped is None else Path(unmapped)
    if report == out:
        raise InputError(out, "named for both tables", "give the unmapped report another name")
    found, rejected = read_classes(classes, strict)
    if hierarchy is not None:
        found = with_parents(found, read_openimages_hierarchy(hierarchy))
    manual = read_overrides(overrides) if overrides is not None else None
    shared = read_shared_images(shared_images) if shared_images is not None else None
    translations = read_translations(names) if names is not None else Translations()
    mapped, rest = split(
        propose(found, frozenset(taxonomy.keys), manual, shared), minimum_confidence
    )
    write_mapping(out, mapped, taxonomy, translations, include_sensitive)
    write_unmapped(report, rest, minimum_confidence, include_sensitive)
    keys = {one.key for one in found}
    return replace(
        summarize(mapped, rest, taxonomy, include_sensitive),
        unused_overrides=tuple(k for k in (manual.labels if manual else ()) if k not in keys),
        rejected=tuple(rejected),
        outputs={"map": str(out), "unmapped": str(report)},
    )
