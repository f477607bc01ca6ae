"""Publishing a database: its labels, and its packed images' bytes, in other tools' formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlimages.checking import tags_are_current
from mlimages.errors import DatabaseError
from mlimages.images.headers import EXTENSIONS, read_header
from mlimages.images.shards import open_reader
from mlimages.labels.derivation.rules import Rules
from mlimages.labels.exports.exporting import ExportReport, export, find_format
from mlimages.labels.exports.view import ImageFile, ReadImage, TagChoice, View
from mlimages.store import Store
from mlimages.taxonomy.categories import Taxonomy


def publish(
    store: Store,
    taxonomy: Taxonomy,
    format: str,
    out: Path | str,
    *,
    split: str | None = None,
    tags: TagChoice = "all",
    with_images: bool = False,
    **options: Any,
) -> ExportReport:
    """Export a generation of a database into a new folder; see `labels.exports`.

    Args:
        store: the database.
        taxonomy: its vocabulary.
        format: a key of `labels.exports.exporting.EXPORTS`.
        out: a folder that does not exist.
        split: the only split to take, or None for all.
        tags: "all" derived tags, or "asserted" for what the sources say.
        with_images: put the bytes of packed images in, where the format has a place for them.
        options: of the format.

    Raises:
        DatabaseError: all tags are asked for, but there are none, or they are older than the facts.
        InputError: an unknown format or split, `out` exists, or nothing can be exported.
        UsageError: an option that the format does not have.
        StorageError: the disk is full or not writable.
    """
    chosen = find_format(format)
    if tags == "all" and not tags_are_current(store.manifest):
        cause = "has tags older than its facts" if "tags" in store.manifest.info else "has no tags"
        action = "run: mlimages complete DB (or export what is asserted: --tags asserted)"
        raise DatabaseError(store.root, cause, action)
    if with_images and chosen.images == "never":
        options["with_images"] = True  # which the format refuses by name
    bytes_wanted = with_images or chosen.images == "always"
    rules = store.manifest.info.get("rules", {"hierarchy": Rules().hierarchy})
    view = View(
        store,
        taxonomy,
        taxonomy.hierarchy(rules["hierarchy"]),
        split=split,
        tags=tags,
        read_image=_reader(store) if bytes_wanted else None,
    )
    return export(view, format, out, options)


def _reader(store: Store) -> ReadImage:
    shards = open_reader(store)

    def read(row: int) -> ImageFile | None:
        if row not in shards:
            return None
        data = shards.read(row)
        header = read_header(data)
        return ImageFile(data, EXTENSIONS[header.format], header.width, header.height)

    return read
