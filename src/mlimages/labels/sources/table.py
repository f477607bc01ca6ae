"""One CSV, TSV, JSON Lines or Parquet table: one's own tags, or an export of another tool.

Columns (case does not matter, others are ignored):

    id (image_id, imageid)      the image's name; needed unless there is a place
    path (file, filename, file_name, image)  relative to the folder of the photos, or absolute
    uri, url (image_url, originalurl)        where it is otherwise
    tags (labels)               all tags of the image, or
    tag (label, labelname, category, wnid)   one of them: then each row is a pair of image and tag
    confidence                  above 0 and at most 1; 0 says absent, as in Open Images' tables
    present                     yes or no
    split, licence (license), author

A tag is a key such as n02084071, an index, a name that only one category has, or with a label map a
label of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from mlimages.errors import InputError, UnknownCategoryError
from mlimages.labels.reading import CHUNK_IMAGES, Reading, ReadingBuilder
from mlimages.labels.sources.label_space import find_label_map
from mlimages.labels.sources.streams import Place, absolute, name_of, stem_of
from mlimages.labels.sources.table_images import ListedImage, image_of
from mlimages.labels.sources.table_rows import read_header, read_rows
from mlimages.labels.streams import Readings, one_or_many
from mlimages.progress import track
from mlimages.taxonomy.categories import Taxonomy
from mlimages.taxonomy.mapping import LabelMap

COLUMNS = {
    "id": ("id", "image_id", "imageid"),
    "path": ("path", "file", "filename", "file_name", "image"),
    "uri": ("uri", "url", "image_url", "originalurl"),
    "tags": ("tags", "labels"),
    "tag": ("tag", "label", "labelname", "category", "wnid"),
    "confidence": ("confidence",),
    "present": ("present",),
    "split": ("split",),
    "licence": ("licence", "license"),
    "author": ("author",),
}


def read(
    path: Path | str,
    taxonomy: Taxonomy,
    *,
    source: str | None = None,
    split: str | None = None,
    images: Path | str | None = None,
    label_map: str | Path | LabelMap | None = None,
    separator: str = " ",
    single_label: bool = False,
) -> Readings:
    """Read a table.

    A tag that no category answers to is named and left out; an image none of whose tags is left is
    a reject, as is a row that cannot be read or does not say which image it speaks of. Images need
    no place: then their id joins them with the same image of another source.

    Args:
        path: the table; its images are handed over 200,000 at a time.
        taxonomy: the vocabulary.
        source: name of the source, by default the file's.
        split: the split of all images; by default the column's, else train.
        images: folder that paths are relative to; by default the table's.
        label_map: what the tags mean: "coco", "voc", a TSV, or the map.
        separator: what stands between the tags of a cell.
        single_label: whether images carry one tag by design, as in ImageNet.

    Raises:
        InputError: no such table, or columns are missing.
    """
    builder = ReadingBuilder(source or stem_of(path), "table", single_label=single_label)
    if images is not None and not Path(images).is_dir():
        raise InputError(images, "no such folder", "name the folder of the photos")
    map_ = find_label_map(label_map) if label_map is not None else None
    table = TableReader(builder, resolver(taxonomy, map_), split, separator)
    return one_or_many(_chunks(table, path, images))


def _chunks(table: TableReader, path: Place, images: Path | str | None) -> Iterator[Reading]:
    yield from table.read(absolute(path), os.path.abspath(images) if images is not None else None)
    yield table.builder.build()


class TableReader:
    """Reads tables into a builder.

    Args:
        builder: where images and facts go.
        resolve: from a tag's text to its categories, or why there are none.
        split: the split of all images; by default the column's, else train.
        separator: what stands between the tags of a cell.
        tags: name of the column of tags, in lower case, when it is not one of COLUMNS.
    """

    def __init__(
        self,
        builder: ReadingBuilder,
        resolve: Callable[[str], tuple[int, ...] | str],
        split: str | None,
        separator: str,
        tags: str | None = None,
    ) -> None:
        self.builder, self._find = builder, resolve
        self._unresolved: set[str] = set()
        self._split, self._separator, self._tags = split, separator, tags
        self._handed_over: dict[str, str] = {}  # key -> id, where more rows of an image may come

    def read(
        self, path: str, root: str | None = None, default_split: str | None = None
    ) -> Iterator[Reading]:
        """Read one table, giving out a reading whenever the builder is full.

        Args:
            path: the table, absolute.
            root: what its paths are relative to; by default its folder.
            default_split: the split of images for which nothing else says one.

        Raises:
            InputError: no such table, or columns are missing.
        """
        header = read_header(path)
        places = self._find_columns(path, header)
        root = root if root is not None else path.rpartition("/")[0]
        collected: dict[str, ListedImage] = {}
        rows = read_rows(path, len(header), set(places.values()))
        for location, values, wrong in track(rows, name_of(path), unit="rows"):
            if values is None:
                self.builder.reject(location, wrong)
                continue
            row = {name: values[place] for name, place in places.items()}
            image = image_of(row, location, root)
            if isinstance(image, str):
                self.builder.reject(location, image)
            elif image.key in collected and "tags" in places:
                self.builder.reject(location, f"image {image.key} was listed before")
            else:
                image = collected.setdefault(image.key, image)
                image.take_tags(row, location, self._separator, self._resolve)
            if len(collected) >= CHUNK_IMAGES:
                self._hand_over(collected, default_split)
                yield self.builder.take()
        self._hand_over(collected, default_split)
        if self._unresolved:
            self.builder.note(
                f"{len(self._unresolved):,} tags are of no category, or of several: --map says "
                "what they mean (coco, voc, or a table as `mlimages taxonomy map` writes it)"
            )

    def _resolve(self, tag: str) -> tuple[int, ...] | str:
        found = self._find(tag)
        if isinstance(found, str):
            self._unresolved.add(tag)
        return found

    def _hand_over(self, collected: dict[str, ListedImage], default_split: str | None) -> None:
        for key, image in collected.items():
            known = self._handed_over.get(key)
            position = image.add_to(self.builder, self._split, default_split, known)
            if position is not None and "tag" in image.row:
                self._handed_over[key] = self.builder.id_of(position)
        collected.clear()

    def _find_columns(self, path: Place, header: list[str]) -> dict[str, int]:
        """What the table tells -> position of its column."""
        places = {
            what: header.index(name)
            for what, names in reversed(COLUMNS.items())
            for name in reversed(names)
            if name in header
        }
        listed = f"among: {', '.join(header)}"
        if self._tags is not None:
            if self._tags not in header:
                raise InputError(path, f"no column {self._tags} {listed}", "name another")
            places.pop("tag", None)
            places["tags"] = header.index(self._tags)
        if not places.keys() & {"id", "path", "uri"}:
            missing = "no column id, path, uri or url"
        elif not places.keys() & {"tags", "tag"}:
            missing = "no column tags or tag"
        else:
            return places
        raise InputError(path, f"{missing} {listed}", "rename the columns")


def resolver(
    taxonomy: Taxonomy, label_map: LabelMap | None
) -> Callable[[str], tuple[int, ...] | str]:
    """A function from a tag's text to its categories, or why there are none; it remembers."""
    known: dict[str, tuple[int, ...] | str] = {}
    mapped = label_map.resolve(taxonomy).categories if label_map is not None else {}

    def resolve(text: str) -> tuple[int, ...] | str:
        if text not in known:
            try:
                if label_map is None:
                    known[text] = (taxonomy.resolve(text),)
                else:
                    wnid = label_map.lookup(text)
                    known[text] = mapped.get(text) or f"{text!r} ({wnid}) has no category"
            except UnknownCategoryError as error:
                known[text] = str(error)
        return known[text]

    return resolve
