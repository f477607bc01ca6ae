"""`mlimages duplicates`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from mlimages.cli.arguments import DatabasePath
from mlimages.cli.output import Json, emit

if TYPE_CHECKING:
    from mlimages.images.duplicates import Closeness, DuplicatesReport

Turned = Literal["no", "mirrored", "all"]


def duplicates(
    db: DatabasePath,
    *,
    perceptual: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    radius: int | None = None,
    turned: Turned = "no",
    undo: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    limit: int = 100,
    include_sensitive: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    json: Json = False,
) -> None:
    """Find images stored more than once, and let one of each stand for all, with all their facts.

    Images are the same when their sources give the same MD5, or when both are packed and their
    bytes are equal; with --perceptual also when both are packed and show the same photo. Run
    `mlimages complete DB` afterwards: the facts have changed.

    Example: mlimages duplicates DB --perceptual --out duplicates/

    Args:
        perceptual: Also merge images that show the same photo in another size, quality or crop.
        radius: Bits in which one of the two hashes may differ (10; over 2 million images 8).
        turned: Also look for copies that are mirrored, or in all eight positions.
        undo: Let every image stand for itself again.
        out: A new folder for a page with the groups, and the report as JSON.
        limit: Most groups on the page.
        include_sensitive: Also show groups with sensitive categories on the page.
    """
    from mlimages.database import Database

    database = Database.open(db)
    closeness = closeness_of(radius, turned) if perceptual else None
    report = database.merge_duplicates(undo=undo, closeness=closeness)
    text = _text(report)
    if out is not None:
        from mlimages.pages.duplicates import write_duplicates

        write_duplicates(database, report, out, limit, include_sensitive=include_sensitive)
        text += f"\npage: {out / 'index.html'}"
    emit(report, json, text)


def closeness_of(radius: int | None, turned: Turned) -> Closeness:
    """What the options ask for; raises InputError for a radius out of range."""
    from mlimages.images.duplicates import Closeness
    from mlimages.images.duplicates.fingerprints import POSITIONS

    positions = {"no": (), "mirrored": ("mirrored",), "all": tuple(POSITIONS)}[turned]
    closeness = Closeness(radius, positions)
    closeness.limits(0)
    return closeness


def _text(report: DuplicatesReport) -> str:
    evidence = ", ".join(f"{count:,} by {how}" for how, count in report.by_evidence.items())
    lines = [
        f"{report.images:,} images = {report.images_left:,} left "
        f"+ {report.merged_away:,} that another stands for ({evidence})",
        f"{report.groups:,} images were stored more than once; "
        f"{report.facts_added:,} facts of their copies were added to them",
    ]
    if searched := report.searched:
        lines.append(
            f"by looks: {searched.hashed:,} images compared, {searched.flat:,} too flat; "
            f"{searched.candidates:,} pairs within {searched.radius} bits, "
            f"{searched.confirmed:,} of them show the same photo"
        )
        if searched.crowded:
            lines.append(f"{searched.crowded:,} times an image had too many close ones for all")
    lines += [f"  {kept}: also as {', '.join(others)}" for kept, *others in report.first_groups]
    lines += [f"{number:,} groups are in {names}" for names, number in report.across_splits.items()]
    lines += [f"  {', '.join(group)}" for group in report.first_across_splits]
    return "\n".join(lines)
