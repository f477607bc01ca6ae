"""`mlimages remove`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from mlimages.cli.arguments import DatabasePath
from mlimages.cli.output import Json, emit, table

if TYPE_CHECKING:
    from mlimages.labels.removals import RemovalReport

SHOWN = 20


def remove(
    db: DatabasePath,
    *,
    id: tuple[str, ...] = (),
    url: tuple[str, ...] = (),
    author: tuple[str, ...] = (),
    list: Annotated[str | None, tyro.conf.arg(metavar="DB_OR_FILE")] = None,
    note: str | None = None,
    undo: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    export: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    json: Json = False,
) -> None:
    """Leave images out because somebody asked for it; without --id, --url or --author, the list.

    From this moment nothing selects, counts, shows, exports or fetches them. Their bytes leave the
    shards with the next `mlimages shards rewrite DB`. An import never brings them back: the list
    turns away every image of such an id, URL or author, and --list carries it to a new database.

    Example: mlimages remove DB --url https://example.org/photo.jpg --note "request of 3 May"

    Args:
        id: Ids of images.
        url: URLs, of photos or of the pages that show them.
        author: Authors, all of whose images are meant.
        list: Another database, or a list that --export wrote, whose entries are taken over.
        note: Why; kept in the list.
        undo: Take these entries out of the list. Bytes that are erased do not come back.
        export: Write the list into this file, one JSON object a line.
    """
    from mlimages.database import Database
    from mlimages.labels.removals import entry, read_list, write_list

    entries = [
        *(entry("id", value, note) for value in id),
        *(entry("url", value, note) for value in url),
        *(entry("author", value, note) for value in author),
        *(read_list(list) if list is not None else ()),
    ]
    database = Database.open(db)
    report = database.remove(entries, undo=undo)
    if export is not None:
        write_list(database.store, export)
    emit(report, json, _text(report))


def _text(report: RemovalReport) -> str:
    lines = []
    if report.added or report.known:
        lines.append(f"{report.added:,} added to the list, {report.known:,} were in it")
    if report.undone:
        lines.append(f"{report.undone:,} taken out of the list")
    lines.append(f"{report.entries:,} in the list; {report.images:,} images are left out by it")
    if report.in_shards:
        lines.append(
            f"the bytes of {report.in_shards:,} are still in shards; "
            "erase them with: mlimages shards rewrite DB"
        )
    if report.matched:
        rows = [[kind, value, count] for kind, value, count in report.matched[:SHOWN]]
        lines += ["", table(rows, ["", "", "images"])]
        if len(report.matched) > SHOWN:
            lines.append(f"and {len(report.matched) - SHOWN:,} more")
    return "\n".join(lines)
