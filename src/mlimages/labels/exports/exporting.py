"""Exporting a database: one folder in a format, with its terms and what it leaves out."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from mlimages.errors import InputError, UsageError, nearest
from mlimages.labels.exports import (
    coco,
    croissant,
    fiftyone,
    huggingface,
    open_images,
    tencent,
    tfrecord,
    webdataset,
)
from mlimages.labels.exports.attribution import Attribution
from mlimages.labels.exports.carried import FEATURES, Inventory
from mlimages.labels.exports.files import count_files, json_text, published_files
from mlimages.labels.exports.values import EXTRA_COLUMNS
from mlimages.labels.exports.view import View
from mlimages.storage import atomic_directory

METADATA = "croissant.json"


@dataclass(frozen=True)
class Format:
    """A format to export to.

    Attributes:
        write: writes a view into an empty folder; its keywords are the format's options.
        carries: keys of `carried.FEATURES` that the format has a place for.
        images: whether it takes the images' bytes: "never", "asked" or "always".
    """

    write: Callable[..., None]
    carries: frozenset[str]
    images: str = "never"


def _write_nothing(view: View, folder: Path) -> None:
    """The metadata alone, of the database's own files."""
    for _ in view.blocks("images"):
        pass


EXPORTS: dict[str, Format] = {
    "tencent": Format(tencent.write, tencent.CARRIES),
    "tfrecord": Format(tfrecord.write, tfrecord.CARRIES, "always"),
    "open_images": Format(open_images.write, open_images.CARRIES),
    "huggingface": Format(huggingface.write, huggingface.CARRIES, "asked"),
    "webdataset": Format(webdataset.write, webdataset.CARRIES, "asked"),
    "coco": Format(coco.write, coco.CARRIES, "asked"),
    "fiftyone": Format(fiftyone.write, fiftyone.CARRIES, "asked"),
    "croissant": Format(_write_nothing, frozenset([*FEATURES, *EXTRA_COLUMNS])),
}


@dataclass(frozen=True)
class ExportReport:
    """What was written, and what the format could not carry.

    Attributes:
        format, folder: as asked for.
        images, tags: of the database's part that was exported.
        files, bytes: written.
        attributed: images with a line in attribution.csv.
        not_carried: (what, how many) of what this database holds and the export does not.
    """

    format: str
    folder: Path
    images: int
    tags: int
    files: int
    bytes: int
    attributed: int
    not_carried: list[tuple[str, int]]


def export(view: View, format: str, out: Path | str, options: dict[str, Any]) -> ExportReport:
    """Write a view of a database in a format, into a new folder that appears whole or not at all.

    Beside the format's files the folder holds croissant.json, ATTRIBUTION.md and attribution.csv.
    The same database gives the same bytes.

    Args:
        view: what to export.
        format: a key of EXPORTS.
        out: the folder, which must not exist.
        options: of the format's own.

    Raises:
        InputError: an unknown format, `out` exists, or nothing can be exported.
        UsageError: an option that the format does not have.
        StorageError: the disk is full or not writable.
    """
    chosen = find_format(format)
    known = inspect.signature(chosen.write).parameters
    for name in options:
        if name not in known:
            shown = "--" + name.replace("_", "-")
            raise UsageError(shown, f"{format} does not use it", "leave it out")
    inventory = Inventory(view)
    with atomic_directory(out) as folder, Attribution(folder) as attribution:
        view.observers = [inventory.add, attribution.add]
        chosen.write(view, folder, **options)
        attribution.finish()
        attribution.close()
        if inventory.images == 0:
            raise InputError(view.store.root, "no image to export", "choose another split")
        _describe(view, format, folder, inventory, attribution)
        files, size = count_files(folder)
    special = [(what.format(n=f"{n:,}"), n) for what, n in sorted(view.counted.items())]
    return ExportReport(
        format,
        Path(out),
        inventory.images,
        inventory.tags,
        files,
        size,
        attribution.lines,
        inventory.not_carried(chosen.carries) + special,
    )


def find_format(name: str) -> Format:
    """A format by its name; raises InputError for an unknown one."""
    if name not in EXPORTS:
        raise InputError(name, "no such export format", nearest(name, EXPORTS))
    return EXPORTS[name]


def _describe(
    view: View, format: str, folder: Path, inventory: Inventory, attribution: Attribution
) -> None:
    if format == "croissant":
        files, tables = croissant.of_database(view.store)
    else:
        files, tables = published_files(folder), _tables(view, format)
    what = f"{inventory.images:,} images with {inventory.tags:,} tags of {len(view.taxonomy):,}"
    found = croissant.metadata(
        name=view.name,
        description=f"A multi-label image database: {what} categories, as {format}.",
        files=files,
        tables=tables,
        attribution=attribution,
        sensitive=inventory.counts["sensitive"],
        version=f"{view.store.manifest.format_version}.{view.store.manifest.generation}.0",
    )
    (folder / METADATA).write_text(json_text(found) + "\n", encoding="utf-8")


def _tables(view: View, format: str) -> list[croissant.Columns]:
    """The tables among an export's files."""
    if format == "huggingface":
        columns = huggingface.COLUMNS
        return [croissant.Columns("rows", "an image a row", ("data/*.parquet",), columns)]
    if format == "open_images":
        return [
            croissant.Columns(
                name, what, (includes,), pa.schema([(c, pa.string()) for c in columns])
            )
            for name, what, includes, columns in open_images.TABLES
        ]
    return []
