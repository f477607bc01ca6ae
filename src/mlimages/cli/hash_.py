"""`mlimages hash`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import tyro

from mlimages.cli.arguments import (
    Address,
    DatabasePath,
    EngineOption,
    Merge,
    PartOption,
    Workers,
)
from mlimages.cli.dividing import chosen_part, emit_part
from mlimages.cli.output import Json, emit, table
from mlimages.errors import UsageError

if TYPE_CHECKING:
    from mlimages.labels.hashing.hashes import Comparison, DatabaseHash


def hash_(
    db: DatabasePath,
    *,
    against: Annotated[str | None, tyro.conf.arg(metavar="DB")] = None,
    engine: EngineOption = "local",
    workers: Workers = None,
    address: Address = None,
    part: PartOption = None,
    merge: Merge = False,
    json: Json = False,
) -> int:
    """Print a hash of what a database says, the same for everyone who holds the same.

    It does not depend on the order of imports, on row numbers or on where files lie on a machine.
    With --against, says which tables of two databases differ and names the first images that do;
    then the exit code is 1 unless all labels are the same.

    Example: mlimages hash DB --against OTHER

    Args:
        against: Another database to compare with.
    """
    from mlimages.database import Database

    chosen = chosen_part(part, merge)
    if against is not None and (chosen or merge or engine != "local"):
        raise UsageError("--against", "compares here, in one run", "leave the other options out")
    database = Database.open(db)
    where = {"engine": engine, "workers": workers, "address": address}
    if chosen is not None:
        emit_part(database.parts.hash(chosen, **where), json, f"mlimages hash {db}")
        return 0
    if against is None:
        found = database.parts.merge_hash() if merge else database.hash(**where)
        emit(found, json, _text(found))
        return 0
    comparison = database.compare(Database.open(against))
    emit(comparison, json, _comparison_text(comparison))
    return 0 if comparison.same else 1


def _text(found: DatabaseHash) -> str:
    rows = [[entry.table, entry.rows, entry.hash] for entry in found.tables]
    header = ["table", "rows", f"hash (encoding {found.encoding})"]
    return table(rows, header) + f"\n\nall labels  {found.hash}"


def _comparison_text(comparison: Comparison) -> str:
    differing = {difference.table for difference in comparison.differences}
    rows = [
        [ours.table, ours.rows, theirs.rows, "differs" if ours.table in differing else "same"]
        for ours, theirs in zip(comparison.ours.tables, comparison.theirs.tables, strict=True)
    ]
    lines = [table(rows, ["table", "rows here", "rows there", "result"]), ""]
    for difference in comparison.differences:
        lines.append(f"{difference.table}:")
        lines += [f"  {label}: {how}" for label, how in difference.first]
    verdict = "the same labels" if comparison.same else "different labels"
    return "\n".join([*lines, verdict])
