"""`mlimages pack`"""

from __future__ import annotations

from mlimages.cli.arguments import DatabasePath
from mlimages.cli.output import Json, emit


def pack(
    db: DatabasePath,
    *,
    shard_megabytes: int = 512,
    json: Json = False,
) -> None:
    """Pack the bytes of a database's images into shards: tars that WebDataset can read.

    Every image is decoded once to check it. Broken and missing ones are counted and named. A run
    that was interrupted continues where it stopped.

    Example: mlimages pack DB

    Args:
        shard_megabytes: Size of one shard in millions of bytes.
    """
    from mlimages.database import Database

    report = Database.open(db).pack(shard_bytes=shard_megabytes * 1_000_000)
    lines = [
        f"{report.packed:,} packed, {report.already_packed:,} packed before, "
        f"{report.rejected:,} rejected, of {report.images:,} images; {report.shards} shards"
    ]
    lines += [f"  rejected {location}: {reason}" for location, reason in report.first_rejects]
    if report.rejected > len(report.first_rejects):
        lines.append(f"  ... and {report.rejected - len(report.first_rejects):,} more")
    emit(report, json, "\n".join(lines))
