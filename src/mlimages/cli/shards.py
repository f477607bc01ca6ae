"""`mlimages shards verify`, `repair` and `rewrite`"""

from __future__ import annotations

from mlimages.cli.arguments import DatabasePath
from mlimages.cli.output import Json, emit


def verify(db: DatabasePath, *, threads: int = 2, json: Json = False) -> int:
    """Read every byte of every shard, and compare it with the index, the ids and the checksums.

    Ends with exit code 1 when something is wrong.

    Example: mlimages shards verify DB

    Args:
        threads: Shards read at once.
    """
    from mlimages.images.packing.inspecting import SHOWN_FAULTS, verify_shards
    from mlimages.store import Store

    report = verify_shards(Store.open(db), threads)
    lines = [
        f"{report.images:,} images in {report.shards:,} shards, {report.bytes:,} bytes: "
        f"{report.damaged_images:,} images and {report.damaged_shards:,} shards are damaged"
    ]
    for finding in report.findings[:SHOWN_FAULTS]:
        image = f", image {finding.id}" if finding.id else ""
        lines.append(f"  shard {finding.shard:06d}{image}: {finding.fault}")
    if len(report.findings) > SHOWN_FAULTS:
        lines.append(f"  ... and {len(report.findings) - SHOWN_FAULTS:,} more (--json names all)")
    if report.findings:
        lines.append("mend them with: mlimages shards repair DB")
    emit(report, json, "\n".join(lines))
    return 1 if report.findings else 0


def repair(db: DatabasePath, *, workers: int | None = None, json: Json = False) -> None:
    """Pack damaged and missing images again from their places, into shards that replace the old.

    When the index is lost or damaged, it is first read from the shards.

    Example: mlimages shards repair DB

    Args:
        workers: Processes that decode; by default one a core.
    """
    from mlimages.images.packing.repairing import repair_shards
    from mlimages.store import Store

    report = repair_shards(Store.open(db), workers=workers)
    lines = [f"index read from the shards: {report.indexed:,} images"] if report.indexed else []
    lines.append(
        f"{report.shards:,} damaged shards: {report.kept:,} images kept, {report.mended:,} packed "
        f"again, {report.lost:,} lost, of which {report.to_fetch:,} can be fetched again"
    )
    lines += [f"  lost {location}: {reason}" for location, reason in report.first_lost]
    emit(report, json, "\n".join(lines))


def rewrite(db: DatabasePath, *, shard_megabytes: int | None = None, json: Json = False) -> None:
    """Bring all shards into their canonical order, leaving out removed images and duplicates.

    The same images then have the same shards, in whatever order they were packed or fetched. Shards
    that are in order stay. A run that was interrupted continues where it stopped.

    Example: mlimages shards rewrite DB

    Args:
        shard_megabytes: New size of a shard in millions of bytes; by default that of before.
    """
    from mlimages.images.packing.rewriting import rewrite_shards
    from mlimages.store import Store

    shard_bytes = None if shard_megabytes is None else shard_megabytes * 1_000_000
    report = rewrite_shards(Store.open(db), shard_bytes)
    text = (
        f"{report.rewritten:,} of {report.blocks:,} blocks rewritten: {report.images:,} images, "
        f"{report.left_out:,} left out; {report.shards:,} shards"
    )
    emit(report, json, text)
