"""`mlimages pack`"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import tyro

from mlimages.cli.arguments import Address, DatabasePath, EngineOption, Merge, PartOption
from mlimages.cli.dividing import chosen_part, emit_part
from mlimages.cli.output import Json, emit

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]


def pack(
    db: DatabasePath,
    *,
    resize: Literal["no", "shorter", "longer", "border", "centre-crop"] | None = None,
    side: int | None = None,
    only_if_bigger: Flag = False,
    interpolation: Literal["area", "lanczos", "bicubic", "bilinear", "nearest"] | None = None,
    format: Literal["keep", "jpeg", "png", "webp"] | None = None,
    quality: int | None = None,
    keep_metadata: Flag = False,
    check: Literal["decode", "header"] | None = None,
    minimum_side: int | None = None,
    maximum_megapixels: float | None = None,
    maximum_aspect: float | None = None,
    maximum_frames: int | None = None,
    shard_megabytes: int | None = None,
    block_rows: int | None = None,
    workers: int | None = None,
    seconds: float = 30.0,
    engine: EngineOption = "local",
    address: Address = None,
    part: PartOption = None,
    merge: Merge = False,
    json: Json = False,
) -> None:
    """Pack the bytes of a database's images into shards: tars that WebDataset can read.

    Every image is decoded once to check it, in a process that is stopped when it hangs. Broken and
    missing ones are counted and named. What is packed already stays; a run that was interrupted
    continues where it stopped. The form of the images is fixed by the first run.

    Example: mlimages pack DB --resize shorter --side 256 --format jpeg

    Args:
        resize: Scale the shorter or the longer side to `--side`; "border" fills the longer one up
            to a white square, "centre-crop" cuts the middle square out. By default "no".
        side: Pixels.
        only_if_bigger: Leave images alone that are smaller than `--side`.
        interpolation: How to scale; by default "area".
        format: Of the result; by default that of the original, whose bytes are kept.
        quality: Of images that are encoded again, 1 to 100; by default 95.
        keep_metadata: Keep EXIF with its GPS position, XMP and comments; else they are dropped.
        check: "header" looks only at format and size; by default every image is decoded.
        minimum_side: Reject images whose shorter side has fewer pixels.
        maximum_megapixels: Reject images of more millions of pixels, before they are decoded.
        maximum_aspect: Reject images whose longer side is more times the shorter one.
        maximum_frames: Reject animations of more frames.
        shard_megabytes: Size of one shard in millions of bytes; by default 512.
        block_rows: Images of a block; no shard holds images of two. By default 16,384.
        workers: Processes that decode, by default one a core; with Ray, blocks at once.
        seconds: That an image may take to be decoded.
    """
    from mlimages.database import Database
    from mlimages.images.packing.settings import altered, recorded

    chosen = chosen_part(part, merge)
    database = Database.open(db)
    images = {
        "resize": resize,
        "side": side,
        "only_if_bigger": only_if_bigger or None,
        "interpolation": interpolation,
        "format": format,
        "quality": quality,
        "strip_metadata": False if keep_metadata else None,
        "check": check,
        "minimum_side": minimum_side,
        "maximum_pixels": None if maximum_megapixels is None else int(maximum_megapixels * 1e6),
        "maximum_aspect": maximum_aspect,
        "maximum_frames": maximum_frames,
    }
    shard_bytes = None if shard_megabytes is None else shard_megabytes * 1_000_000
    settings = altered(
        recorded(database.store), images, shard_bytes=shard_bytes, block_rows=block_rows
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
