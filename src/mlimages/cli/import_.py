"""`mlimages import`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import Positional

from mlimages.cli.output import Json, emit

if TYPE_CHECKING:
    from mlimages.labels.streams import Readings
    from mlimages.reports import ImportReport
    from mlimages.taxonomy.categories import Taxonomy

Flag = tyro.conf.FlagCreatePairsOff


def import_(
    format: Annotated[
        Positional[Literal["tencent", "imagenet", "coco_yolo", "voc", "table"]],
        tyro.conf.arg(metavar="FORMAT", help="tencent, imagenet, coco_yolo, voc or table."),
    ],
    path: Annotated[
        Positional[Path], tyro.conf.arg(metavar="PATH", help="The annotations: file or folder.")
    ],
    db: Annotated[
        Positional[Path], tyro.conf.arg(metavar="DB", help="The database; made when absent.")
    ],
    *,
    source: str | None = None,
    split: str | None = None,
    map: Annotated[str | None, tyro.conf.arg(metavar="coco|voc|TSV")] = None,
    images: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    classes: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    separator: str | None = None,
    single_label: Annotated[bool, Flag] = False,
    dictionary: Annotated[Path | None, tyro.conf.arg(metavar="TSV")] = None,
    json: Json = False,
) -> None:
    """Read annotations into a database, as facts: what this source says of which image.

    tencent: label lists of Tencent ML-Images. imagenet: folders or tars of photos by synset.
    coco_yolo: photos with boxes in YOLO's format. voc: PASCAL VOC. table: a CSV, TSV or Parquet
    table. Entries that cannot be read are counted and named; the rest is imported. Nothing is
    copied: `mlimages pack` takes in the photos.

    Example: mlimages import imagenet train/ DB --split train

    Args:
        source: Name of the source in the database; by default the format's.
        split: Split of all images; by default the data set's own.
        map: From the source's class names to synsets (coco_yolo, voc, table).
        images: Folder of the photos that a list or table names (tencent, table).
        classes: File of class names (coco_yolo).
        separator: What stands between the tags in a cell (table); by default a space.
        single_label: Images carry one tag by design, as in ImageNet (tencent, table).
        dictionary: Categories of a new database, instead of the released 11,166.
    """
    from mlimages.database import Database
    from mlimages.errors import InputError
    from mlimages.labels.streams import require_images

    options = {
        "source": source,
        "split": split,
        "label_map": map,
        "images": images,
        "classes": classes,
        "separator": separator,
        "single_label": single_label or None,
    }
    existing = Database.open(db) if (db / "database.json").exists() else None
    if existing is not None and dictionary is not None:
        raise InputError("--dictionary", f"{db} has its categories already", "leave it out")
    taxonomy = _new_taxonomy(dictionary) if existing is None else existing.taxonomy
    # Reading begins first, so that a wrong path leaves no empty database behind.
    readings = require_images(_read(format, path, taxonomy, options), path)
    if existing is None:
        report = Database.create_from(db, taxonomy, readings)[1]
    else:
        report = existing.add(readings)
    emit(report, json, _text(report))


def _new_taxonomy(dictionary: Path | None) -> Taxonomy:
    from mlimages.taxonomy.categories import released_taxonomy
    from mlimages.taxonomy.dictionary import read_dictionary

    return released_taxonomy() if dictionary is None else read_dictionary(dictionary)


def _read(format: str, path: Path, taxonomy: Taxonomy, options: dict[str, Any]) -> Readings:
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
