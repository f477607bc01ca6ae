"""`mlimages import`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import Positional

from mlimages.cli.arguments import DatabasePath
from mlimages.cli.output import Json, emit

if TYPE_CHECKING:
    from mlimages.labels.streams import Readings
    from mlimages.reports import ImportReport
    from mlimages.taxonomy.categories import Taxonomy

Flag = tyro.conf.FlagCreatePairsOff
Format = Literal[
    "tencent",
    "tfrecord",
    "imagenet",
    "open_images",
    "coco",
    "lvis",
    "coco_yolo",
    "voc",
    "huggingface",
    "webdataset",
    "table",
]


def import_(
    format: Annotated[
        Positional[Format], tyro.conf.arg(metavar="FORMAT", help="One of the formats above.")
    ],
    path: Annotated[
        Positional[str],
        tyro.conf.arg(
            metavar="PATH",
            help="The annotations: a file, a folder, or a URL such as s3://bucket/x.",
        ),
    ],
    db: DatabasePath,
    *,
    source: str | None = None,
    split: str | None = None,
    map: Annotated[str | None, tyro.conf.arg(metavar="coco|voc|TSV")] = None,
    images: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    classes: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    field: str | None = None,
    separator: str | None = None,
    single_label: Annotated[bool, Flag] = False,
    strict: Annotated[bool, Flag] = False,
    dictionary: Annotated[Path | None, tyro.conf.arg(metavar="TSV")] = None,
    json: Json = False,
) -> None:
    """Read annotations into a database, as facts: what this source says of which image.

    tencent: label lists of Tencent ML-Images. tfrecord: its TFRecords. imagenet: folders or tars of
    photos by synset, and lists of ids. open_images: the CSVs of V1 to V7. coco, lvis: instances in
    JSON. coco_yolo: photos with boxes in YOLO's format. voc: PASCAL VOC. huggingface: an image
    folder with metadata. webdataset: tars. table: a CSV, TSV, JSON Lines or Parquet table. Files
    may be compressed with gzip or zstd. Entries that cannot be read are counted and named; the rest
    is imported. Nothing is copied: `mlimages pack` takes in the photos.

    Example: mlimages import imagenet train/ DB --split train

    Args:
        source: Name of the source in the database; by default the format's.
        split: Split of all images; by default the data set's own.
        map: From the source's class names to synsets (not tencent, tfrecord, imagenet).
        images: Folder of the photos that lists, tables or JSON name.
        classes: File of class names (coco_yolo, open_images, huggingface, webdataset).
        field: Column or field of the tags (huggingface, webdataset).
        separator: What stands between the tags in a text (table, huggingface, webdataset); by
            default a space.
        single_label: Images carry one tag by design, as in ImageNet.
        strict: Stop at the first entry that cannot be read; nothing is imported then.
        dictionary: Categories of a new database, instead of the released 11,166.
    """
    from mlimages.database import Database
    from mlimages.errors import InputError
    from mlimages.labels.streams import require_images
    from mlimages.store import Store

    options = {
        "source": source,
        "split": split,
        "label_map": map,
        "images": images,
        "classes": classes,
        "field": field,
        "separator": separator,
        "single_label": single_label or None,
    }
    existing = Database.open(db) if Store.exists(db) else None
    if existing is not None and dictionary is not None:
        raise InputError("--dictionary", f"{db} has its categories already", "leave it out")
    taxonomy = _new_taxonomy(dictionary) if existing is None else existing.taxonomy
    # Reading begins first, so that a wrong path leaves no empty database behind.
    readings = require_images(_read(format, path, taxonomy, options), path)
    readings, watch = _watched(format, readings, taxonomy)
    if existing is None:
        report = Database.create_from(db, taxonomy, readings, strict=strict)[1]
    else:
        report = existing.add(readings, strict=strict)
    if watch is not None and watch.report.open:
        report.notes.append(str(watch.report))
    emit(report, json, _text(report))


def _watched(format: str, readings: Any, taxonomy: Taxonomy) -> tuple[Any, Any]:
    """The same readings, and who counts missing ancestors in them where there should be none."""
    from mlimages.labels.intake.closure import ClosureWatch
    from mlimages.labels.sources import WITH_ANCESTORS

    if format not in WITH_ANCESTORS:
        return readings, None
    watch = ClosureWatch(taxonomy.hierarchy("tencent"))
    return watch.over(readings), watch


def _new_taxonomy(dictionary: Path | None) -> Taxonomy:
    from mlimages.taxonomy.categories import released_taxonomy
    from mlimages.taxonomy.dictionary import read_dictionary

    return released_taxonomy() if dictionary is None else read_dictionary(dictionary)


def _read(format: str, path: str, taxonomy: Taxonomy, options: dict[str, Any]) -> Readings:
    """Call the format's reader with the options given; one that it does not know is an error."""
    import inspect

    from mlimages.errors import UsageError
    from mlimages.labels.sources import SOURCES

    given = {name: value for name, value in options.items() if value is not None}
    known = inspect.signature(SOURCES[format]).parameters
    for name in given:
        if name not in known:
            shown = "--" + {"label_map": "map"}.get(name, name).replace("_", "-")
            raise UsageError(shown, f"{format} does not use it", "leave it out")
    return SOURCES[format](path, taxonomy, **given)


def _text(report: ImportReport) -> str:
    lines = [
        f"{report.source}: {report.read:,} read = {report.kept:,} kept + "
        f"{report.rejected:,} rejected; {report.new_images:,} images are new, "
        f"{report.merged_images:,} known; {report.facts:,} new facts"
    ]
    if report.dropped_annotations:
        lines.append(
            f"  {report.dropped_annotations:,} broken annotations in images that were kept"
        )
    lines += [f"  {location}: {reason}" for location, reason in report.first_rejects]
    unnamed = report.rejected + report.dropped_annotations - len(report.first_rejects)
    if unnamed > 0:
        lines.append(f"  ... and {unnamed:,} more, in the database's table of rejects")
    lines += [f"note: {note}" for note in report.notes]
    return "\n".join(lines)
