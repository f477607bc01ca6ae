"""`mlimages duplicates`"""

from __future__ import annotations

from typing import Annotated

import tyro

from mlimages.cli.arguments import DatabasePath
from mlimages.cli.output import Json, emit


def duplicates(
    db: DatabasePath,
    *,
    undo: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    json: Json = False,
) -> None:
    """Find images stored more than once, and let one of each stand for all, with all their facts.

    Images are the same when their sources give the same MD5, or when both are packed and their
    bytes are equal. Run `mlimages complete DB` afterwards: the facts have changed.

    Example: mlimages duplicates DB

    Args:
        undo: Let every image stand for itself again.
    """
    from mlimages.database import Database

    report = Database.open(db).merge_duplicates(undo=undo)
    evidence = ", ".join(f"{count:,} by {how}" for how, count in report.by_evidence.items())
    lines = [
        f"{report.images:,} images = {report.images_left:,} left "
        f"+ {report.merged_away:,} that another stands for ({evidence})",
        f"{report.groups:,} images were stored more than once; "
        f"{report.facts_added:,} facts of their copies were added to them",
        *(f"  {kept}: also as {', '.join(others)}" for kept, *others in report.first_groups),
    ]
    emit(report, json, "\n".join(lines))
