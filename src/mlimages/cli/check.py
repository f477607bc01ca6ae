"""`mlimages check`"""

from __future__ import annotations

from mlimages.cli.arguments import DatabasePath
from mlimages.cli.output import Json, emit, table


def check(
    db: DatabasePath,
    *,
    json: Json = False,
) -> int:
    """Verify every file's checksum and reconcile all counts; exits with 1 when something is wrong.

    Example: mlimages check DB
    """
    from mlimages.database import Database

    report = Database.open(db).check()
    rows = [[name, "ok" if good else "WRONG", note] for name, good, note in report.checks]
    emit(report, json, table(rows, ["check", "result", "what was counted"]))
    return 0 if report.passed else 1
