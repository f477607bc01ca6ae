"""`mlimages export`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import Positional

from mlimages.cli.arguments import DatabasePath
from mlimages.cli.output import Json, emit

if TYPE_CHECKING:
    from mlimages.labels.exports.exporting import ExportReport

Flag = tyro.conf.FlagCreatePairsOff
FormatName = Literal[
    "tencent",
    "tfrecord",
    "open_images",
    "huggingface",
    "webdataset",
    "coco",
    "fiftyone",
    "croissant",
]


def export(
    format: Annotated[
        Positional[FormatName],
        tyro.conf.arg(metavar="FORMAT", help="The format; see above."),
    ],
    db: DatabasePath,
    out: Annotated[Positional[Path], tyro.conf.arg(metavar="OUT", help="A new folder.")],
    *,
    split: str | None = None,
    tags: Literal["all", "asserted"] = "all",
    with_images: Annotated[bool, Flag] = False,
    sparse: Annotated[bool, Flag] = False,
    shard_bytes: int | None = None,
    json: Json = False,
) -> None:
    """Write a database in another tool's format, and say what the format cannot carry.

    tencent: the released label lists and dictionary. tfrecord: the released TFRecords. open_images:
    CSV files of image-level labels and metadata. huggingface: Parquet with a dataset card.
    webdataset: tars with a JSON a sample. coco: COCO-style JSON without boxes. fiftyone: JSON for
    FiftyOne. croissant: metadata of the database's own files. Each export also holds
    croissant.json, ATTRIBUTION.md and attribution.csv. Paths on this machine are never published.

    Example: mlimages export huggingface DB OUT --split train --with-images

    Args:
        split: Only the images of this split.
        tags: All derived tags, or only what the sources assert.
        with_images: Put the packed images' bytes in too (huggingface, webdataset, coco, fiftyone).
        sparse: Write tags as two lists instead of one number a category (tfrecord).
        shard_bytes: Size after which a file is closed (tfrecord, huggingface, webdataset).
    """
    from mlimages.database import Database

    options: dict[str, Any] = {"split": split, "tags": tags, "with_images": with_images}
    if sparse:
        options["sparse"] = True
    if shard_bytes is not None:
        options["shard_bytes"] = shard_bytes
    report = Database.open(db).export(format, out, **options)
    emit(report, json, _text(report))


def _text(report: ExportReport) -> str:
    lines = [
        f"{report.format}: {report.images:,} images with {report.tags:,} tags in "
        f"{report.files:,} files, {report.bytes:,} bytes, in {report.folder}"
    ]
    if report.attributed:
        lines.append(f"  {report.attributed:,} images need attribution: see attribution.csv")
    if report.not_carried:
        lines.append("not carried:")
        lines += [f"  {what}" for what, _ in report.not_carried]
    return "\n".join(lines)
