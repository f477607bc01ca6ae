"""`mlimages duplicates leak`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from mlimages.cli.arguments import DatabasePath
from mlimages.cli.duplicates import Turned, closeness_of
from mlimages.cli.output import Json, emit

if TYPE_CHECKING:
    from mlimages.images.duplicates.leaks import LeaksReport


def leak(
    db: DatabasePath,
    *,
    against: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None,
    split: str = "train",
    radius: int | None = None,
    turned: Turned = "no",
    remove: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    undo: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    limit: int = 100,
    include_sensitive: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    json: Json = False,
) -> None:
    """Find photos of another set, such as a test set, among the images that are trained on.

    Photos are the same when their MD5 or bytes are equal, or when both show the same photo in
    another size, quality or crop. Nothing is changed but the table of hashes, unless --remove or
    --undo is given.

    Example: mlimages duplicates leak DB --against VOCdevkit/VOC2012 --out leaks/

    Args:
        against: A folder of photos (of a VOC folder, its JPEGImages), or another database.
        split: The images that are compared: those of this split, and of none.
        radius: Bits in which one of the two hashes may differ (10; over 2 million images 8).
        turned: Also look for copies that are mirrored, or in all eight positions.
        remove: Put the images aside: nothing selects or counts them any more.
        undo: Bring back all images that were put aside.
        out: A new folder for a page with both pictures side by side, leaks.tsv and leaks.json.
        limit: Most pairs on the page.
        include_sensitive: Also show images with sensitive categories on the page.
    """
    from mlimages.database import Database
    from mlimages.errors import UsageError
    from mlimages.images.duplicates.outside import open_outside

    if (against is None) != undo or (undo and (remove or out is not None)):
        cause = "needs either --against DIR, or --undo alone"
        raise UsageError("mlimages duplicates leak", cause, "see: mlimages duplicates leak --help")
    database = Database.open(db)
    if against is None:
        restored = database.restore_leaks()
        emit({"restored": restored}, json, f"{restored:,} images were brought back")
        return
    closeness = closeness_of(radius, turned)
    outside = open_outside(against)
    found, report = database.find_leaks(outside, closeness, split=split, remove=remove)
    text = _text(report)
    if out is not None:
        from mlimages.pages.duplicates import write_leaks

        options = {"limit": limit, "include_sensitive": include_sensitive}
        write_leaks(database, report, found, outside, out, **options)  # type: ignore[arg-type]
        text += f"\npage: {out / 'index.html'}"
    emit(report, json, text)


def _text(report: LeaksReport) -> str:
    evidence = ", ".join(f"{count:,} by {how}" for how, count in report.by_evidence.items())
    lines = [
        f"{report.leaked:,} of {report.images:,} images are in the other set ({evidence})",
        f"{report.leaked_outside:,} of its {report.outside:,} pictures are in the database; "
        f"{report.flat:,} pictures too flat, {report.unreadable:,} files unreadable, "
        f"{report.other_files:,} files no pictures",
        *(f"  {image}: {how}, {outside}" for image, outside, how in report.first),
        f"{report.put_aside:,} images are put aside",
    ]
    return "\n".join(lines)
