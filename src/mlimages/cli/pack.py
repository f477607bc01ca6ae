"""`mlimages pack`"""

from __future__ import annotations

from typing import Any

import tyro

from mlimages.cli.arguments import Address, DatabasePath, EngineOption, Merge, PartOption
from mlimages.cli.dividing import chosen_part, emit_part
from mlimages.cli.image_form import AS_BEFORE, ImageForm
from mlimages.cli.output import Json, emit


def pack(
    db: DatabasePath,
    *,
    minimum_side: int | None = None,
    maximum_megapixels: float | None = None,
    maximum_aspect: float | None = None,
    maximum_frames: int | None = None,
    block_rows: int | None = None,
    workers: int | None = None,
    seconds: float = 30.0,
    engine: EngineOption = "local",
    address: Address = None,
    part: PartOption = None,
    merge: Merge = False,
    json: Json = False,
    form: tyro.conf.OmitArgPrefixes[ImageForm] = AS_BEFORE,
) -> None:
    """Pack the bytes of a database's images into shards: tars that WebDataset can read.

    Every image is decoded once to check it, in a process that is stopped when it hangs. Broken and
    missing ones are counted and named. What is packed already stays; a run that was interrupted
    continues where it stopped. The form of the images is fixed by the first run.

    Example: mlimages pack DB --resize shorter --side 256 --format jpeg

    Args:
        minimum_side: Reject images whose shorter side has fewer pixels.
        maximum_megapixels: Reject images of more millions of pixels, before they are decoded.
        maximum_aspect: Reject images whose longer side is more times the shorter one.
        maximum_frames: Reject animations of more frames.
        block_rows: Images of a block; no shard holds images of two. By default 16,384.
        workers: Processes that decode, by default one a core; with Ray, blocks at once.
        seconds: That an image may take to be decoded.
    """
    from mlimages.database import Database
    from mlimages.images.packing.settings import altered, recorded

    chosen = chosen_part(part, merge)
    database = Database.open(db)
    images = form.images() | {
        "minimum_side": minimum_side,
        "maximum_pixels": None if maximum_megapixels is None else int(maximum_megapixels * 1e6),
        "maximum_aspect": maximum_aspect,
        "maximum_frames": maximum_frames,
    }
    settings = altered(
        recorded(database.store), images, shard_bytes=form.shard_bytes, block_rows=block_rows
    )
    where: dict[str, Any] = {"engine": engine, "workers": workers, "address": address}
    if chosen is not None:
        done = database.parts.pack(chosen, settings, seconds=seconds, **where)
        emit_part(done, json, f"mlimages pack {db}")
        return
    if merge:
        report = database.parts.merge_pack()
    else:
        report = database.pack(settings, seconds=seconds, **where)
    others = [(report.to_fetch, "to fetch"), (report.left_out, "left out")]
    more = "".join(f", {count:,} {what}" for count, what in others if count)
    lines = [
        f"{report.packed:,} packed, {report.already_packed:,} packed before, "
        f"{report.rejected:,} rejected{more}, of {report.images:,} images; {report.shards} shards"
    ]
    lines += [f"  rejected {location}: {reason}" for location, reason in report.first_rejects]
    if report.rejected > len(report.first_rejects):
        lines.append(f"  ... and {report.rejected - len(report.first_rejects):,} more")
    if report.to_fetch:
        lines.append("  images that are only on the web: mlimages fetch DB")
    emit(report, json, "\n".join(lines))
